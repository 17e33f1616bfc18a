"""What Prometheus reads at /metrics."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from serving.classifier import Classifier, Classifiers
from serving.errors import status_of

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """One service's counters, in a registry of their own."""

    def __init__(self, classifiers: Classifiers) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "http_requests",
            "Finished requests.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "http_request_seconds",
            "From when a request is whole to its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "http_requests_in_flight", "Requests being answered.", registry=self.registry
        )
        self.model_requests = Counter(
            "model_requests",
            "Requests that asked a model.",
            ["model", "version", "status"],
            registry=self.registry,
        )
        stages = Histogram(
            "predict_stage_seconds",
            "Time of a request's decoding, a model's wait in the queue, and a run of a batch.",
            ["stage"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.decode_seconds = stages.labels("decode")
        self.queue_seconds = stages.labels("queue")
        self.infer_seconds = stages.labels("infer")
        self.batch_size = Histogram(
            "batch_size",
            "Images in a batch.",
            ["model"],
            buckets=(1, 2, 4, 8, 16, 32, 64, 128),
            registry=self.registry,
        )
        self.queue_depth = Gauge(
            "queue_depth", "Images that wait for a model or run.", registry=self.registry
        )
        info = Gauge(
            "model_info",
            "1 for each loaded model.",
            ["model", "version", "recipe", "provider"],
            registry=self.registry,
        )
        accuracy = Gauge(
            "model_test_accuracy",
            "Recorded share of right answers on CIFAR-10's test set.",
            ["model", "version"],
            registry=self.registry,
        )
        for classifier in classifiers:
            record = classifier.record
            info.labels(record.name, record.version, record.recipe, classifier.provider).set(1)
            accuracy.labels(record.name, record.version).set(record.test_accuracy)

    @contextmanager
    def count_models(self, classifiers: Iterable[Classifier]) -> Iterator[None]:
        """Count a request that asks these models, with the status that the block comes to."""
        status = 200
        try:
            yield
        except Exception as error:
            status = status_of(error)
            raise
        finally:
            for classifier in classifiers:
                record = classifier.record
                self.model_requests.labels(record.name, record.version, int(status)).inc()

    def count_refusal(self, status: int) -> None:
        """Count a request that was refused before it reached the application."""
        self.requests.labels("any", "refused", status).inc()
