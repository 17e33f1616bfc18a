"""Training tests need the training group; without it they are skipped."""

from collections.abc import Iterator

import pytest

pytest.importorskip("keras", reason="needs the training group: uv sync --group training")

from tests.training.generated import STARTED, dataset, generate
from training.data import Dataset


@pytest.fixture
def tiny() -> Dataset:
    """Generated images that a network can learn: each class has a brightness of its own."""
    return dataset(generate(320, seed=1), generate(200, seed=2))


@pytest.fixture(autouse=True)
def _no_training_outlives_its_test() -> Iterator[None]:
    yield
    while STARTED:
        STARTED.pop().kill()
