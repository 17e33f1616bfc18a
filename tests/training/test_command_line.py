"""The commands: what they refuse, in one line and before hours of work, and what they leave be."""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from models.bundle import BundleError
from models.record import Record
from tests.helpers import HANG, ROOT, error_line
from tests.training.generated import generated, start
from training.config import Config
from training.data import Dataset
from training.data.cifar10 import SHA256
from training.export.publish import ReplaceError
from training.files import WriteError
from training.pipeline import check_training, export_model
from training.report.report import write_report


def test_help_says_what_the_versions_are_and_nothing_else() -> None:
    command = [sys.executable, "-m", "training", "--help"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stderr == ""
    assert "Version 1 of a model uses the article's recipe" in result.stdout
    assert "--epochs" in result.stdout  # an option of the command that runs without one


def test_a_backend_that_is_not_installed(tmp_path: Path) -> None:
    if importlib.util.find_spec("torch"):
        pytest.skip("torch is installed here")
    process = start("train", "--runs-dir", str(tmp_path), KERAS_BACKEND="torch")
    _, errors = process.communicate(timeout=HANG)
    line = error_line(process.returncode, errors)
    assert "torch is not installed" in line
    assert "KERAS_BACKEND" in line


def test_a_backend_that_keras_does_not_know(
    command: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "tensroflow")
    result = command("train", "--runs-dir", str(tmp_path))
    assert error_line(result.exit_code, result.stderr) == (
        "Error: KERAS_BACKEND is 'tensroflow'; set it to tensorflow, jax or torch, or unset it"
    )


@pytest.mark.parametrize("name", ["quantize", "evaluate"])
def test_without_models_there_is_nothing_to_do(
    command: Callable[..., Result], tmp_path: Path, name: str
) -> None:
    result = command(name, "--model", "final", "--models-dir", str(tmp_path))
    line = error_line(result.exit_code, result.stderr)
    assert f"{tmp_path} holds no version of final; export one first" in line


def test_verify_takes_neither_tensorflow_nor_keras(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "models/first/1", tmp_path / "first/1")
    path = tmp_path / "first/1/metadata.json"
    path.write_text(path.read_text().replace(SHA256, generated().sha256))
    # The test images are others here, so that every accuracy differs.
    report = (
        "import atexit, sys; atexit.register(lambda: print("
        "{'tensorflow', 'keras', 'jax', 'onnxruntime'} & sys.modules.keys()))"
    )
    process = start("verify", "--provider", "cpu", "--models-dir", str(tmp_path), before=report)
    output, errors = process.communicate(timeout=HANG)
    assert "Error: the accuracy differs from the record: first version" in errors
    assert output.splitlines()[-1] == "{'onnxruntime'}"


def test_a_version_that_was_trained_longer_is_replaced_by_force_alone(
    tiny: Dataset, trained: Config, exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = trained.models_dir
    assert models == exported
    refused = rf"{models}/first/1 has 12 epochs, and its replacement only 1; use --force"
    with pytest.raises(ReplaceError, match=refused):
        check_training(trained, tiny)
    check_training(trained, tiny, force=True)
    before = (models / "first/1/metadata.json").read_bytes()
    with pytest.raises(ReplaceError, match=refused):
        export_model(trained, tiny)
    assert (models / "first/1/metadata.json").read_bytes() == before
    (models / "first/2").mkdir()
    record = export_model(trained, tiny, force=True)
    assert record.epochs_completed == 1
    written = f"written to {models}/first/1; by default the service answers with version 2"
    assert written in capsys.readouterr().out

    # Another model's record that is none is left out of what an export writes, and said.
    (models / "second/1").mkdir(parents=True)
    (models / "second/1/metadata.json").write_text("{}")
    write_report(models, skip_broken=True)
    assert f"{models}/second/1/metadata.json is not valid" in capsys.readouterr().err
    assert (models / "first/README.md").exists()
    with pytest.raises(BundleError, match=r"second/1/metadata.json"):
        write_report(models)


def test_a_models_folder_that_cannot_be_written_is_found_before_the_first_epoch(
    tiny: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "first").touch()
    config = Config("first", runs_dir=tmp_path / "runs", models_dir=tmp_path / "models")
    with pytest.raises(WriteError, match=rf"cannot write to {tmp_path}/models/first"):
        check_training(config, tiny)


def test_what_other_programs_set_changes_nothing(tmp_path: Path) -> None:
    """Nor does it for a third recipe, which makes a third version."""
    recipe = (
        "from dataclasses import replace; from training.networks import recipes as r; "
        "r.RECIPES['mine'] = {'first': replace(r.ARTICLE['first'], name='mine', epochs=1)}; "
        "r.VERSIONS['mine'] = 3"
    )
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    notebook = {"MPLBACKEND": "module://of_a_notebook.backend_inline"}
    older = {"backend": "theano", "floatx": "float16", "image_data_format": "channels_first"}
    (tmp_path / "keras.json").write_text(json.dumps({"epsilon": 1e-7, **older}))
    environment = {**locale, **notebook, "KERAS_HOME": str(tmp_path)}
    models = tmp_path / "models"
    folders = ("--runs-dir", str(tmp_path / "runs"), "--models-dir", str(models))
    options = ("--model", "first", "--recipe", "mine", "--epochs", "1", *folders)
    process = start(*options, before=recipe, **environment)
    output, errors = process.communicate(timeout=HANG)
    assert process.returncode == 0, errors
    said = "sets backend theano, floatx float16, image_data_format channels_first; this command"
    assert f"{tmp_path}/keras.json {said}" in errors
    assert f"written to {models}/first/3; by default the service answers with it\n" in output
    record = Record.model_validate_json((models / "first/3/metadata.json").read_bytes())
    assert (record.backend, record.precision) == ("tensorflow", "float32")
    assert "| 3 | mine | 1 of 1 |" in (models / "first/README.md").read_text("utf-8")
    for file in ("README.md", "3/metadata.json"):
        assert not (models / "first" / file).read_text("utf-8").isascii()
