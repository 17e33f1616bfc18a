"""The real server, started once, and the real data if the machine has it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.helpers import ROOT, run_server

# As root, on a machine whose network reaches nothing but this server.
CHROMIUM_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that open a browser or train, so that they can be left out."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")
        if item.path.is_relative_to(ROOT / "tests" / "training"):
            item.add_marker("slow")


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """Address of the service over the bundled models."""
    with run_server() as address:
        yield address


@pytest.fixture(scope="module")  # while it is open, no test may run an event loop of its own
def browser() -> Iterator[Browser]:
    """A headless Chromium; tests that need it are skipped without it."""
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def cifar10_dir() -> Path:
    """Folder of the official batches; tests that need it are skipped without it."""
    folder = Path(os.environ.get("CIFAR10_DIR", ROOT.parent / "shared" / "cifar-10-batches-py"))
    if not folder.is_dir():
        pytest.skip(f"CIFAR-10 is not at {folder}; set CIFAR10_DIR to run this test")
    return folder


@pytest.fixture
def image() -> npt.NDArray[np.uint8]:
    """An image of noise, [32, 32, 3]."""
    return np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
