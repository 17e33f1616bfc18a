"""A data set that a network learns in a few epochs, and the command line with it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.record import CLASSES
from tests.helpers import ROOT, wait_for
from training.data import Dataset, Split
from training.data.cifar10 import TASK
from training.runs.checkpoints import RunFolder

ENDLESS = 100_000  # epochs, for a training that a test stops

STARTED: list[subprocess.Popen[str]] = []

_COMMAND = """
import sys
from tests.training.generated import generated
from training import data
from training.__main__ import main

data.load = lambda *_, **__: generated()
main(sys.argv[1:], prog_name="python -m training")
"""


def noise(seed: int, *shape: int) -> npt.NDArray[np.uint8]:
    """Return images of noise."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def generate(size: int, seed: int) -> Split:
    """Return noisy images whose brightness tells their class."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 10, size)
    noise = random.integers(0, 20, (size, 32, 32, 3), dtype=np.uint8)
    bright = (20 * labels[:, None, None, None]).astype(np.uint8)
    return Split(images=noise + bright, labels=labels)


def generated() -> Dataset:
    """Return the images that most tests train on."""
    return dataset(generate(320, seed=1), generate(200, seed=2))


def dataset(train: Split, test: Split) -> Dataset:
    """Return a data set of CIFAR-10's classes; a fifth of `train` is for validation."""
    at = len(train) * 4 // 5
    return Dataset(
        name="generated",
        source="noise",
        classes=CLASSES,
        train=train.take(slice(at)),
        validation=train.take(slice(at, None)),
        test=test,
        split="in order",
        task=TASK,
    )


def pixels(dataset: Dataset) -> dict[str, set[bytes]]:
    """Return the bytes of each part's images."""
    return {
        name: {image.tobytes() for image in part.images} for name, part in dataset.parts.items()
    }


def counts(dataset: Dataset) -> dict[str, list[int]]:
    """Return the images of each class, by part."""
    return {n: np.bincount(part.labels).tolist() for n, part in dataset.parts.items()}


def start(*options: str, before: str = "", **environment: str) -> subprocess.Popen[str]:
    """Start `python -m training` on generated images, after the code `before`.

    It ends with the test at the latest. TensorFlow takes seconds to start: where a test needs no
    process of its own, the fixture `command` is faster.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", f"{before}\n{_COMMAND}", *options],
        cwd=ROOT,
        env={**os.environ, "CIFAR10_DIR": "generated", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    STARTED.append(process)
    return process


def finished_epochs(run_dir: Path) -> int:
    run = RunFolder(run_dir).read()
    return len(run.history) if run else 0


def kill_after_an_epoch(process: subprocess.Popen[str], run_dir: Path) -> None:
    """Kill a training when it has finished one epoch more."""
    before = finished_epochs(run_dir)
    try:
        wait_for(lambda: process.poll() is not None or finished_epochs(run_dir) > before)
    finally:
        process.kill()
