"""What the README shows is what the records and the service say."""

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from models.record import RECORD_FILE, Record
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return [part.split("```")[0].strip() for part in README.split(f"```{language}\n")[1:]]


def test_the_table_agrees_with_the_records() -> None:
    for name in ("first", "second", "final"):
        [row] = [line for line in README.splitlines() if line.startswith(f"| `{name}`")]
        assert row == table_row(ROOT / "models" / name / "1")


def table_row(version: Path) -> str:
    record = Record.model_validate_json((version / RECORD_FILE).read_bytes())
    article = record.article
    pairs = [
        (article.train_accuracy, record.train_accuracy),
        (article.validation_accuracy, record.validation_accuracy),
        (article.train_accuracy - article.validation_accuracy, record.generalisation_gap),
        (article.test_accuracy, record.test_accuracy),
    ]
    cells = [
        f"`{record.name}`",
        f"{record.parameters:,}",
        f"{record.epochs_completed} of {record.epochs}",
        *(f"{100 * theirs:.2f} / **{100 * ours:.2f}**" for theirs, ours in pairs),
    ]
    return f"| {' | '.join(cells)} |"


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
