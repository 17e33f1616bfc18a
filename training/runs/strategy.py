"""Training in a single process; `training.runs.distribute` does it with several workers."""

from contextlib import AbstractContextManager, nullcontext

import keras


class SingleProcess:
    """Training in this process alone."""

    worker = 0
    workers = 1
    devices = 1  # of all workers together

    @property
    def is_first_worker(self) -> bool:
        """Whether this worker is the one that writes the files."""
        return self.worker == 0

    def check_agreement(self, **values: int) -> None:
        """Wait until all workers have arrived with the same values."""

    def on_this_worker_alone(self) -> AbstractContextManager[None]:
        """Return a context whose code the other workers do not run."""
        return nullcontext()

    def device(self, model: keras.Model) -> str:
        """Return what trains the model, as Keras' backend calls it."""
        # The only spelling that the TensorFlow, JAX and torch backends share.
        return str(model.weights[0].value.device)


ALONE = SingleProcess()
