"""Training tests need the training group; without it they are skipped."""

from collections.abc import Iterator

import pytest

pytest.importorskip("keras", reason="needs the training group: uv sync --group training")

from tests.training.generated import STARTED, generate
from training.data.cifar10 import Cifar10


@pytest.fixture
def tiny() -> Cifar10:
    """Generated images that a network can learn: each class has a brightness of its own."""
    return Cifar10(train=generate(320, seed=1), test=generate(200, seed=2))


@pytest.fixture(autouse=True)
def _no_training_outlives_its_test() -> Iterator[None]:
    yield
    while STARTED:
        STARTED.pop().kill()
