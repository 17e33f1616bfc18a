"""Concurrent requests share batches: images wait in a bounded queue for one thread that runs them.

The thread takes everything that has come in while it was busy, so batches grow with the load and an
idle service adds no wait. One thread, because ONNX Runtime spreads each run over the cores itself.
"""

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.record import IMAGE_SIZE
from serving.classifier import Classifier
from serving.metrics import Metrics

logger = logging.getLogger(__name__)

MAX_IMAGES = 128  # in one request
MAX_BATCH = 32  # images in one run; more is not faster on CPU and takes memory
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
    result: Future[npt.NDArray[np.float32]] = field(default_factory=Future)
    queued: float = field(default_factory=time.perf_counter)


class Batcher:
    """Runs the models for all requests."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._jobs: list[_Job] = []
        self._changed = threading.Condition()
        self.waiting = 0  # images, summed over the models, until their run is over
        self._failed: dict[tuple[str, int], Classifier] = {}
        metrics.queue_depth.set_function(lambda: self.waiting)
        threading.Thread(target=self._work, name="batcher", daemon=True).start()

    def classify(
        self, classifiers: Iterable[Classifier], images: npt.NDArray[np.uint8]
    ) -> list[npt.NDArray[np.float32]]:
        """Return each model's probabilities [N, 10] of images [N, 32, 32, 3], RGB.

        Raises:
            OverloadedError: too many images wait already.
            ModelError: a model failed.
        """
        return [job.result.result() for job in self._submit(classifiers, images)]

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
        with self._changed:
            # One request alone is never too much.
            if self.waiting and self.waiting + count > MAX_WAITING:
                raise OverloadedError
            self.waiting += count
            self._jobs += jobs
            self._changed.notify()
        return jobs

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs)
                jobs, self._jobs = self._jobs, []
            for batch in _batches(jobs):
                self._run(batch)

    def _run(self, batch: list[_Job]) -> None:
        classifier = batch[0].classifier
        record = classifier.record
        begun = time.perf_counter()
        for job in batch:
            self._metrics.queue_seconds.observe(begun - job.queued)
        outcome: npt.NDArray[np.float32] | ModelError
        try:
            images = np.concatenate([job.images for job in batch])
            outcome = np.concatenate(
                [
                    self._classify(classifier, images[start : start + MAX_BATCH])
                    for start in range(0, len(images), MAX_BATCH)
                ]
            )
            self._failed.pop((record.name, record.version), None)
        except Exception as error:  # whatever it is, these requests get an answer and others go on
            logger.exception("%s version %d failed", record.name, record.version)
            self._failed[record.name, record.version] = classifier
            outcome = ModelError(f"The model {record.name} failed: {error}")
        with self._changed:
            self.waiting -= sum(len(job.images) for job in batch)
        first = 0
        for job in batch:
            if isinstance(outcome, ModelError):
                job.result.set_exception(outcome)
            else:
                job.result.set_result(outcome[first : first + len(job.images)])
            first += len(job.images)

    def _classify(
        self, classifier: Classifier, images: npt.NDArray[np.uint8]
    ) -> npt.NDArray[np.float32]:
        self._metrics.batch_size.labels(classifier.record.name).observe(len(images))
        with self._metrics.infer_seconds.time():
            return classifier.classify(images)


def _batches(jobs: list[_Job]) -> Iterator[list[_Job]]:
    """Group jobs by model, in their order, into batches of up to `MAX_BATCH` images or one job."""
    by_model: dict[int, list[_Job]] = {}
    for job in jobs:
        by_model.setdefault(id(job.classifier), []).append(job)
    for of_model in by_model.values():
        batch: list[_Job] = []
        for job in of_model:
            if batch and sum(len(j.images) for j in batch) + len(job.images) > MAX_BATCH:
                yield batch
                batch = []
            batch.append(job)
        yield batch
