"""BentoML, without batches and with adaptive batching.

Its batchable APIs take lists, so the image is sent as a list of one, in a form. To accept a bare
image as the body, its documentation puts a second service in a process before this one; that
answered a third fewer requests.
"""

from typing import Any

import bentoml
import numpy as np
from PIL.Image import Image

from benchmarks.rivals.common import MAX_BATCH, WORKERS, classify, load, pixels


@bentoml.service(workers=WORKERS or 1)
class Classifier:
    """BentoML joins the lists of waiting requests and splits the list that comes back."""

    def __init__(self) -> None:
        self.sessions = load()

    @bentoml.api
    def predict(self, image: Image) -> list[dict[str, Any]]:
        """Classify an image."""
        return classify(self.sessions, pixels(image)[np.newaxis])

    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH)
    def predict_batch(self, images: list[Image]) -> list[dict[str, Any]]:
        """Classify a batch."""
        return classify(self.sessions, np.stack([pixels(image) for image in images]))
