"""The real server, started once, and the real data where the machine has it."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

ROOT = Path(__file__).parents[1]


@contextmanager
def run_server(*options: str) -> Iterator[str]:
    """Run `python -m serving` on a free port and yield its address."""
    with listening(sys.executable, "-m", "serving", "--port", "0", *options) as (address, _):
        yield address


@contextmanager
def listening(*command: str) -> Iterator[tuple[str, int]]:
    """Run a server and yield the address that it logs, and its process id."""
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        log = []
        for line in process.stderr:
            log.append(line)
            if match := re.search(r"listening on (\S+)", line):
                break
        else:
            pytest.fail(f"the server did not start:\n{''.join(log)}")
        try:
            yield match[1], process.pid
        finally:
            process.terminate()
            process.stderr.read()
    assert process.returncode == 0


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """Address of the service over the bundled models."""
    with run_server() as address:
        yield address


@pytest.fixture(scope="session")
def cifar10_dir() -> Path:
    """Folder of the official batches; tests that need it skip where it is not."""
    folder = Path(os.environ.get("CIFAR10_DIR", ROOT.parent / "shared" / "cifar-10-batches-py"))
    if not folder.is_dir():
        pytest.skip(f"CIFAR-10 is not at {folder}; set CIFAR10_DIR to run this test")
    return folder


@pytest.fixture
def picture() -> npt.NDArray[np.uint8]:
    """A picture of noise, [32, 32, 3]."""
    return np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
