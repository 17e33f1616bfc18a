"""What a training does after each epoch: it saves a checkpoint, and writes the curves' points."""

import math
import time
from typing import Any

import keras

from models.measurements import Epoch
from training.runs.checkpoints import EVENTS_FOLDER, Run, RunError, RunFolder
from training.runs.noise import TrainingPart
from training.runs.strategy import SingleProcess


class Checkpoint(keras.callbacks.Callback):
    """Adds each epoch to the run and saves it; ends a finished run.

    Raises:
        RunError: the loss is not finite.
        WriteError: the epoch cannot be saved; the earlier ones are kept.
    """

    def __init__(
        self, run: Run, folder: RunFolder, part: TrainingPart, strategy: SingleProcess
    ) -> None:
        super().__init__()
        self.run = run
        self.folder = folder
        self.part = part
        self.strategy = strategy

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the epoch's clock."""
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Save the epoch."""
        seconds = time.perf_counter() - self.started
        if not all(map(math.isfinite, (logs or {}).values())):
            raise RunError(
                f"the loss of epoch {epoch + 1} is not finite; the earlier epochs are kept in "
                f"{self.folder}; delete it and train in float32, with another seed or with a "
                "lower learning rate"
            )
        self.run.add(
            Epoch(**(logs or {}), seconds=seconds, memorization=self.part.memorization(self.model))
        )
        if self.strategy.is_first_worker:
            with self.strategy.on_this_worker_alone():
                self.folder.save(self.run, self.model)
        self.model.stop_training = self.run.is_finished


class Events(keras.callbacks.TensorBoard):
    """Writes event files, with which TensorBoard shows the curves while the training runs."""

    def __init__(self, folder: RunFolder) -> None:
        super().__init__(folder.path / EVENTS_FOLDER, write_graph=False)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Skip Keras' points of each batch, which take time and go nowhere."""

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """Skip Keras' second curves of the validation, by batches."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the epoch's points at once, so that a kill loses none of them."""
        super().on_epoch_end(epoch, logs)
        for writer in self._writers.values():
            writer.flush()
