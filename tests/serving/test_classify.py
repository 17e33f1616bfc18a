"""`python -m serving classify`, run as a user runs it."""

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from PIL import Image

from tests.helpers import ROOT, SHIP, error_line, wait_for
from tests.serving.classify import images_in, rows, run

COMMAND = (sys.executable, "-m", "serving", "classify")  # for what a process alone can do
COLUMNS = ["file", "model", "version", "precision", "class", "confidence", "error"]


def test_answers_are_the_services(folder: Path, server: str) -> None:
    result = run(folder, "--model", "first", status=1)
    found = rows(result.stdout)
    assert list(found[0]) == COLUMNS
    assert [row["file"] for row in found] == images_in(folder)
    for row in found[:10]:
        answer = requests.post(
            f"{server}/predict?model=first",
            data=Path(row["file"]).read_bytes(),
            headers={"Content-Type": "image/png"},
        ).json()["predictions"][0]["models"][0]
        assert (row["class"], row["version"]) == (answer["class"], str(answer["version"]))
        assert float(row["confidence"]) == pytest.approx(answer["confidence"], abs=2e-5)
    [broken] = [row for row in found if row["error"]]
    assert broken["file"].endswith("broken.jpg")
    assert (broken["class"], broken["confidence"]) == ("", "")
    assert "1 of 41 files" in result.stderr


def test_json_lines_of_several_models(folder: Path) -> None:
    result = run(
        *(folder / "0", "--format", "jsonl", "--top-k", "3", "--precision", "int8"),
        *("--model", "first", "--model", "second", "--version", "1"),
    )
    documents = [json.loads(line) for line in result.stdout.splitlines()]
    assert [d["model"] for d in documents] == ["first", "second"] * 14
    for document in documents:
        assert (document["version"], document["precision"]) == (1, "int8")
        probabilities = list(document["probabilities"].values())
        assert probabilities == sorted(probabilities, reverse=True)
        assert len(probabilities) == 3
        assert document["probabilities"][document["class"]] == document["confidence"]


def test_top_k_are_columns(folder: Path) -> None:
    [image] = [path for path in images_in(folder) if "/0/00" in path]
    [row] = rows(run(image, "--model", "first", "--top-k", "2").stdout)
    assert list(row) == [*COLUMNS[:-1], "class_2", "confidence_2", "error"]
    assert 0 < float(row["confidence_2"]) <= float(row["confidence"])


def test_the_default_is_the_most_accurate_model(server: str) -> None:
    models = requests.get(f"{server}/models").json()["models"]
    newest: dict[str, dict[str, str]] = {}
    for model in models:
        newest.setdefault(model["name"], model)
    best = max(newest.values(), key=lambda model: model["test_accuracy"])
    [row] = rows(run(SHIP).stdout)
    assert (row["model"], row["version"]) == (best["name"], str(best["version"]))


def test_an_image_of_another_size_is_told_the_commands_option(tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    Image.new("RGB", (96, 32)).save(path)
    [row] = rows(run("--model", "first", "--no-resize", path, status=1).stdout)
    assert "is 96×32 pixels" in row["error"]
    assert row["error"].endswith("Omit --no-resize to crop and resample its center.")
    [row] = rows(run("--model", "first", path).stdout)
    assert row["class"]
    [row] = rows(run("--model", "first", "--max-pixels", "3071", path, status=1).stdout)
    assert "at most 3,071" in row["error"]


@pytest.mark.slow
def test_a_killed_run_is_resumed(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "rows.csv"
    many = "\n".join(images_in(folder)) + "\n"
    for i in range(150):  # hard links, so that there is work left when it is killed
        os.link(images_in(folder)[0], tmp_path / f"{i:03}.png")
    arguments = [*COMMAND, "-", str(tmp_path), "--model", "final", "--output", str(output)]
    with subprocess.Popen(
        arguments, cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as killed:
        assert killed.stdin
        killed.stdin.write(many.encode())
        killed.stdin.close()
        wait_for(lambda: output.exists() and output.read_bytes().count(b"\n") >= 10)
        killed.kill()
    assert killed.returncode == -signal.SIGKILL
    before = output.read_bytes()
    assert before.count(b"\n") < 150
    result = run(
        "-", tmp_path, "--model", "final", "--output", output, stdin=many.encode(), status=1
    )
    assert "1 of 191 files" in result.stderr
    assert output.read_bytes().startswith(before[: before.rindex(b"\n") + 1])
    assert [row["file"] for row in rows(output.read_bytes())] == [
        *images_in(folder),
        *sorted(map(str, tmp_path.glob("*.png"))),
    ]


def test_a_full_disk_is_reported() -> None:
    stderr = run(SHIP, "--model", "first", "--output", "/dev/full", status=1).stderr
    assert "cannot write /dev/full: No space left on device" in stderr


def test_wrong_names() -> None:
    for options, words in (
        (("--model", "fist"), "available models: first, second, final"),
        (("--version", "7"), "available versions"),
    ):
        assert words in run(SHIP, *options, status=2).stderr
    assert "no images in serving/classify" in run("serving/classify", status=1).stderr


@pytest.mark.slow
def test_a_progress_bar_on_a_terminal(folder: Path, tmp_path: Path) -> None:
    terminal, other_end = pty.openpty()
    arguments = [*COMMAND, str(folder), "--model", "first", "--output", str(tmp_path / "rows.csv")]
    with subprocess.Popen(arguments, cwd=ROOT, stderr=other_end) as process:
        os.close(other_end)
        shown = b""
        try:
            while chunk := os.read(terminal, 4096):
                shown += chunk
        except OSError:  # the other end is closed
            pass
    os.close(terminal)
    assert process.returncode == 1
    assert b"100%" in shown


def test_closed_streams_are_not_missed(folder: Path) -> None:
    image = images_in(folder)[0]
    shell = ("sh", "-c", 'exec "$@" 2>&- <&-', "sh", *COMMAND, image, "--model", "first")
    result = subprocess.run(shell, cwd=ROOT, capture_output=True, check=False)
    assert result.returncode == 0
    assert [row["file"] for row in rows(result.stdout)] == [image]


def test_a_closed_output_is_an_error(folder: Path) -> None:
    shell = ("sh", "-c", 'exec "$@" >&-', "sh", *COMMAND, images_in(folder)[0], "--model", "first")
    result = subprocess.run(shell, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "standard output is closed" in error_line(result.returncode, result.stderr)
