"""Each example, run as its first lines say, against the real server."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import requests
from nbclient import NotebookClient
from PIL import Image

from docs.demonstration import DRAWINGS
from models.record import Record
from tests.helpers import HANG, KEYS, MODELS, ROOT, SHIP

EXAMPLES = ROOT / "examples"
RUNNERS = {".py": sys.executable, ".mjs": "node", ".sh": "sh"}


def run(
    example: str, *arguments: str | Path, service: str, key: str = ""
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run an example; return what came of it, and the lines that it printed."""
    path = EXAMPLES / example
    runner = shutil.which(RUNNERS[path.suffix])
    if runner is None:
        pytest.skip(f"{RUNNERS[path.suffix]} is not installed")
    result = subprocess.run(
        [runner, str(path), *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "SERVICE": service, "API_KEY": key},
        capture_output=True,
        text=True,
        check=False,
    )
    return result, result.stdout.splitlines()


def test_digits_are_files_in_a_folder_for_each(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="needs the training group")
    result, _ = run("digits.py", tmp_path / "digits", service="")
    assert result.returncode == 0, result.stderr
    assert len(list(tmp_path.glob("digits/[0-9]/*.png"))) == 1797


def test_overfitting_shows_each_records_figures(server: str) -> None:
    result, [_, *lines] = run("overfitting.py", server, service=server)
    assert result.returncode == 0, result.stderr
    records = requests.get(f"{server}/models").json()["models"]
    for line, record in zip(lines, records, strict=True):
        assert line.startswith(f"{record['name']:7} {record['recipe']:9} ")
        for figure in ("train_accuracy", "validation_accuracy", "generalization_gap"):
            assert f" {record[figure]:.1%} " in line
        kept = int(line.split()[-1].removesuffix("%"))
        # The frog was chosen for this.
        assert kept == 100 and "frog" in line if record["recipe"] == "improved" else kept < 60


def test_the_drawings_are_as_drawn_and_show_what_the_page_says(server: str) -> None:
    for name, (draw, seed) in DRAWINGS.items():
        path = SHIP.with_name(f"{name}.png")
        with Image.open(path) as image:
            assert np.array_equal(np.asarray(image), draw(seed))
        kept = {}
        for version in (1, 2):
            answer = requests.post(f"{server}/stability?version={version}", data=path.read_bytes())
            models = answer.json()["models"]
            kept[version] = [model["kept"] for model in models]
        assert {model["class"] for model in models} == {name}
        assert kept[2] == [1, 1, 1]
        assert max(kept[1]) < 1


@pytest.mark.parametrize("client", ["client.py", "client.mjs"])
def test_a_client_prints_each_models_answer_or_the_refusal(
    server: str, tmp_path: Path, client: str
) -> None:
    answer = requests.post(f"{server}/predict", data=SHIP.read_bytes()).json()["predictions"][0]
    result, lines = run(client, SHIP, service=server)
    assert result.returncode == 0, result.stderr
    assert [model["model"] for model in answer["models"]] == MODELS
    for line, model in zip(lines, answer["models"], strict=True):
        confidence = f"{model['confidence']:.1%}"
        assert line.startswith(f"ship.png: {model['class']} ({confidence}) by {model['model']}")

    (tmp_path / "notes.txt").write_text("no image")
    result, lines = run(client, tmp_path / "notes.txt", service=server)
    assert "notes.txt" in result.stdout + result.stderr
    assert "PNG" in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def test_curl_prints_the_answer_and_fails_with_the_refusal(server: str, tmp_path: Path) -> None:
    result, [line] = run("client.sh", SHIP, service=server)
    assert result.returncode == 0, result.stderr
    assert '"filename":"ship.png"' in line
    (tmp_path / "notes.txt").write_text("no image")
    result, _ = run("client.sh", tmp_path / "notes.txt", service=server)
    assert result.returncode != 0
    assert "notes.txt is " in result.stdout


def test_a_folder_has_a_row_for_each_file(server: str, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        shutil.copy(SHIP, tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    result, [header, a, b, notes] = run("folder.py", tmp_path, service=server)
    assert result.returncode == 0, result.stderr
    assert header == "file,class,confidence,problem"
    assert a.startswith(f"{tmp_path}/a.png,ship,0.")
    assert b == a.replace("a.png", "b.png")
    assert notes.startswith(f"{tmp_path}/notes.txt,,,")
    assert "PNG" in notes


def test_each_sends_the_key_that_a_service_requires(tmp_path: Path, keyed_server: str) -> None:
    shutil.copy(SHIP, tmp_path)
    arguments = {"overfitting.py": keyed_server, "folder.py": str(tmp_path)}
    clients = [path for path in EXAMPLES.iterdir() if path.suffix in RUNNERS]
    for example in sorted(path.name for path in clients if "SERVICE" in path.read_text()):
        argument = arguments.get(example, str(SHIP))
        result, _ = run(example, argument, service=keyed_server, key=KEYS[0])
        assert result.returncode == 0, result.stderr
        assert ("frog" if example == "overfitting.py" else "ship") in result.stdout
        assert "API key" not in result.stdout


def test_the_notebook_shows_the_records_and_holds_no_output(
    keyed_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib", reason="needs the training group")
    notebook = nbformat.read(EXAMPLES / "overfitting.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path))  # nobody's own settings
    monkeypatch.delenv("MPLBACKEND", raising=False)
    monkeypatch.setenv("SERVICE", keyed_server)
    monkeypatch.setenv("API_KEY", KEYS[0])
    NotebookClient(notebook, timeout=HANG, kernel_name="python3").execute()

    outputs = {cell.id: cell.get("outputs", []) for cell in notebook.cells}
    charts = {
        name
        for name, found in outputs.items()
        if any("image/png" in output.get("data", ()) for output in found)
    }
    printed = {
        name: "".join(output.get("text", "") for output in found) for name, found in outputs.items()
    }
    study = requests.get(f"{keyed_server}/study", headers={"X-API-Key": KEYS[0]}).json()
    is_measured = any(run["history"] for run in study["experiments"]["random-labels"])
    assert ("draw-random-labels" in charts) == is_measured
    assert ("--vary random-labels" in printed["draw-random-labels"]) != is_measured
    assert {"draw-curves", "draw-techniques"} <= charts
    record = Record.model_validate_json((ROOT / "models/first/1/metadata.json").read_bytes())
    last = len(record.history)
    best = min(range(last), key=lambda i: record.history[i].val_loss)
    kept = f"validation {record.history[best].val_accuracy:.1%}"
    assert f"lowest validation loss, epoch {best + 1}: " in printed["lowest"]
    assert f"{kept}, gap " in printed["lowest"]
    solution = printed["show-solution"].splitlines()
    assert f"article, patience 10: epoch {best + 1} of {last}, {kept}" in solution
