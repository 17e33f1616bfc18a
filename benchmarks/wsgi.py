"""The application for servers that import it by name and run the models in their own threads.

The service builds its batches in gevent's loop, which the other servers lack.
"""

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from serving.app import create_app
from serving.inference.batching import Batcher
from serving.inference.classifier import Classifier
from serving.observability.logs import configure_logging
from serving.settings import Settings


class Unbatched(Batcher):
    """Runs each request by itself: for `first`, which is measured here, a batch costs more."""

    needs_gevent = False

    def classify(
        self,
        classifiers: Iterable[Classifier],
        images: npt.NDArray[np.uint8],
        _: Callable[[], bool] = lambda: False,
    ) -> list[npt.NDArray[np.float32]]:
        """Return each model's probabilities."""
        return [classifier.classify(images) for classifier in classifiers]


configure_logging()
app = create_app(Settings(provider="cpu"), Unbatched)  # and SERVING_PRECISION
