"""The application for servers that load it by its name, whose threads run the models themselves.

The service's batches are made in gevent's loop, which none of them but the service has.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from serving.app import create_app
from serving.batching import Batcher
from serving.classifier import Classifier
from serving.logs import configure_logging
from serving.settings import Settings


class Unbatched(Batcher):
    """Runs each request by itself: for `first`, which is asked here, threads cost more."""

    def classify(
        self, classifiers: Iterable[Classifier], images: npt.NDArray[np.uint8]
    ) -> list[npt.NDArray[np.float32]]:
        """Return each model's probabilities."""
        return [classifier.classify(images) for classifier in classifiers]


configure_logging()
app = create_app(Settings(provider="cpu"), Unbatched)
