"""Training in a single process; `training.distribute` has its counterpart for several workers."""

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from training.recipes import Recipe


class Batches(keras.utils.PyDataset):
    """Batches of images, float32 [batch, 32, 32, 3], and of targets.

    `shuffle` draws a new order for each epoch, which processes with the same seed agree on. `fit`
    can shuffle arrays itself, but under TensorFlow it repeats one order in every epoch once a seed
    is set (Keras 3.15).
    """

    def __init__(
        self,
        images: npt.NDArray[np.uint8],
        targets: npt.NDArray[Any],
        *,
        batch_size: int,
        shuffle: bool,
    ) -> None:
        super().__init__()
        self.images = images
        self.targets = targets
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.size = len(images)  # how many of them an epoch takes
        self.on_epoch_end()

    def __len__(self) -> int:
        return math.ceil(self.size / self.batch_size)

    def __getitem__(self, index: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any]]:
        chosen = self.chosen(index)
        return self.images[chosen].astype(np.float32), self.targets[chosen]

    def chosen(self, index: int) -> npt.NDArray[np.int64]:
        """Return the indices of the images in a batch."""
        end = min((index + 1) * self.batch_size, self.size)
        return self.order[index * self.batch_size : end]

    def on_epoch_end(self) -> None:
        """Shuffle for the next epoch."""
        images = len(self.images)
        self.order = np.random.permutation(images) if self.shuffle else np.arange(images)


class SingleProcess:
    """Training in this process alone."""

    is_first_worker = True  # which writes the files
    batches = Batches

    def check_agreement(self, **values: int) -> None:
        """Wait until all workers have arrived with the same values."""

    def on_this_worker_alone(self) -> AbstractContextManager[None]:
        """Return a context whose code the other workers do not run."""
        return nullcontext()

    def examples(
        self, images: npt.NDArray[np.uint8], targets: npt.NDArray[Any], recipe: Recipe
    ) -> dict[str, Any]:
        """Return the arguments of `fit` with the training and validation data."""
        at = int(len(images) * (1 - recipe.validation_split))  # where Keras would split
        size = recipe.batch_size
        return {
            "x": self.batches(images[:at], targets[:at], batch_size=size, shuffle=True),
            "validation_data": self.batches(
                images[at:], targets[at:], batch_size=size, shuffle=False
            ),
            "shuffle": False,  # of the batches; each worker would draw its own order
        }

    def device(self, model: keras.Model) -> str:
        """Return what trains the model, as Keras' backend calls it."""
        # The only spelling that the TensorFlow, JAX and torch backends share.
        return str(model.weights[0].value.device)


ALONE = SingleProcess()
