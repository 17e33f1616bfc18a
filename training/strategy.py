"""Training in a single process; `training.distribute` has its counterpart for several workers."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from training.recipes import Recipe


class SingleProcess:
    """Training in this process alone."""

    is_first_worker = True  # which writes the files

    def check_agreement(self, **values: int) -> None:
        """Wait until all workers have arrived with the same values."""

    def on_this_worker_alone(self) -> AbstractContextManager[None]:
        """Return a context whose code the other workers do not run."""
        return nullcontext()

    def examples(
        self, images: npt.NDArray[np.float32], targets: npt.NDArray[Any], recipe: Recipe
    ) -> dict[str, Any]:
        """Return the arguments of `fit` with the training and validation data."""
        return {
            "x": images,
            "y": targets,
            "batch_size": recipe.batch_size,
            "validation_split": recipe.validation_split,
        }

    def device(self, model: keras.Model) -> str:
        """Return what trains the model, as Keras' backend calls it."""
        # The only spelling that the TensorFlow, JAX and torch backends share.
        return str(model.weights[0].value.device)


ALONE = SingleProcess()
