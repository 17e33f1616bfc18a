"""README.md and the documents beside it show what the records and the service say."""

import json
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from serving import NAME, VERSION
from tests.helpers import ROOT


def blocks(language: str, document: str = "README.md") -> list[str]:
    text = (ROOT / document).read_text()
    return [part.split("```")[0].strip() for part in text.split(f"```{language}\n")[1:]]


def test_tables_cards_and_plots_say_what_the_records_say(tmp_path: Path) -> None:
    reason = "needs the training group"
    report = pytest.importorskip("training.report.report", reason=reason)
    report.check_report(ROOT / "models", ROOT)

    models = tmp_path / "models"
    shutil.copytree(ROOT / "models", models, ignore=shutil.ignore_patterns("*.onnx"))
    (tmp_path / "docs").mkdir()
    for document in report.DOCUMENT_TABLES:
        shutil.copy(ROOT / document, tmp_path / document)
    report.check_report(models, tmp_path)
    changed = [*map(str, report.DOCUMENT_TABLES), "models/first/README.md"]
    for name in changed:
        path = tmp_path / name
        path.write_text(path.read_text("utf-8").replace("| improved |", "| better |"), "utf-8")
    shutil.copy(models / "first/1/curves.png", models / "first/2/curves.png")
    with pytest.raises(report.StaleError) as stale:
        report.check_report(models, tmp_path)
    for name in (*changed, "models/first/2/curves.png"):
        assert name in str(stale.value)


def test_the_curl_answers_as_shown(server: str) -> None:
    [command] = [block for block in blocks("sh") if block.startswith("curl")]
    command = command.replace("http://127.0.0.1:8000", server)
    result = subprocess.run(
        ["curl", "--silent", "--show-error", *shlex.split(command)[1:]],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    [shown] = map(json.loads, blocks("json"))
    check_close(json.loads(result.stdout), shown)


def test_the_python_asks_as_the_curl_does(server: str) -> None:
    [code] = blocks("python")
    result = subprocess.run(
        [sys.executable, "-c", code.replace("http://127.0.0.1:8000", server)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    [shown] = map(json.loads, blocks("json"))
    models = shown["predictions"][0]["models"]
    assert result.stdout.splitlines() == [f"{m['model']} {m['class']}" for m in models]


def test_classify_prints_as_shown() -> None:
    [command] = blocks("sh", "docs/classify.md")
    arguments = shlex.split(command.removeprefix("uv run python "))
    result = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    [shown] = blocks("csv", "docs/classify.md")
    for line, expected in zip(result.stdout.splitlines(), shown.splitlines(), strict=True):
        check_close(cells(line), cells(expected))


def cells(line: str) -> list[str | float]:
    return [float(cell) if "." in cell and "/" not in cell else cell for cell in line.split(",")]


def check_close(found: Any, shown: Any) -> None:
    """Compare two JSON values; on another processor, int8 may round a step otherwise."""
    match shown:
        case dict():
            assert list(found) == list(shown)
            for key, value in shown.items():
                if key == "test_accuracy":
                    assert found[key] == value
                else:
                    check_close(found[key], value)
        case list():
            assert len(found) == len(shown)
            for one, other in zip(found, shown, strict=True):
                check_close(one, other)
        case float():
            assert found == pytest.approx(shown, abs=0.01)
        case _:
            assert found == shown


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (project["name"], project["version"]) == (NAME, VERSION)
