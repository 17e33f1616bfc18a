"""The commit and the machine behind a run or a record."""

import os
import platform
import subprocess
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_CODE = ("training", "models/*.py", "uv.lock")  # an export changes the rest of models/


@cache
def commit() -> str | None:
    """Return the commit of this code, with `-dirty` if the code has changed since.

    The first call decides, because a process keeps the code that it has loaded. None outside a git
    checkout, or without git.
    """
    try:
        # The code may lie inside another project's checkout.
        _git("ls-files", "--error-unmatch", __file__)
        found = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--", *_CODE)
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{found}-dirty" if changed else found


def machine() -> str:
    """Return this machine's processor, architecture and number of cores."""
    return f"{_processor()} ({platform.machine()}, {os.cpu_count()} cores)"


def _processor() -> str:
    try:  # `platform.processor` does not have the name on Linux
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"


def _git(*arguments: str) -> str:
    command = ["git", "--no-optional-locks", *arguments]
    result = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=True)  # noqa: S603  # only our own arguments
    return result.stdout.strip()
