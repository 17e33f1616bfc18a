"""What the README shows is what the records and the service say."""

import json
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from models.record import RECORD_FILE, Record
from serving import NAME, VERSION
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return [part.split("```")[0].strip() for part in README.split(f"```{language}\n")[1:]]


def test_the_table_agrees_with_the_records() -> None:
    shown = [line for line in README.splitlines() if line.startswith(("| `", "| | "))]
    assert shown == [
        row for name in ("first", "second", "final") for row in table_rows(ROOT / "models" / name)
    ]


def table_rows(model: Path) -> list[str]:
    """Return the article's figures and each bundled version's, the article's recipe first."""
    versions = sorted(path for path in model.iterdir() if path.name.isdecimal())
    records = [
        Record.model_validate_json((version / RECORD_FILE).read_bytes()) for version in versions
    ]
    article = records[0].article
    gap = article.train_accuracy - article.validation_accuracy
    rows = [
        row(
            f"`{records[0].name}`",
            "the article",
            str(records[0].epochs),
            article.train_accuracy,
            article.validation_accuracy,
            gap,
            article.test_accuracy,
        )
    ]
    for record in records:
        epochs = f"{record.epochs_completed}"
        if record.epochs_completed < record.epochs:
            epochs += f" of {record.epochs}"
        rows.append(
            row(
                "",
                f"ours, {record.recipe} recipe",
                epochs,
                record.shown.train_accuracy,
                record.shown.validation_accuracy,
                record.shown.gap,
                record.test_accuracy,
            )
        )
    return rows


def test_the_countermeasures_are_the_study_s() -> None:
    [table] = [part for part in README.split("\n\n") if part.startswith("| countermeasure")]
    assert table.splitlines()[2:] == study_rows()


def study_rows() -> list[str]:
    """Return each countermeasure's mean figures, the ones of the README's table."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for result in json.loads((ROOT / "models" / "study.json").read_bytes())["results"]:
        by_name.setdefault(result["countermeasure"], []).append(result)
    rows = []
    for name, results in by_name.items():
        training, validation, test = (
            fmean(result[split]["accuracy"] for result in results)
            for split in ("train", "validation", "test")
        )
        cells = [
            f"{100 * share:.2f}" for share in (training, validation, training - validation, test)
        ]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return rows


def row(model: str, figures: str, epochs: str, *accuracies: float) -> str:
    cells = [model, figures, epochs, *(f"{100 * accuracy:.2f}" for accuracy in accuracies)]
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


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


def test_classify_prints_as_shown() -> None:
    [command] = [block for block in blocks("sh") if " classify " in block]
    arguments = shlex.split(command.removeprefix("uv run python "))
    result = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    [shown] = blocks("csv")
    for line, expected in zip(result.stdout.splitlines(), shown.splitlines(), strict=True):
        check_close(cells(line), cells(expected))


def cells(line: str) -> list[str | float]:
    return [float(cell) if "." in cell and "/" not in cell else cell for cell in line.split(",")]


def check_close(found: Any, shown: Any) -> None:
    """Compare two JSON values; another processor may round a probability otherwise."""
    match shown:
        case dict():
            assert list(found) == list(shown)
            for key, value in shown.items():
                check_close(found[key], value)
        case list():
            assert len(found) == len(shown)
            for one, other in zip(found, shown, strict=True):
                check_close(one, other)
        case float():
            assert found == pytest.approx(shown, abs=2e-5)
        case _:
            assert found == shown


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (project["name"], project["version"]) == (NAME, VERSION)
