"""What waits for the models: each request's images, and the batches made of them."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from gevent.event import AsyncResult

from serving.inference.classifier import Classifier

Images = npt.NDArray[np.uint8]
Probabilities = npt.NDArray[np.float32]

SMALL_SHARE = 1 / 4  # of a full batch


@dataclass(eq=False)
class Job:
    """A request's images on their way through the models, in one piece or several."""

    classifiers: tuple[Classifier, ...]
    images: Images
    is_abandoned: Callable[[], bool] = lambda: False
    result: AsyncResult = field(default_factory=AsyncResult)
    queued: float = field(default_factory=time.perf_counter)
    taken: int = 0  # images that have run or are running
    parts: list[list[Probabilities]] = field(default_factory=list)  # per run, per model

    @property
    def left(self) -> int:
        """Images that have not begun to run."""
        return len(self.images) - self.taken

    @property
    def limit(self) -> int:
        """Images in a full batch."""
        return self.classifiers[0].max_batch

    @property
    def is_small(self) -> bool:
        """Whether it can share a batch with other requests."""
        return self.left <= max(1, self.limit * SMALL_SHARE)

    def take(self, count: int) -> Images:
        """Return the next images to run."""
        piece = self.images[self.taken : self.taken + count]
        self.taken += len(piece)
        return piece

    def joined(self) -> list[Probabilities]:
        """Return each model's probabilities for all images, once every piece has run."""
        if len(self.parts) == 1:
            return self.parts[0]
        return [np.concatenate(of_model) for of_model in zip(*self.parts, strict=True)]


Batch = list[tuple[Job, Images]]  # a piece of each job
