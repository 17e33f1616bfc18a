"""The Prometheus metrics at /metrics, summed over the workers."""

import logging
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache

import numpy as np
import numpy.typing as npt
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
    values,
)
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.samples import Sample

from serving.errors import OverloadedError
from serving.http.problems import status_of
from serving.inference.classifier import Classifier
from serving.inference.registry import Classifiers
from serving.observability.processes import Processes
from serving.observability.shared_metrics import SharedMetrics

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's mode for several processes

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
MOST_CLASSES = 100  # of a model whose predictions are counted by class
_CONFIDENCES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1)


logger = logging.getLogger(__name__)


class Metrics:
    """One process's metrics, in a registry of their own, or all workers' if they share them."""

    def __init__(self, classifiers: Classifiers, shared: SharedMetrics | None = None) -> None:
        self._shared = shared
        self.registry = registry = CollectorRegistry()
        own = values.get_value_class()  # type: ignore[no-untyped-call]
        values.ValueClass = shared.value if shared else own
        if not shared and MULTIPROCESS not in os.environ:
            ProcessCollector(registry=registry)
        requests = Counter(
            "serving_http_requests",
            "Finished requests.",
            ["method", "route", "status"],
            registry=registry,
        )
        seconds = Histogram(
            "serving_http_request_duration_seconds",
            "Time from complete request to response.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "serving_http_requests_in_flight",
            "Requests in progress.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        model_requests = Counter(
            "serving_model_requests",
            "Requests to a model.",
            ["model", "version", "status"],
            registry=registry,
        )
        model_seconds = Histogram(
            "serving_model_duration_seconds",
            "Duration of a model's requests (success, fail), of their time in the queue, and of "
            "its runs (infer).",
            ["model", "version", "stage"],
            buckets=_SECONDS,
            registry=registry,
        )
        model_images = Counter(
            "serving_model_images",
            "Images run through a model.",
            ["model", "version"],
            registry=registry,
        )
        last_run = Gauge(
            "serving_model_last_run_timestamp_seconds",
            "When a model last ran, in seconds since 1970.",
            ["model", "version"],
            multiprocess_mode="max",
            registry=registry,
        )
        self._decode_seconds = Histogram(
            "serving_decode_duration_seconds",
            "Time to decode a request's images, including the wait for a decoder.",
            buckets=_SECONDS,
            registry=registry,
        )
        batch_size = Histogram(
            "serving_batch_images",
            "Images in a batch.",
            ["model"],
            buckets=(1, 2, 4, 8, 16, 32, 64, 128),
            registry=registry,
        )
        self._queue_depth = Gauge(
            "serving_queue_images",
            "Images queued or running.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        predictions = Counter(
            "serving_predictions",
            "Classified images by predicted class; without the class for models with more than "
            f"{MOST_CLASSES}.",
            ["model", "version", "class"],
            registry=registry,
        )
        confidence = Histogram(
            "serving_prediction_confidence",
            "Confidence of predictions: the probability of the predicted class.",
            ["model", "version"],
            buckets=_CONFIDENCES,
            registry=registry,
        )
        agreement = Counter(
            "serving_prediction_agreement",
            "Images classified by several models with the same classes, by whether they predicted "
            "the same class.",
            ["agree"],
            registry=registry,
        )
        self._agree, self._disagree = agreement.labels("yes"), agreement.labels("no")
        # Cached, since looking up a series by its labels costs as much as counting.
        self.requests = cache(requests.labels)
        self.seconds = cache(seconds.labels)
        self._batch_size = cache(batch_size.labels)
        self._model_requests = cache(model_requests.labels)
        self._model_seconds = cache(model_seconds.labels)
        self._model_images = cache(model_images.labels)
        self._last_run = cache(last_run.labels)
        self._predictions = cache(predictions.labels)
        self._confidence = cache(confidence.labels)
        info = Gauge(
            "serving_model_info",
            "1 for each loaded model.",
            ["model", "version", "recipe", "provider", "precision"],
            multiprocess_mode="livemax",
            registry=registry,
        )
        accuracy = Gauge(
            "serving_model_test_accuracy",
            "Recorded accuracy on the model's test set.",
            ["model", "version"],
            multiprocess_mode="livemax",
            registry=registry,
        )
        for classifier in classifiers:
            record = classifier.record
            info.labels(
                record.name,
                record.version,
                record.recipe,
                classifier.provider,
                classifier.precision,
            ).set(1)
            if len(record.classes) > MOST_CLASSES:
                logger.warning(
                    "%s version %d has %d classes: serving_predictions_total counts its answers "
                    "without the class",
                    *(record.name, record.version, len(record.classes)),
                )
            if record.test_accuracy is not None:
                accuracy.labels(record.name, record.version).set(record.test_accuracy)

    @contextmanager
    def time_decoding(self) -> Iterator[None]:
        """Time the decoding of a request's images, unless the queue was full."""
        begun = time.perf_counter()
        decoded = True
        try:
            yield
        except OverloadedError:
            decoded = False
            raise
        finally:
            if decoded:
                self._decode_seconds.observe(time.perf_counter() - begun)

    @contextmanager
    def count_models(self, classifiers: Iterable[Classifier]) -> Iterator[None]:
        """Count a request to these models, with the status in which the block ends."""
        status = 200
        begun = time.perf_counter()
        try:
            yield
        except BaseException as error:  # gevent raises one at the graceful timeout
            status = int(status_of(error))
            raise
        finally:
            seconds = time.perf_counter() - begun
            stage = "success" if status == 200 else "fail"
            for classifier in classifiers:
                record = classifier.record
                self._model_requests(record.name, record.version, status).inc()
                self._model_seconds(record.name, record.version, stage).observe(seconds)

    def count_waiting(self, images: int) -> None:
        """Add to the images queued or running; a negative number subtracts."""
        self._queue_depth.inc(images)

    def count_wait(self, classifiers: Iterable[Classifier], seconds: float) -> None:
        """Count a request's wait for its first run."""
        for classifier in classifiers:
            record = classifier.record
            self._model_seconds(record.name, record.version, "queue").observe(seconds)

    def count_run(self, classifier: Classifier, images: int, seconds: float) -> None:
        """Count a model's run of a batch."""
        name, version = classifier.record.name, classifier.record.version
        self._batch_size(name).observe(images)
        self._model_seconds(name, version, "infer").observe(seconds)
        self._model_images(name, version).inc(images)
        self._last_run(name, version).set(time.time())

    def count_predictions(
        self, classifiers: Sequence[Classifier], probabilities: Sequence[npt.NDArray[np.float32]]
    ) -> None:
        """Count each model's predictions, from its probabilities [N, classes]."""
        best = [of_model.argmax(axis=1).tolist() for of_model in probabilities]
        by_classes = defaultdict(list)
        for classifier, of_model, places in zip(classifiers, probabilities, best, strict=True):
            record = classifier.record
            by_classes[tuple(record.classes)].append(places)
            confidence = self._confidence(record.name, record.version)
            for place, highest in zip(places, of_model.max(axis=1).tolist(), strict=True):
                found = record.classes[place] if len(record.classes) <= MOST_CLASSES else ""
                self._predictions(record.name, record.version, found).inc()
                confidence.observe(highest)
        for comparable in by_classes.values():
            if len(comparable) > 1:
                for answers in zip(*comparable, strict=True):
                    (self._agree if len(set(answers)) == 1 else self._disagree).inc()

    def exposition(self) -> bytes:
        """Return Prometheus text, for all workers if they share their metrics."""
        registry = self._summed()
        if registry is not self.registry:
            registry.register(Processes())
        return generate_latest(registry)

    def samples(self) -> Iterator[Sample]:
        """Return the counts so far, for all workers if they share their metrics."""
        return (sample for family in self._summed().collect() for sample in family.samples)

    def _summed(self) -> CollectorRegistry:
        if not self._shared and MULTIPROCESS not in os.environ:
            return self.registry
        registry = CollectorRegistry()
        registry.register(self._shared or MultiProcessCollector(None))  # type: ignore[no-untyped-call]
        return registry
