"""The commands: what they refuse, in one line and before hours of work, and what they leave be."""

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from models.record import Record
from tests.helpers import ROOT
from tests.training.generated import start
from training.data.cifar10 import Cifar10
from training.export.publish import ReplaceError
from training.files import WriteError
from training.pipeline import Config, check_training, export_model, train_model
from training.report.report import RecordError, write_report


def error_line(*options: str, **environment: str) -> str:
    """Run a command that must fail; return the line that says why."""
    process = start(*options, **environment)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 1, output
    assert "Traceback" not in errors
    [line] = [line for line in errors.splitlines() if line.startswith("Error: ")]
    assert errors.endswith(f"{line}\n")
    return line


def test_help_says_what_the_versions_are_and_nothing_else() -> None:
    command = [sys.executable, "-m", "training", "--help"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stderr == ""
    assert "Version 1 of a model uses the article's recipe" in result.stdout
    assert "--epochs" in result.stdout  # an option of the command that runs without one


def test_a_backend_that_is_not_installed(tmp_path: Path) -> None:
    if importlib.util.find_spec("torch"):
        pytest.skip("torch is installed here")
    line = error_line("train", "--runs-dir", str(tmp_path), KERAS_BACKEND="torch")
    assert "torch is not installed" in line
    assert "KERAS_BACKEND" in line


def test_a_backend_that_keras_does_not_know(tmp_path: Path) -> None:
    line = error_line("train", "--runs-dir", str(tmp_path), KERAS_BACKEND="tensroflow")
    assert line == (
        "Error: KERAS_BACKEND is 'tensroflow'; set it to tensorflow, jax or torch, or unset it"
    )


@pytest.mark.parametrize("command", ["quantize", "evaluate"])
def test_without_models_there_is_nothing_to_do(tmp_path: Path, command: str) -> None:
    line = error_line(command, "--model", "final", "--models-dir", str(tmp_path))
    assert f"{tmp_path} holds no version of final; export one first" in line


def test_verify_takes_neither_tensorflow_nor_keras() -> None:
    # The test images are others here, so that every accuracy differs.
    report = (
        "import atexit, sys; atexit.register(lambda: print("
        "{'tensorflow', 'keras', 'jax', 'onnxruntime'} & sys.modules.keys()))"
    )
    process = start("verify", "--provider", "cpu", before=report)
    output, errors = process.communicate(timeout=300)
    assert "Error: the accuracy differs from the record: first version" in errors
    assert output.splitlines()[-1] == "{'onnxruntime'}"


def test_a_version_that_was_trained_longer_is_replaced_by_force_alone(
    tiny: Cifar10, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / "models"
    longer = Config("first", epochs=2, runs_dir=tmp_path / "longer", models_dir=models)
    train_model(longer, tiny)
    export_model(longer, tiny)
    written = f"written to {models}/first/1; by default the service answers with"
    assert f"{written} it" in capsys.readouterr().out

    shorter = replace(longer, epochs=1, runs_dir=tmp_path / "shorter")
    refused = rf"{models}/first/1 has 2 epochs, and its replacement only 1; use --force"
    with pytest.raises(ReplaceError, match=refused):
        check_training(shorter)
    check_training(shorter, force=True)
    train_model(shorter, tiny)
    before = (models / "first/1/metadata.json").read_bytes()
    with pytest.raises(ReplaceError, match=refused):
        export_model(shorter, tiny)
    assert (models / "first/1/metadata.json").read_bytes() == before
    (models / "first/2").mkdir()
    record = export_model(shorter, tiny, force=True)
    assert record.epochs_completed == 1
    assert f"{written} version 2" in capsys.readouterr().out

    # Another model's record that is none is left out of what an export writes, and said.
    (models / "second/1").mkdir(parents=True)
    (models / "second/1/metadata.json").write_text("{}")
    write_report(models, skip_broken=True)
    assert f"{models}/second/1/metadata.json is not a valid record" in capsys.readouterr().err
    assert (models / "first/README.md").exists()
    with pytest.raises(RecordError, match=r"second/1/metadata.json"):
        write_report(models)


def test_a_models_folder_that_cannot_be_written_is_found_before_the_first_epoch(
    tmp_path: Path,
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "first").touch()
    config = Config("first", runs_dir=tmp_path / "runs", models_dir=tmp_path / "models")
    with pytest.raises(WriteError, match=rf"cannot write to {tmp_path}/models/first"):
        check_training(config)


def test_what_other_programs_set_changes_nothing(tmp_path: Path) -> None:
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    notebook = {"MPLBACKEND": "module://of_a_notebook.backend_inline"}
    older = {"backend": "theano", "floatx": "float16", "image_data_format": "channels_first"}
    (tmp_path / "keras.json").write_text(json.dumps({"epsilon": 1e-7, **older}))
    environment = {**locale, **notebook, "KERAS_HOME": str(tmp_path)}
    folders = ("--runs-dir", str(tmp_path / "runs"), "--models-dir", str(tmp_path / "models"))
    process = start("--model", "first", "--epochs", "1", *folders, **environment)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    said = "sets backend theano, floatx float16, image_data_format channels_first; this command"
    assert f"{tmp_path}/keras.json {said}" in errors
    record = Record.model_validate_json((tmp_path / "models/first/1/metadata.json").read_bytes())
    assert (record.backend, record.precision) == ("tensorflow", "float32")
    for file in ("README.md", "1/metadata.json"):
        assert not (tmp_path / "models" / "first" / file).read_text("utf-8").isascii()


def test_a_third_recipe_makes_a_third_version(tmp_path: Path) -> None:
    recipe = (
        "from dataclasses import replace; from training.networks import recipes as r; "
        "r.RECIPES['mine'] = {'first': replace(r.ARTICLE['first'], name='mine', epochs=1)}; "
        "r.VERSIONS['mine'] = 3"
    )
    folders = ("--runs-dir", str(tmp_path / "runs"), "--models-dir", str(tmp_path / "models"))
    process = start("--model", "first", "--recipe", "mine", *folders, before=recipe)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert f"written to {tmp_path}/models/first/3; by default the service answers with it" in output
    card = (tmp_path / "models" / "first" / "README.md").read_text("utf-8")
    assert "| 3 | mine | 1 of 1 |" in card
