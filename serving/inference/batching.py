"""Dynamic batching: images wait in a bounded queue for a thread that runs the models.

A batch takes the images that arrived for the same models during the last run, so batches grow with
the load and an idle service adds no wait. Large requests run piece by piece, taking turns with the
others. One thread is enough, because ONNX Runtime spreads each run over the cores itself;
everything else happens in gevent's loop, whose greenlets switch only where they wait. A short run
for a lone request happens there, too, since a round trip to the thread takes 0.4 ms.
"""

import atexit
import logging
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

import gevent
import numpy as np
from gevent.event import Event
from gevent.monkey import is_module_patched
from gevent.threadpool import ThreadPool

from models.record import IMAGE_SIZE
from serving.errors import HungUpError, ModelError, NotReadyError, OverloadedError
from serving.inference.classifier import Classifier, Run, one_line, run_each
from serving.inference.jobs import Batch, Images, Job, Probabilities
from serving.settings import Settings

# Of a full batch. While small requests keep arriving, a large one takes short turns, so that a
# single image waits about as long as two images take.
TURN_SHARE = 1 / 8
MIXED_SECONDS = 1.0  # how long after a small request more are expected
SHORT_RUN = 0.01  # seconds for which a run may block gevent's loop
NEWEST_SHARE = 0.2  # of the newest run in the mean time per image

_PROBE = np.zeros((1, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)

logger = logging.getLogger(__name__)


class Observer(Protocol):
    """Counts what the batcher does."""

    def count_waiting(self, images: int) -> None:
        """Add to the images queued or running; a negative number subtracts."""

    def count_wait(self, classifiers: Iterable[Classifier], seconds: float) -> None:
        """Count a request's wait for its first run."""

    def count_run(self, classifier: Classifier, images: int, seconds: float) -> None:
        """Count a model's run of a batch."""


class Batcher:
    """Runs the models for all requests, which are greenlets of the thread that created it."""

    needs_gevent = True  # a subclass may run each request in its own thread

    def __init__(self, observer: Observer, settings: Settings) -> None:
        self.requests = 0  # in progress; the application counts them
        self._hub = gevent.get_hub()
        self._observer = observer
        self._settings = settings
        self._jobs: list[Job] = []
        self._arrived = Event()
        self._waiting: Counter[Classifier] = Counter()  # images queued or running
        self._last_small = -MIXED_SECONDS  # monotonic time when a small request last joined others
        self._failed: set[Classifier] = set()
        self._seconds: dict[Classifier, float] = {}  # per image, mean of the last runs
        self._thread = ThreadPool(1)
        self._worker = gevent.spawn(self._work)
        self._worker.link_exception(_end_process)
        atexit.register(self._end)

    @property
    def waiting(self) -> int:
        """Images queued or running, summed over the models."""
        return self._waiting.total()

    def classify(
        self,
        classifiers: Iterable[Classifier],
        images: Images,
        is_abandoned: Callable[[], bool] = lambda: False,
    ) -> list[Probabilities]:
        """Return each model's probabilities [N, classes] for images [N, 32, 32, 3], RGB.

        Raises:
            HungUpError: `is_abandoned()` before a run, which then leaves out these images.
            OverloadedError: too many images are already waiting.
            ModelError: a model failed.
        """
        job = Job(tuple(classifiers), images, is_abandoned)
        self._submit(job)
        answer: list[Probabilities] = job.result.get()
        return answer

    def check_room(self) -> None:
        """Check that another request may wait.

        Raises:
            OverloadedError: the images that are already waiting take too long.
            NotReadyError: as check_thread().
        """
        self.check_thread()
        wait = sum(images * self._seconds.get(c, 0) for c, images in self._waiting.items())
        if wait > self._settings.max_wait:
            raise OverloadedError(
                "Too many images are waiting to be classified. Retry later.", wait
            )

    def check_thread(self) -> None:
        """Check that requests run in gevent's loop, where they can be batched.

        Raises:
            NotReadyError: they run in threads.
        """
        if self.needs_gevent and gevent.get_hub() is not self._hub:
            raise NotReadyError(
                "This server runs requests in threads, but the service batches them in gevent's "
                "loop. Run it with `python -m serving`, or with gunicorn --worker-class gevent."
            )

    def retry_failed(self, only: Collection[Classifier] | None = None) -> list[str]:
        """Return the models, of all or `only` these, that failed in their last run; retry them."""
        self.check_thread()
        failed = [c for c in self._failed if only is None or c in only]
        if not self.waiting:
            for classifier in failed:
                self._submit(Job((classifier,), _PROBE))
        return [f"{c.record.name} version {c.record.version}" for c in failed]

    def _submit(self, job: Job) -> None:
        self.check_room()
        if self.waiting and job.is_small:
            self._last_small = time.monotonic()
        self._count(job.classifiers, len(job.images))
        self._jobs.append(job)
        self._arrived.set()

    def _count(self, classifiers: Sequence[Classifier], images: int) -> None:
        for classifier in classifiers:
            self._waiting[classifier] += images
        self._observer.count_waiting(images * len(classifiers))

    def _end(self) -> None:
        # Python must not exit during a run: ONNX Runtime would abort the process.
        self._worker.kill()
        self._thread.join()

    def _work(self) -> None:
        while True:
            self._arrived.wait()
            if batch := self._take_batch():
                self._run(batch)

    def _run(self, batch: Batch) -> None:
        classifiers = batch[0][0].classifiers
        begun = time.perf_counter()
        for job, piece in batch:
            if job.taken == len(piece):  # its first run
                self._observer.count_wait(classifiers, begun - job.queued)
        pieces = [images for _, images in batch]
        images = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        if self.requests == 1 and self._is_short(*batch[0]):
            run = run_each(classifiers, images)
        else:
            run = self._thread.apply(run_each, (classifiers, images))
        self._count(classifiers, -len(images))
        self._observe(classifiers, len(images), run)
        # The requests resume when this greenlet waits: once the thread has its next batch.
        first = 0
        for job, piece in batch:
            last = first + len(piece)
            if run.error:
                self._fail(job, classifiers[len(run.seconds)], run.error)
            else:
                job.parts.append([of_model[first:last] for of_model in run.probabilities])
                if job.left:
                    self._jobs.append(job)
                    self._arrived.set()
                else:
                    job.result.set(job.joined())
            first = last

    def _take_batch(self) -> Batch:
        """Take a piece of the job whose turn it is, or all of it along with other small jobs.

        Small jobs run together if they are for the same models. They do not join a piece of a large
        one, since they would have to wait for its run to end. Abandoned jobs are dropped.
        """
        batch: Batch = []
        room = 0
        jobs, self._jobs = self._jobs, []
        for job in jobs:
            if batch and not (
                job.is_small and job.left <= room and job.classifiers == batch[0][0].classifiers
            ):
                self._jobs.append(job)
            elif job.is_abandoned():
                self._drop(job, HungUpError())
            elif job.is_small:
                room = (room if batch else job.limit) - job.left
                batch.append((job, job.take(job.left)))
            else:
                mixed = time.monotonic() < self._last_small + MIXED_SECONDS
                turn = max(1, int(job.limit * TURN_SHARE)) if mixed else job.limit
                batch.append((job, job.take(turn)))
        if not self._jobs:
            self._arrived.clear()
        return batch

    def _drop(self, job: Job, error: Exception) -> None:
        self._count(job.classifiers, -job.left)
        job.result.set_exception(error)

    def _is_short(self, job: Job, piece: Images) -> bool:
        """Return whether all of the job's images probably run within `SHORT_RUN`."""
        seconds = sum(self._seconds.get(classifier, math.inf) for classifier in job.classifiers)
        return len(piece) == len(job.images) and len(piece) * seconds < SHORT_RUN

    def _observe(self, classifiers: Sequence[Classifier], images: int, run: Run) -> None:
        for classifier, seconds in zip(classifiers, run.seconds, strict=False):
            self._failed.discard(classifier)
            newest = seconds / images
            mean = self._seconds.get(classifier, newest)
            # A run that the system held up says little about the next ones.
            self._seconds[classifier] = mean + NEWEST_SHARE * (min(newest, 2 * mean) - mean)
            self._observer.count_run(classifier, images, seconds)

    def _fail(self, job: Job, classifier: Classifier, error: Exception) -> None:
        record = classifier.record
        self._failed.add(classifier)
        logger.error("%s version %d failed", record.name, record.version, exc_info=error)
        self._drop(
            job,
            ModelError(
                f"The model {record.name} version {record.version} failed: {one_line(error)}."
            ),
        )


def check_gunicorn() -> None:
    """Refuse a gunicorn configuration that prevents batching, with a message of one line.

    Raises:
        AppImportError: requests run in threads; a worker prints this error.
        RuntimeError: the application is created before forking; the master prints this error.
    """
    if not os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn"):
        return
    if "gunicorn.workers.gthread" in sys.modules:
        from gunicorn.errors import AppImportError  # noqa: PLC0415

        raise AppImportError(
            "Error: the service batches requests in gevent's loop, but gunicorn would run them in "
            "threads; use --worker-class gevent instead of --threads"
        )
    if "gunicorn.workers.ggevent" in sys.modules and not is_module_patched("socket"):
        raise RuntimeError("each gunicorn worker needs its own models; omit --preload")


def _end_process(worker: gevent.Greenlet) -> None:
    """End the process, which gunicorn replaces: without a batcher, no request would ever end."""
    try:
        logger.critical("the batcher failed, so this worker ends", exc_info=worker.exc_info)
    finally:
        os._exit(1)
