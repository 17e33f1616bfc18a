"""Training tests need the training group; without it they are skipped.

A network of generated images trains in a second, but TensorFlow takes many to start, so commands
run in this process, on runs and bundles that were made once and are copied. A process of its own is
for a test that kills it, or that is about its start.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

pytest.importorskip("keras", reason="needs the training group: uv sync --group training")

from tests.training.generated import STARTED, generated
from training import data
from training.__main__ import main
from training.config import Config
from training.data import Dataset
from training.pipeline import export_model, train_model


@pytest.fixture(scope="session")
def tiny() -> Dataset:
    """Generated images that a network can learn: each class has a brightness of its own."""
    return generated()


@pytest.fixture
def command(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a command of `python -m training` in this process, on the generated images."""
    monkeypatch.setenv("CIFAR10_DIR", "generated")
    monkeypatch.setattr(data, "load", lambda *_, **__: tiny)
    return lambda *options: CliRunner().invoke(main, options, prog_name="python -m training")


@pytest.fixture(scope="session")
def _one_epoch(tiny: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs: Path = tmp_path_factory.mktemp("trained") / "runs"
    train_model(Config("first", epochs=1, runs_dir=runs), tiny)
    return runs


@pytest.fixture
def trained(_one_epoch: Path, tmp_path: Path) -> Config:
    """`first`, trained for an epoch in a folder of the test's own."""
    shutil.copytree(_one_epoch, tmp_path / "runs")
    return Config("first", epochs=1, runs_dir=tmp_path / "runs", models_dir=tmp_path / "models")


@pytest.fixture(scope="session")
def _exported(tiny: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("exported")
    config = Config("first", "article", 12, 7, "mixed_bfloat16", folder / "runs", folder / "models")
    train_model(config, tiny)
    export_model(config, tiny)
    return config.models_dir


@pytest.fixture
def exported(_exported: Path, tmp_path: Path) -> Path:
    """Models with a version 1 of `first`: 12 epochs in mixed_bfloat16, from the seed 7."""
    return Path(shutil.copytree(_exported, tmp_path / "models"))


@pytest.fixture(autouse=True)
def _no_training_outlives_its_test() -> Iterator[None]:
    yield
    while STARTED:
        with STARTED.pop() as process:  # which closes its pipes
            process.kill()
