"""What the routes share: settings, models, decoders, batcher and metrics."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from models.familiarity import MeasuredFamiliarity
from serving.errors import NotReadyError
from serving.http.intake import current_request
from serving.images.decode import DecodedImage, Upload
from serving.images.pool import Decoders
from serving.images.process import Outcome
from serving.inference.batching import Batcher
from serving.inference.classifier import Classifier
from serving.inference.jobs import Images, Probabilities
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

    def decode(self, uploads: Sequence[Upload], *, resize: bool) -> list[DecodedImage]:
        """Decode a request's images in order, up to the first that is refused.

        Raises:
            ServingError: as Decoders.decode(), or too many images wait for the models.
        """
        with self._decoding():
            return self.decoders.decode(uploads, current_request().is_abandoned, resize=resize)

    def decode_each(self, uploads: Sequence[Upload], *, resize: bool) -> list[Outcome]:
        """Decode a request's images in order, each to its pixels or its refusal.

        Raises:
            ServingError: as Decoders.decode_each(), or too many images wait for the models.
        """
        with self._decoding():
            is_abandoned = current_request().is_abandoned
            return list(self.decoders.decode_each(uploads, is_abandoned, resize=resize))

    @contextmanager
    def _decoding(self) -> Iterator[None]:
        self.batcher.check_room()  # before doing any work
        with self.metrics.time_decoding():
            yield

    def classify(
        self, classifiers: Sequence[Classifier], images: Images, *, count: bool = True
    ) -> list[Probabilities]:
        """Return each model's probabilities [N, classes] for images [N, 32, 32, 3], RGB.

        They count as predictions unless `count` is False.

        Raises:
            ServingError: as Batcher.classify().
        """
        found = self.batcher.classify(classifiers, images, current_request().is_abandoned)
        if count:
            self.metrics.count_predictions(classifiers, found)
        return found

    def check_ready(self, *only: Classifier) -> None:
        """Check that decoders start and that all models, or `only` these, work.

        Raises:
            NotReadyError: no decoder starts, or one of the models fails.
        """
        self.decoders.check_ready()
        if failed := self.batcher.retry_failed(only or None):
            raise NotReadyError(f"These models failed: {', '.join(failed)}. The log says why.")
