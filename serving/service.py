"""What the routes share: the loaded models and the ways to them."""

from dataclasses import dataclass

from serving.batching import Batcher
from serving.decoding import Decoders
from serving.errors import NotReadyError
from serving.metrics import Metrics
from serving.registry import Classifiers
from serving.settings import Settings


@dataclass(frozen=True)
class Service:
    """The parts that a request passes: decoders, then the batcher with the models."""

    settings: Settings
    classifiers: Classifiers
    decoders: Decoders
    batcher: Batcher
    metrics: Metrics

    def check_ready(self) -> None:
        """Pass where requests should be sent here; the models are loaded before it listens.

        Raises:
            NotReadyError: a model fails.
        """
        if failed := self.batcher.failed():
            raise NotReadyError(f"These models fail: {', '.join(failed)}. The log says why.")
