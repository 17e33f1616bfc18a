"""Concurrent requests through the real models: shared batches, a bounded queue, a failing model."""

import threading
import time
from dataclasses import replace
from typing import Any

import gevent
import numpy as np
import pytest
from gevent.pool import Group

from serving.batching import Batcher
from serving.classifier import Classifiers, load_classifiers
from serving.errors import ModelError, OverloadedError
from serving.metrics import Metrics
from tests.conftest import ROOT

MAX_WAITING = 64


@pytest.fixture(scope="module")
def classifiers() -> Classifiers:
    return load_classifiers(ROOT / "models", "cpu")


def test_what_waits_together_runs_together(classifiers: Classifiers) -> None:
    metrics = Metrics(classifiers)
    batcher = Batcher(metrics, max_batch=16, max_waiting=1024)
    first = classifiers.find("first")
    random = np.random.default_rng(0)
    pictures = [
        random.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8) for n in (*(1, 2, 3) * 8, 40)
    ]
    answers = Group().map(lambda images: batcher.classify([first], images)[0], pictures)
    for images, answer in zip(pictures, answers, strict=True):
        np.testing.assert_allclose(answer, first.classify(images), atol=1e-5)
    [batches] = [
        sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "batch_size_count"
    ]
    assert batches < len(pictures)


class Switch:
    """A session that can be made to wait or to fail."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.go = threading.Event()
        self.fails = False

    def run(self, *arguments: Any) -> Any:
        self.go.wait()
        if self.fails:
            raise RuntimeError("out of memory")
        return self.session.run(*arguments)


def test_a_full_queue_refuses_at_once(classifiers: Classifiers) -> None:
    batcher = Batcher(Metrics(classifiers), max_batch=16, max_waiting=MAX_WAITING)
    first = classifiers.find("first")
    slow = replace(first, session=Switch(first.session))
    images = np.zeros((MAX_WAITING // 2, 32, 32, 3), dtype=np.uint8)
    accepted = [gevent.spawn(batcher.classify, [slow], images) for _ in range(2)]
    while batcher.waiting < MAX_WAITING:
        gevent.sleep(0.001)
    with pytest.raises(OverloadedError):
        batcher.classify([first], images[:1])
    slow.session.go.set()
    for request in accepted:
        assert request.get()[0].shape == (MAX_WAITING // 2, 10)
    assert batcher.classify([first], images[:1])[0].shape == (1, 10)


def test_a_failing_model_is_named_until_it_works_again(classifiers: Classifiers) -> None:
    batcher = Batcher(Metrics(classifiers), max_batch=16, max_waiting=MAX_WAITING)
    first = classifiers.find("first")
    broken = replace(first, session=Switch(first.session))
    broken.session.go.set()
    broken.session.fails = True
    image = np.zeros((1, 32, 32, 3), dtype=np.uint8)
    with pytest.raises(ModelError, match="first failed: out of memory"):
        batcher.classify([broken], image)
    assert batcher.failed() == [f"first version {first.record.version}"]
    broken.session.fails = False
    deadline = time.monotonic() + 5
    while batcher.failed():
        assert time.monotonic() < deadline
        gevent.sleep(0.001)
    assert batcher.classify([broken], image)[0].shape == (1, 10)
