"""Concurrent requests share batches: images wait in a bounded queue for a thread that runs them.

A batch takes what has come in for its model while the thread was busy, so batches grow with the
load and an idle service adds no wait. One thread, because ONNX Runtime spreads each run over the
cores itself; all the rest happens in gevent's loop, whose greenlets switch only where they wait.
"""

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import gevent
import numpy as np
import numpy.typing as npt
from gevent.event import AsyncResult, Event
from gevent.threadpool import ThreadPool

from models.record import IMAGE_SIZE
from serving.classifier import Classifier
from serving.metrics import Metrics

logger = logging.getLogger(__name__)

MAX_IMAGES = 128  # in one request
MAX_BATCH = 16  # images in one run; more is not faster on CPU and takes memory
MAX_WAITING = 1024  # images that wait for a model or run, summed over the models

_PROBE = np.zeros((1, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)


class OverloadedError(Exception):
    """The queue is full."""


class ModelError(Exception):
    """A model failed on a batch; the message names it."""


@dataclass(frozen=True)
class _Job:
    classifier: Classifier
    images: npt.NDArray[np.uint8]
    result: AsyncResult = field(default_factory=AsyncResult)
    queued: float = field(default_factory=time.perf_counter)


class Batcher:
    """Runs the models for all requests, which are greenlets of the thread that has made it."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._jobs: list[_Job] = []
        self._arrived = Event()
        self.waiting = 0  # images, summed over the models, until their run is over
        self._failed: dict[tuple[str, int], Classifier] = {}
        metrics.queue_depth.set_function(lambda: self.waiting)
        gevent.spawn(self._work)

    def classify(
        self, classifiers: Iterable[Classifier], images: npt.NDArray[np.uint8]
    ) -> list[npt.NDArray[np.float32]]:
        """Return each model's probabilities [N, 10] of images [N, 32, 32, 3], RGB.

        Raises:
            OverloadedError: too many images wait already.
            ModelError: a model failed.
        """
        return [job.result.get() for job in self._submit(classifiers, images)]

    def failed(self) -> list[str]:
        """Return the models that failed when they ran last, and have them tried once more."""
        failed = dict(self._failed)
        if failed and not self.waiting:
            self._submit(failed.values(), _PROBE)
        return [f"{name} version {version}" for name, version in failed]

    def _submit(
        self, classifiers: Iterable[Classifier], images: npt.NDArray[np.uint8]
    ) -> list[_Job]:
        jobs = [_Job(classifier, images) for classifier in classifiers]
        count = len(jobs) * len(images)
        # One request alone is never too much.
        if self.waiting and self.waiting + count > MAX_WAITING:
            raise OverloadedError
        self.waiting += count
        self._jobs += jobs
        self._arrived.set()
        return jobs

    def _work(self) -> None:
        thread = ThreadPool(1)
        while True:
            self._arrived.wait()
            batch = self._take_batch()
            outcome = thread.apply(self._run, (batch,))
            self.waiting -= sum(len(job.images) for job in batch)
            # The requests go on when this greenlet waits: once the thread has its next batch.
            _answer(batch, outcome)

    def _take_batch(self) -> list[_Job]:
        """Take the oldest job, and those of its model that fit beside it into `MAX_BATCH`."""
        batch: list[_Job] = []
        others: list[_Job] = []
        size = 0
        for job in self._jobs:
            fits = not batch or size + len(job.images) <= MAX_BATCH
            if fits and job.classifier is self._jobs[0].classifier:
                batch.append(job)
                size += len(job.images)
            else:
                others.append(job)
        self._jobs = others
        if not others:
            self._arrived.clear()
        return batch

    def _run(self, batch: list[_Job]) -> npt.NDArray[np.float32] | ModelError:
        classifier = batch[0].classifier
        record = classifier.record
        begun = time.perf_counter()
        for job in batch:
            self._metrics.queue_seconds.observe(begun - job.queued)
        try:
            images = np.concatenate([job.images for job in batch])
            probabilities = np.concatenate(
                [
                    self._classify(classifier, images[start : start + MAX_BATCH])
                    for start in range(0, len(images), MAX_BATCH)
                ]
            )
        except Exception as error:  # whatever it is, these requests get an answer and others go on
            logger.exception("%s version %d failed", record.name, record.version)
            self._failed[record.name, record.version] = classifier
            return ModelError(f"The model {record.name} failed: {error}")
        self._failed.pop((record.name, record.version), None)
        return probabilities

    def _classify(
        self, classifier: Classifier, images: npt.NDArray[np.uint8]
    ) -> npt.NDArray[np.float32]:
        self._metrics.batch_size.labels(classifier.record.name).observe(len(images))
        with self._metrics.infer_seconds.time():
            return classifier.classify(images)


def _answer(batch: list[_Job], outcome: npt.NDArray[np.float32] | ModelError) -> None:
    first = 0
    for job in batch:
        if isinstance(outcome, ModelError):
            job.result.set_exception(outcome)
        else:
            job.result.set(outcome[first : first + len(job.images)])
        first += len(job.images)
