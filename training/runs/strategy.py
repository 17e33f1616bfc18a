"""Training in a single process; `training.runs.distribute` is for several workers."""

from contextlib import AbstractContextManager, nullcontext

import keras


class SingleProcess:
    """Training in this process only."""

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
        """Return a context for code that only this worker runs."""
        return nullcontext()

    def device(self, model: keras.Model) -> str:
        """Return the device that trains the model, in the backend's spelling."""
        # The only spelling that the TensorFlow, JAX and torch backends share.
        return str(model.weights[0].value.device)


ALONE = SingleProcess()
