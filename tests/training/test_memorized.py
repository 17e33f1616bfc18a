"""Training images that version 1 has memorized, and version 2 has not."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from click.testing import Result
from PIL import Image

from models.record import CLASSES
from tests.helpers import replace_model
from training.data import Dataset
from training.measure.predict import predict


def swap(onnx_bytes: bytes, one: int, other: int) -> bytes:
    """Return a model that takes one class for another, and the other way round."""
    model = onnx.load_from_string(onnx_bytes)
    [output] = model.graph.output
    for node in model.graph.node:
        node.output[:] = ["as_before" if name == output.name else name for name in node.output]
    order = np.arange(len(CLASSES))
    order[[one, other]] = other, one
    model.graph.initializer.append(onnx.numpy_helper.from_array(order, "order"))
    gather = onnx.helper.make_node("Gather", ["as_before", "order"], [output.name], axis=1)
    model.graph.node.append(gather)
    swapped: bytes = model.SerializeToString()
    return swapped


def test_what_version_1_alone_answers_with_the_given_label_is_listed(
    tiny: Dataset, exported: Path, command: Callable[..., Result], tmp_path: Path
) -> None:
    onnx_bytes = (exported / "first/1/model.onnx").read_bytes()
    probabilities = predict(onnx_bytes, tiny.train.images)
    labels = tiny.train.labels
    right = probabilities.argmax(1) == labels
    one = int(np.bincount(labels[right]).argmax())
    other = (one + 1) % len(CLASSES)
    version_2 = shutil.copytree(exported / "first/1", exported / "first/2")
    replace_model(version_2, swap(onnx_bytes, one, other))
    record = json.loads((version_2 / "metadata.json").read_text())
    (version_2 / "metadata.json").write_text(json.dumps(record | {"version": 2}))

    result = command(
        *("memorized", "--models-dir", str(exported), "--top", "5"),
        *("--images", str(tmp_path / "images")),
    )
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader(result.stdout.splitlines()))
    listed = [int(row["index"]) for row in rows]
    [expected] = np.nonzero(right & np.isin(labels, (one, other)))
    surest = sorted(expected, key=lambda i: -probabilities[i].max())[:5]
    assert listed == surest
    swapped = {CLASSES[one]: CLASSES[other], CLASSES[other]: CLASSES[one]}
    for row, i in zip(rows, surest, strict=True):
        assert row["label"] == row["answer_1"] == CLASSES[labels[i]]
        assert row["answer_2"] == swapped[row["label"]]
        assert float(row["confidence_1"]) == round(float(probabilities[i].max()), 6)
    files = list((tmp_path / "images").iterdir())
    assert sorted(file.name for file in files) == sorted(f"{i}.png" for i in surest)
    for file in files:
        with Image.open(file) as image:
            assert np.array_equal(np.asarray(image), tiny.train.images[int(file.stem)])


def test_a_version_that_is_missing_is_named(exported: Path, command: Callable[..., Result]) -> None:
    result = command("memorized", "--models-dir", str(exported))
    assert result.exit_code == 1
    assert f"cannot read {exported / 'first' / '2' / 'metadata.json'}" in result.stderr
