"""The real server, started once, and the real data if the machine has it."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest

from tests.helpers import KEYS, ROOT, run_server

if TYPE_CHECKING:
    from training.data import Split


def pytest_configure() -> None:
    """Let tests press Ctrl-C: a shell has the commands in its background ignore it, and theirs."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Run the whole suite in two processes, which takes half the time; chosen tests in this one."""
    return 2 if config.args_source is pytest.Config.ArgsSource.TESTPATHS else 0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that open a browser, so that they can be left out."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


@pytest.fixture(scope="session")
def server_log() -> list[str]:
    """The lines that `server` has logged so far."""
    return []


@pytest.fixture(scope="session")
def server(server_log: list[str]) -> Iterator[str]:
    """Address of the service over the bundled models."""
    with run_server(log=server_log) as address:
        yield address


@pytest.fixture(scope="session")
def only_first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with `first` only."""
    folder: Path = tmp_path_factory.mktemp("models")
    (folder / "first").symlink_to(ROOT / "models" / "first")
    return folder


@pytest.fixture
def _one_model(only_first: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let services that this test starts load `first` only, which takes half the time."""
    monkeypatch.setenv("SERVING_MODELS_DIR", str(only_first))


@pytest.fixture(scope="session")
def keyed_server() -> Iterator[str]:
    """Address of a service that asks for one of KEYS, for its metrics, too."""
    with run_server("--api-key", ",".join(KEYS), "--metrics-need-key", "true") as address:
        yield address


@pytest.fixture(scope="session")
def cifar10_dir() -> Path:
    """Folder of the official batches; tests that need it are skipped without it."""
    folder = Path(os.environ.get("CIFAR10_DIR", ROOT.parent / "shared" / "cifar-10-batches-py"))
    if not folder.is_dir():
        pytest.skip(f"CIFAR-10 is not at {folder}; set CIFAR10_DIR to run this test")
    return folder


@pytest.fixture(scope="session")
def test_set(cifar10_dir: Path) -> "Split":
    """CIFAR-10's test images and their labels."""
    data = pytest.importorskip("training.data.cifar10", reason="needs the training group")
    split: Split = data.load_test(cifar10_dir)
    return split


@pytest.fixture
def image() -> npt.NDArray[np.uint8]:
    """An image of noise, [32, 32, 3]."""
    return np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
