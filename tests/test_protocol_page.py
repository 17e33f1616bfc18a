"""The examples of docs/inference-protocol.md, run."""

import re
import subprocess
import sys

import pytest

from docs import http
from tests.helpers import ROOT

PAGE = (ROOT / "docs" / "inference-protocol.md").read_text()
EXAMPLES = re.findall(r"```(python|sh)\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)


def test_every_block_is_an_example() -> None:
    assert 2 * len(EXAMPLES) == PAGE.count("```") // 2


@pytest.mark.parametrize(("language", "program", "shown"), EXAMPLES)
def test_it_prints_what_is_shown(server: str, language: str, program: str, shown: str) -> None:
    address = server.removeprefix("http://")
    command = [sys.executable, "-c"] if language == "python" else ["sh", "-c"]
    result = subprocess.run(
        [*command, program.replace("127.0.0.1:8000", address)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert http.same(result.stdout.strip(), shown.strip()), result.stdout
