"""Concurrent requests share batches: images wait in a bounded queue for a thread that runs them.

A batch takes what has come in for the same models while the thread was busy, so batches grow with
the load and an idle service adds no wait. One thread, because ONNX Runtime spreads each run over
the cores itself; all the rest happens in gevent's loop, whose greenlets switch only where they
wait.
"""

import atexit
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
from serving.errors import ModelError, OverloadedError
from serving.metrics import Metrics

logger = logging.getLogger(__name__)

_PROBE = np.zeros((1, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)


@dataclass(frozen=True)
class _Job:
    classifiers: tuple[Classifier, ...]
    images: npt.NDArray[np.uint8]
    result: AsyncResult = field(default_factory=AsyncResult)
    queued: float = field(default_factory=time.perf_counter)

    @property
    def size(self) -> int:
        return len(self.classifiers) * len(self.images)


class Batcher:
    """Runs the models for all requests, which are greenlets of the thread that has made it."""

    def __init__(self, metrics: Metrics, *, max_batch: int, max_waiting: int) -> None:
        self._metrics = metrics
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._jobs: list[_Job] = []
        self._arrived = Event()
        self.waiting = 0  # images, summed over the models, until their run is over
        self._failed: set[Classifier] = set()
        self._thread = ThreadPool(1)
        self._worker = gevent.spawn(self._work)
        atexit.register(self._end)

    def classify(
        self, classifiers: Iterable[Classifier], images: npt.NDArray[np.uint8]
    ) -> list[npt.NDArray[np.float32]]:
        """Return each model's probabilities [N, 10] of images [N, 32, 32, 3], RGB.

        Raises:
            OverloadedError: too many images wait already.
            ModelError: a model failed.
        """
        job = _Job(tuple(classifiers), images)
        self._submit(job)
        answer: list[npt.NDArray[np.float32]] = job.result.get()
        return answer

    def failed(self) -> list[str]:
        """Return the models that failed when they ran last, and have them tried once more."""
        failed = list(self._failed)
        if not self.waiting:
            for classifier in failed:
                self._submit(_Job((classifier,), _PROBE))
        return [f"{c.record.name} version {c.record.version}" for c in failed]

    def check_room(self, size: int) -> None:
        """Pass where so many images more may wait, those for several models counted for each.

        Raises:
            OverloadedError: too many images wait already.
        """
        # One request alone is never too much.
        if self.waiting and self.waiting + size > self._max_waiting:
            raise OverloadedError(
                "Too many pictures wait to be classified. Send this again in a second."
            )

    def _submit(self, job: _Job) -> None:
        self.check_room(job.size)
        self.waiting += job.size
        self._metrics.queue_depth.inc(job.size)
        self._jobs.append(job)
        self._arrived.set()

    def _end(self) -> None:
        # Python must not end under a run: ONNX Runtime would abort the process.
        self._worker.kill()
        self._thread.join()

    def _work(self) -> None:
        while True:
            self._arrived.wait()
            batch = self._take_batch()
            outcome = self._thread.apply(self._run, (batch,))
            size = sum(job.size for job in batch)
            self.waiting -= size
            self._metrics.queue_depth.dec(size)
            # The requests go on when this greenlet waits: once the thread has its next batch.
            first = 0
            for job in batch:
                last = first + len(job.images)
                if isinstance(outcome, ModelError):
                    job.result.set_exception(outcome)
                else:
                    job.result.set([of_model[first:last] for of_model in outcome])
                first = last

    def _take_batch(self) -> list[_Job]:
        """Take the oldest job, and those for the same models that fit beside it in a batch."""
        batch: list[_Job] = []
        others: list[_Job] = []
        images = 0
        for job in self._jobs:
            fits = not batch or images + len(job.images) <= self._max_batch
            if fits and job.classifiers == self._jobs[0].classifiers:
                batch.append(job)
                images += len(job.images)
            else:
                others.append(job)
        self._jobs = others
        if not others:
            self._arrived.clear()
        return batch

    def _run(self, batch: list[_Job]) -> list[npt.NDArray[np.float32]] | ModelError:
        begun = time.perf_counter()
        for job in batch:
            self._metrics.queue_seconds.observe(begun - job.queued)
        outcome = []
        classifier = batch[0].classifiers[0]
        try:
            images = np.concatenate([job.images for job in batch])
            for classifier in batch[0].classifiers:
                outcome.append(self._classify(classifier, images))
                self._failed.discard(classifier)
        except Exception as error:  # whatever it is, these requests get an answer
            name = classifier.record.name
            logger.exception("%s version %d failed", name, classifier.record.version)
            self._failed.add(classifier)
            return ModelError(
                f"The model {name} failed: {error}. "
                "Other models may still answer: ask for one with ?model=."
            )
        return outcome

    def _classify(
        self, classifier: Classifier, images: npt.NDArray[np.uint8]
    ) -> npt.NDArray[np.float32]:
        probabilities = []
        for start in range(0, len(images), self._max_batch):
            batch = images[start : start + self._max_batch]
            self._metrics.batch_size(classifier.record.name).observe(len(batch))
            with self._metrics.infer_seconds.time():
                probabilities.append(classifier.classify(batch))
        return np.concatenate(probabilities)
