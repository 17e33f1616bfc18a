"""What the tests of `python -m serving classify` share."""

import csv
from pathlib import Path

from click.testing import CliRunner, Result

from serving.__main__ import main


def run(*arguments: str | Path, stdin: bytes = b"", status: int = 0) -> Result:
    """Run the command in this process."""
    result = CliRunner().invoke(main, ["classify", *map(str, arguments)], input=stdin)
    assert result.exit_code == status, result.output
    assert isinstance(result.exception, SystemExit | None)
    return result


def rows(content: bytes | str) -> list[dict[str, str]]:
    text = content if isinstance(content, str) else content.decode()
    return list(csv.DictReader(text.splitlines()))


def images_in(folder: Path) -> list[str]:
    return sorted(map(str, folder.glob("?/*")))
