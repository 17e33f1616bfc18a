"""Concurrent requests through the real models: shared batches, a bounded queue, a failing model."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gevent
import numpy as np
import pytest
from gevent.pool import Group

from serving.errors import HungUpError, ModelError, OverloadedError
from serving.inference.batching import Batcher
from serving.inference.registry import Classifiers, load_classifiers
from serving.observability.metrics import Metrics
from serving.settings import Settings
from tests.helpers import HANG, run_python


@pytest.fixture(scope="module")
def classifiers(only_first: Path) -> Classifiers:
    return load_classifiers(Settings(provider="cpu", models_dir=only_first))


def test_waiting_images_run_in_one_batch(classifiers: Classifiers) -> None:
    metrics = Metrics(classifiers)
    batcher = Batcher(metrics, Settings())
    first = classifiers.find("first")
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8) for n in (*(1, 2, 3) * 8, 40)]
    answers = Group().map(lambda of_request: batcher.classify([first], of_request)[0], images)
    for of_request, answer in zip(images, answers, strict=True):
        np.testing.assert_allclose(answer, first.classify(of_request), atol=1e-5)
    [batches] = [
        sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "serving_batch_images_count"
    ]
    assert batches < len(images)


class Switch:
    """A session that can be made to wait or to fail."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.runs = threading.Event()
        self.go = threading.Event()
        self.fails = False
        self.sizes: list[int] = []
        self.threads: list[int] = []

    def run(self, outputs: Any, inputs: Any) -> Any:
        self.runs.set()
        self.go.wait()
        self.sizes.append(len(inputs["image"]))
        self.threads.append(threading.get_ident())
        if self.fails:
            raise RuntimeError("out of memory")
        return self.session.run(outputs, inputs)


def yield_until(condition: Callable[[], object]) -> None:
    """Let the other greenlets go on until a condition holds; fail where it never does."""
    with gevent.Timeout(HANG):
        while not condition():
            gevent.sleep(0.001)


def test_a_full_queue_refuses_at_once(classifiers: Classifiers) -> None:
    batcher = Batcher(Metrics(classifiers), Settings(max_wait=1e-9))
    first = classifiers.find("first")
    slow = replace(first, session=Switch(first.session))
    images = np.zeros((64, 32, 32, 3), dtype=np.uint8)
    slow.session.go.set()
    batcher.classify([slow], images[:1])  # how long an image takes is known now
    slow.session.go.clear()
    accepted = gevent.spawn(batcher.classify, [slow], images)
    yield_until(lambda: batcher.waiting == 64)
    with pytest.raises(OverloadedError) as refused:
        batcher.classify([first], images[:1])
    assert refused.value.seconds > 1e-9
    slow.session.go.set()
    assert accepted.get()[0].shape == (64, 10)
    assert batcher.classify([first], images[:1])[0].shape == (1, 10)


def test_a_large_request_takes_turns_with_small_ones(
    classifiers: Classifiers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.inference.batching.MIXED_SECONDS", 60.0)  # even on a busy machine
    batcher = Batcher(Metrics(classifiers), Settings())
    first = classifiers.find("first")
    slow = replace(first, session=Switch(first.session))
    random = np.random.default_rng(0)
    many = random.integers(0, 256, (128, 32, 32, 3), dtype=np.uint8)
    large = gevent.spawn(batcher.classify, [slow], many)
    yield_until(slow.session.runs.is_set)  # its first batch
    small = [gevent.spawn(batcher.classify, [slow], image[None]) for image in many[:3]]
    yield_until(lambda: batcher.waiting == 128 + 3)
    slow.session.go.set()
    gevent.joinall(small)
    # The batch that ran, and one of theirs; the thread may have the next of the large one.
    assert len(slow.session.sizes) <= 3
    assert slow.session.sizes[:2] == [16, 3]
    np.testing.assert_allclose(large.get()[0], first.classify(many), atol=1e-5)
    assert slow.session.sizes[2] == 2  # an eighth, while small ones may come
    assert sum(slow.session.sizes) == 128 + 3
    assert batcher.waiting == 0


def test_a_short_run_stays_in_the_thread_of_the_only_request(
    classifiers: Classifiers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.inference.batching.SHORT_RUN", 60.0)  # even on a busy machine
    batcher = Batcher(Metrics(classifiers), Settings())
    first = classifiers.find("first")
    model = replace(first, session=Switch(first.session))
    model.session.go.set()
    image = np.zeros((1, 32, 32, 3), dtype=np.uint8)
    batcher.requests = 1
    batcher.classify([model], image)  # its length is not known yet
    batcher.classify([model], image)
    batcher.requests = 2
    batcher.classify([model], image)
    batcher.requests = 1
    batcher.classify([model], np.repeat(image, 128, axis=0))
    monkeypatch.setattr("serving.inference.batching.SHORT_RUN", 0.0)
    batcher.classify([model], image)
    unknown, short, *others = model.session.threads
    here = threading.get_ident()
    assert short == here
    assert here not in {unknown, *others}


def test_abandoned_jobs_are_dropped_before_their_run(classifiers: Classifiers) -> None:
    batcher = Batcher(Metrics(classifiers), Settings())
    first = classifiers.find("first")
    slow = replace(first, session=Switch(first.session))
    images = np.zeros((64, 32, 32, 3), dtype=np.uint8)
    left: set[int] = set()  # the requests whose clients are gone

    def request(number: int, count: int) -> gevent.Greenlet:
        is_abandoned = lambda: number in left  # noqa: E731
        return gevent.spawn(batcher.classify, [slow], images[:count], is_abandoned)

    large = request(0, 64)
    yield_until(slow.session.runs.is_set)  # its first batch
    gone, small = request(1, 3), request(2, 2)
    yield_until(lambda: batcher.waiting == 64 + 3 + 2)
    left |= {0, 1}
    slow.session.go.set()
    assert small.get()[0].shape == (2, 10)
    for abandoned in (large, gone):
        with pytest.raises(HungUpError):
            abandoned.get()
    assert slow.session.sizes in ([16, 2], [16, 16, 2])  # the thread may have had the next
    assert batcher.waiting == 0
    left.clear()
    assert batcher.classify([slow], images[:1])[0].shape == (1, 10)


def test_a_failing_model_is_named_until_it_works_again(classifiers: Classifiers) -> None:
    batcher = Batcher(Metrics(classifiers), Settings())
    first = classifiers.find("first")
    broken = replace(first, session=Switch(first.session))
    broken.session.go.set()
    broken.session.fails = True
    image = np.zeros((1, 32, 32, 3), dtype=np.uint8)
    with pytest.raises(ModelError, match="first version 2 failed: out of memory"):
        batcher.classify([broken], image)
    assert batcher.retry_failed() == [f"first version {first.record.version}"]
    broken.session.fails = False
    yield_until(lambda: not batcher.retry_failed())
    assert batcher.classify([broken], image)[0].shape == (1, 10)


@pytest.mark.usefixtures("_one_model")
def test_a_batcher_that_breaks_down_ends_its_process() -> None:
    # Otherwise every later request would wait for ever, and the probes would still be answered.
    code = """
from serving.app import create_app
from serving.observability.metrics import Metrics

def fail(*_):
    raise MemoryError("none left")

Metrics.count_wait = fail
create_app().test_client().post("/predict", data=open("serving/static/ship.png", "rb").read())
"""
    result = run_python("-c", code)
    assert result.returncode == 1
    assert "the batcher failed, so this worker ends" in result.stderr
    assert "MemoryError: none left" in result.stderr
