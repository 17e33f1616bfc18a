"""Training tests need the training group; without it they are skipped."""

import pytest

pytest.importorskip("keras", reason="needs the training group: uv sync --group training")

from tests.training.generated import generate
from training.data import Cifar10


@pytest.fixture
def tiny() -> Cifar10:
    """Generated images that a network can learn: each class has a brightness of its own."""
    return Cifar10(train=generate(320, seed=1), test=generate(200, seed=2))
