"""A data set that a network learns in a few epochs, and the command line with it."""

import os
import subprocess
import sys

import numpy as np

from tests.helpers import ROOT
from training.data import Split

_COMMAND = """
import sys
from tests.training.generated import generate
from training import data
from training.__main__ import main

split = generate(320, seed=1)
data.load = lambda _: data.Cifar10(split, split)
data.load_test = lambda _: split
main(sys.argv[1:], prog_name="python -m training")
"""


def generate(size: int, seed: int) -> Split:
    """Return noisy images whose brightness tells their class."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 10, size, dtype=np.uint8)
    noise = random.integers(0, 20, (size, 32, 32, 3), dtype=np.uint8)
    return Split(images=noise + 20 * labels[:, None, None, None], labels=labels)


def start(*options: str, before: str = "", **environment: str) -> subprocess.Popen[str]:
    """Start `python -m training` on generated images, after the code `before`."""
    return subprocess.Popen(
        [sys.executable, "-c", f"{before}\n{_COMMAND}", *options],
        cwd=ROOT,
        env={**os.environ, "CIFAR10_DIR": "generated", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
