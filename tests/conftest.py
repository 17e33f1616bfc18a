"""The real server, started once, and the real data where the machine has it."""

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parents[1]
# As root, on a machine whose network reaches nothing but this server.
CHROMIUM_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@contextmanager
def run_server(
    *options: str, log: list[str] | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Run `python -m serving` on a free port and yield its address; its log goes to `log`."""
    command = (sys.executable, "-m", "serving", "--port", "0", *options)
    with listening(*command, log=log, environment=environment) as (address, _):
        yield address


@contextmanager
def listening(
    *command: str, log: list[str] | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[str, int]]:
    """Run a server and yield the address that it logs, and its process id."""
    log = [] if log is None else log
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr
        for line in process.stderr:
            log.append(line)
            if match := re.search(r'listening on ([^"\s]+)', line):
                break
        else:
            pytest.fail(f"the server did not start:\n{''.join(log)}")
        # The pipe must be read, or a full one would stop the server.
        reader = threading.Thread(target=log.extend, args=[process.stderr])
        reader.start()
        try:
            yield match[1], process.pid
        finally:
            process.terminate()
            process.wait()
            reader.join()
    assert process.returncode == 0


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """Address of the service over the bundled models."""
    with run_server() as address:
        yield address


@pytest.fixture(scope="module")  # while it is open, no test may run an event loop of its own
def browser() -> Iterator[Browser]:
    """A headless Chromium; tests that need it skip where it is not."""
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


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
