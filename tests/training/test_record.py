"""`python -m training record`: a file of any origin, with what was measured of it and no more."""

import hashlib
import json
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner, Result

from models.record import Record
from serving.settings import Settings
from tests.helpers import ROOT
from tests.training.generated import dataset, generate
from training import data
from training.__main__ import main
from training.export.verify import verify
from training.measure.evaluate import measure
from training.measure.predict import find_softmax

MODEL = ROOT / "models/first/2/model.onnx"
IMAGES = dataset(generate(20, seed=1), generate(200, seed=2))


@pytest.fixture(autouse=True)
def _generated_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "load", lambda *_, **__: IMAGES)


def run(file: Path, models: Path, *options: str) -> Result:
    command = ["record", str(file), "--models-dir", str(models), *options]
    return CliRunner().invoke(main, command)


def without_softmax(model: onnx.ModelProto) -> None:
    node = find_softmax(model.graph)
    node.CopyFrom(onnx.helper.make_node("Identity", node.input, node.output))


def with_another_input(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        node.input[:] = ["pixels" if name == "image" else name for name in node.input]
    model.graph.input[0].name = "pixels"


def test_a_record_holds_what_was_measured_and_no_more(tmp_path: Path) -> None:
    result = run(MODEL, tmp_path, "--name", "mine", "--version", "3", "--title", "My model")
    assert result.exit_code == 0, result.output
    folder = tmp_path / "mine/3"
    assert (folder / "model.onnx").read_bytes() == MODEL.read_bytes()
    stored = json.loads((folder / "metadata.json").read_bytes())
    measured = measure(MODEL.read_bytes(), IMAGES)
    assert measured.model_dump(mode="json").items() <= stored.items()
    assert set(stored) - set(measured.model_dump()) == {
        *("name", "title", "version", "classes", "class_accuracy", "sha256", "dataset")
    }
    assert stored["sha256"] == hashlib.sha256(MODEL.read_bytes()).hexdigest()
    [verified] = verify(Settings(models_dir=tmp_path, provider="cpu"), IMAGES)
    assert verified.recorded == verified.found == stored["test_accuracy"]
    card = (tmp_path / "mine/README.md").read_text("utf-8")
    assert "The training was not recorded." in card
    assert "## Training" not in card
    assert sorted(path.name for path in folder.iterdir()) == [
        *("metadata.json", "model.onnx", "reliability.png")
    ]


def test_a_version_is_replaced_by_force_alone(tmp_path: Path) -> None:
    folder = tmp_path / "mine/1"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"before")
    result = run(MODEL, tmp_path, "--name", "mine")
    assert f"{folder} already exists; choose another --version" in result.output
    assert (folder / "model.onnx").read_bytes() == b"before"
    assert run(MODEL, tmp_path, "--name", "mine", "--force").exit_code == 0
    assert Record.model_validate_json((folder / "metadata.json").read_bytes()).name == "mine"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without_softmax, "does not return probabilities: its outputs are -"),
        (with_another_input, "has inputs and outputs [('pixels'"),
        (None, "ONNX Runtime cannot load"),
    ],
)
def test_what_the_service_could_not_serve_is_refused(
    tmp_path: Path, change: object, words: str
) -> None:
    model = onnx.load(MODEL)
    if callable(change):
        change(model)
    file = tmp_path / "other.onnx"
    file.write_bytes(model.SerializeToString() if change else b"no model")
    result = run(file, tmp_path / "models", "--name", "mine")
    assert result.exit_code == 1
    [line] = result.output.splitlines()
    assert str(file) in line
    assert words in line
    assert not list((tmp_path / "models").glob("mine/*"))


@pytest.mark.parametrize("name", ["", ".mine", "a/b", "lost+found"])
def test_a_name_that_is_no_folders_is_refused(tmp_path: Path, name: str) -> None:
    result = run(MODEL, tmp_path, "--name", name)
    assert result.exit_code == 2
    assert "cannot name a model" in result.output
