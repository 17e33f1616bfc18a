"""What the routes share: settings, models, decoders, batcher and metrics."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from models.familiarity import MeasuredFamiliarity
from serving.errors import NotReadyError
from serving.images.pool import Decoders
from serving.inference.batching import Batcher
from serving.inference.classifier import Classifier
from serving.inference.registry import Classifiers
from serving.observability.metrics import Metrics
from serving.settings import Settings


@dataclass(frozen=True)
class Service:
    """The parts that a request passes through: decoders, then the batcher and its models."""

    settings: Settings
    classifiers: Classifiers
    decoders: Decoders
    batcher: Batcher
    metrics: Metrics
    familiarity: MeasuredFamiliarity | None = None  # as measured on the bundled models

    @contextmanager
    def decoding(self, size: int) -> Iterator[Decoders]:
        """Check that `size` images may wait for models, then time the decoding.

        Raises:
            OverloadedError: too many are already waiting.
        """
        self.batcher.check_room(size)  # before work is wasted
        with self.metrics.time_decoding():
            yield self.decoders

    def check_ready(self, *only: Classifier) -> None:
        """Check that all models, or `only` these, work; all are loaded before it listens.

        Raises:
            NotReadyError: one of them fails.
        """
        if failed := self.batcher.retry_failed(only or None):
            raise NotReadyError(f"These models fail: {', '.join(failed)}. The log says why.")
