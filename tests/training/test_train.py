"""Training for real on a few hundred generated images: its run, its export, its service."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import requests
from numpy.typing import NDArray

from models.record import CLASSES, Record
from tests.helpers import ROOT, png, run_server, upload
from training.config import Config
from training.data import Dataset
from training.data.cifar10 import TASK
from training.export.export import ExportError, export, verify
from training.export.publish import publish
from training.measure.predict import predict
from training.networks.architectures import build
from training.networks.recipes import ARTICLE
from training.pipeline import train_model
from training.report.report import write_report
from training.runs.checkpoints import Plan, RunError, RunFolder
from training.runs.provenance import commit, machine
from training.runs.train import load_trained_model, train


def test_train_export_serve(tiny: Dataset, exported: Path) -> None:
    write_report(exported)
    assert (exported / "comparison.png").stat().st_size
    assert not list(exported.glob("first/.*"))
    assert (
        "| 1 | article | 12 of 12 | mixed_bfloat16 |" in (exported / "first/README.md").read_text()
    )

    folder = exported / "first" / "1"
    record = Record.model_validate_json((folder / "metadata.json").read_bytes())
    assert (record.seed, record.precision) == (7, "mixed_bfloat16")
    assert (record.epochs, record.epochs_completed) == (12, 12)
    assert record.provenance
    assert record.provenance.command == (
        "python -m training train --model first --recipe article --epochs 12 --seed 7 "
        "--precision mixed_bfloat16"
    )
    assert record.provenance.commit == commit()
    [part] = record.provenance.parts
    assert (part.first_epoch, part.last_epoch) == (1, 12)
    stored = json.loads((folder / "metadata.json").read_text())
    assert stored["test_accuracy"] == record.test_accuracy
    assert stored["generalization_gap"] == pytest.approx(
        stored["train_accuracy"] - stored["validation_accuracy"]
    )

    assert record.int8
    assert record.int8.calibration_images == len(tiny.train)
    int8 = predict((folder / "model.int8.onnx").read_bytes(), tiny.test.images)
    float32 = predict((folder / "model.onnx").read_bytes(), tiny.test.images)
    np.testing.assert_allclose(int8, float32, atol=0.1)

    proto = onnx.load(folder / "model.onnx")
    onnx.checker.check_model(proto, full_check=True)
    properties = {prop.key: prop.value for prop in proto.metadata_props}
    assert properties == {"name": "first", "classes": json.dumps(record.classes)}

    with run_server("--models-dir", str(exported)) as address:
        predictions = []
        for images in np.array_split(tiny.test.images, 2):
            files = upload(*(("a.png", png(image)) for image in images))
            answer = requests.post(f"{address}/predict", files=files).json()["predictions"]
            predictions += [prediction["models"][0]["class"] for prediction in answer]
    labels = [record.classes[label] for label in tiny.test.labels]
    right = np.mean(np.array(predictions) == labels)
    assert right == pytest.approx(record.int8.test_accuracy, abs=1e-6)  # a CPU runs that file


def test_a_run_says_which_part_was_trained_where(tiny: Dataset, trained: Config) -> None:
    path = trained.run_dir / "run.json"
    # As another machine may have left it, before parts were recorded.
    earlier = json.loads(path.read_text("utf-8"))
    del earlier["parts"]
    earlier["device"] = "elsewhere"
    path.write_text(json.dumps(earlier), "utf-8")
    for epochs in (2, 3):
        train_model(replace(trained, epochs=epochs), tiny)
    run = RunFolder(trained.run_dir).read()
    assert run
    assert [(part.first_epoch, part.last_epoch) for part in run.parts] == [(1, 1), (2, 3)]
    assert [part.commit for part in run.parts] == [None, commit()]
    assert run.parts[0].device == "elsewhere"
    assert machine() in run.parts[1].device
    assert run.parts[0].libraries == run.parts[1].libraries == earlier["libraries"]


def test_the_commit_is_that_of_a_checkout_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (ROOT / ".git").exists():
        assert commit() is None
        pytest.skip("this is no git checkout")
    found = commit()
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", found or "")
    monkeypatch.setattr("training.runs.provenance._ROOT", tmp_path)
    assert commit() == found  # of the code that is loaded, whatever the checkout is now
    assert commit.__wrapped__() is None


def test_another_run_is_not_mixed_into_one(tiny: Dataset, trained: Config) -> None:
    with pytest.raises(RunError, match=r"--seed 0, not 1; use --seed 0 .* --fresh"):
        train_model(replace(trained, seed=1), tiny)
    with pytest.raises(RunError, match=r"not mixed_bfloat16; use --precision float32"):
        train_model(replace(trained, precision="mixed_bfloat16"), tiny)
    run = train_model(replace(trained, seed=1), tiny, fresh=True)
    assert (run.seed, len(run.history)) == (1, 1)


def test_averaged_weights_are_the_moving_average_of_every_step(
    tiny: Dataset, tmp_path: Path
) -> None:
    recipe = replace(ARTICLE["first"], batch_size=256, weight_averaging=0.9)  # a step per epoch

    def weights_after(epochs: int) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
        plan = Plan("first", recipe, epochs, RunFolder(tmp_path))
        run = train(plan, tiny)
        model = build("first", recipe, TASK)
        plan.folder.load(model, epochs)
        return model.get_weights(), load_trained_model(run, plan, TASK).get_weights()

    first, averaged = weights_after(1)
    for weights, average in zip(first, averaged, strict=True):
        np.testing.assert_array_equal(average, weights)
    second, averaged = weights_after(2)
    for before, after, average in zip(first, second, averaged, strict=True):
        assert (before != after).any()
        np.testing.assert_allclose(average, 0.9 * before + 0.1 * after, atol=1e-6)


def test_an_export_that_computes_something_else_is_refused(tiny: Dataset) -> None:
    model = build("first", ARTICLE["first"], TASK)
    found = predict(export(model, "first", CLASSES), tiny.test.images)
    verify(found, model, tiny.test.images)
    model.layers[-1].bias.assign(np.linspace(0, 1, 10))
    with pytest.raises(ExportError, match="differ by"):
        verify(found, model, tiny.test.images)


def test_an_interrupted_export_leaves_the_previous_model(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = exported / "first" / "1"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    record = Record.model_validate_json(before["metadata.json"])

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("training.report.plots.curves", interrupt)
    with pytest.raises(KeyboardInterrupt):
        publish(b"another model", record, exported)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
