"""Training tests need the training group; without it they are skipped."""

import numpy as np
import pytest

pytest.importorskip("keras", reason="needs the training group: uv sync --group training")

from training.data import Cifar10, Split


@pytest.fixture
def tiny() -> Cifar10:
    """Generated pictures that a network can learn: each class has a brightness of its own."""
    return Cifar10(train=_generate(320, seed=1), test=_generate(200, seed=2))


def _generate(size: int, seed: int) -> Split:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 10, size, dtype=np.uint8)
    noise = random.integers(0, 20, (size, 32, 32, 3), dtype=np.uint8)
    return Split(images=noise + 20 * labels[:, None, None, None], labels=labels)
