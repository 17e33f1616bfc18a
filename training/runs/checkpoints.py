"""A run: what it trains, what it has done, and its folder, `run.json` and the last checkpoint.

A checkpoint holds weights and optimizer state. Keras' own `BackupAndRestore` writes weights and
epoch number in place, one after the other: a kill in between repeats an epoch on weights that have
already seen it. Here, `run.json` is replaced atomically once its checkpoint is written, and the
previous checkpoint is deleted last.
"""

import math
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from models.bundle import read_json
from models.measurements import Epoch
from models.record import Device, Extension, Part
from training import SAME_COMMAND, TrainingError
from training.data import Dataset, cifar10
from training.files import WriteError, locked, replaced, write_text
from training.networks.recipes import Recipe

if TYPE_CHECKING:
    import keras

RUN_FILE = "run.json"
EVENTS_FOLDER = "tensorboard"  # the curves, for TensorBoard


class RunError(TrainingError):
    """A run folder lacks a checkpoint, or holds a different run than requested."""


class Run(BaseModel):
    """The contents of `run.json`; `history` has one element per finished epoch."""

    model: str
    recipe: str
    hyperparameters: dict[str, Any]  # the recipe's
    seed: int
    epochs: int
    precision: str
    dataset: str = cifar10.SHA256  # of the images; a run that does not say it is of CIFAR-10
    backend: str
    device: Device
    libraries: dict[str, str]
    history: list[Epoch]
    parts: list[Part] = []  # empty in runs from before they were recorded
    extensions: list[Extension] = []  # see models.record.Provenance

    def begin_part(self, commit: str | None, device: str, libraries: dict[str, str]) -> None:
        """Record the code and the machine that train the next epochs."""
        done = len(self.history)
        if done and not self.parts:
            before = Part(
                first_epoch=1,
                last_epoch=done,
                commit=None,
                device=self.device,
                libraries=self.libraries,
            )
            self.parts.append(before)
        made_by = {"commit": commit, "device": device, "libraries": libraries}
        if not self.parts or self.parts[-1].model_dump(include=set(made_by)) != made_by:
            part = {"first_epoch": done + 1, "last_epoch": done, **made_by}
            self.parts.append(Part.model_validate(part))

    def add(self, epoch: Epoch) -> None:
        """Add a finished epoch to the history and to the current part."""
        self.history.append(epoch)
        self.parts[-1].last_epoch = len(self.history)

    @property
    def chosen_epoch(self) -> int:
        """The epoch, from 1, whose weights are the run's result."""
        if self.hyperparameters.get("early_stopping") is None:
            return len(self.history)
        return 1 + min(range(len(self.history)), key=lambda i: self.history[i].val_loss)

    @property
    def is_finished(self) -> bool:
        """Whether no epoch is left to train."""
        done, patience = len(self.history), self.hyperparameters.get("early_stopping")
        if done in (0, self.epochs) or patience is None:
            return done == self.epochs
        return done >= self.chosen_epoch + int(patience)


@dataclass(frozen=True)
class RunFolder:
    """A folder that holds one run."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def lock(self) -> AbstractContextManager[None]:
        """Lock the folder; see `training.files.locked`."""
        return locked(self.path)

    def read(self) -> Run | None:
        """Return the run as of its last finished epoch; None if there is none.

        Raises:
            BundleError: run.json is damaged.
        """
        advice = f"delete {self}, or train with --fresh to start over"
        return read_json(self.path / RUN_FILE, Run, advice)

    def write(self, run: Run) -> None:
        """Replace `run.json` atomically."""
        write_text(self.path / RUN_FILE, run.model_dump_json(indent=2))

    def clear(self) -> None:
        """Remove the run, `run.json` first: a kill leaves no run without its checkpoint."""
        for path in (self.path / RUN_FILE, *self._checkpoints()):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.path / EVENTS_FOLDER, ignore_errors=True)

    def save(self, run: Run, model: "keras.Model") -> None:
        """Save the finished epoch, then delete the checkpoints no longer needed.

        Raises:
            WriteError: the checkpoint cannot be written; the previous epoch is kept.
        """
        last = self._checkpoint(len(run.history))
        variables = [*model.weights, *model.optimizer.variables]
        try:
            with replaced(last) as unfinished:
                # HDF5 crashes the process (segmentation fault) after a failed write: check first
                # that there is room: 4 bytes per number, plus HDF5's overhead.
                size = 4 * sum(math.prod(v.shape) for v in variables) + 2**20
                unfinished.write_bytes(bytes(size))
                model.save_weights(unfinished)
            self.write(run)
        except WriteError as error:
            raise WriteError(
                f"{error}; the earlier epochs are kept, and {SAME_COMMAND} resumes after them"
            ) from error
        for path in self._checkpoints():
            if path not in (last, self._checkpoint(run.chosen_epoch)):
                path.unlink()

    def load(self, model: "keras.Model", epoch: int) -> None:
        """Load an epoch's weights into a network, and the state of its optimizer if it has one.

        Raises:
            RunError: the checkpoint is missing or damaged.
        """
        path = self._checkpoint(epoch)
        try:
            model.load_weights(path)
        except (OSError, KeyError, ValueError, RuntimeError) as error:  # h5py's and Keras'
            reason = "it is missing" if not path.exists() else str(error).splitlines()[0]
            raise RunError(
                f"cannot load {path} ({reason}); delete {self}, or train with --fresh to start over"
            ) from error

    def _checkpoint(self, epoch: int) -> Path:
        """Return the file with an epoch's weights and optimizer state."""
        return self.path / f"epoch-{epoch}.weights.h5"

    def _checkpoints(self) -> Iterator[Path]:
        return self.path.glob("epoch-*.weights.h5")


@dataclass(frozen=True)
class Plan:
    """What a run is to train, and in which folder."""

    model: str
    recipe: Recipe
    epochs: int
    folder: RunFolder
    seed: int = 0
    precision: str = "float32"  # Keras' dtype policy in training

    def begin(
        self, dataset: Dataset, *, backend: str, device: str, libraries: dict[str, str]
    ) -> Run:
        """Return the run before its first epoch."""
        return Run(
            model=self.model,
            recipe=self.recipe.name,
            hyperparameters=self.recipe.hyperparameters,
            seed=self.seed,
            epochs=self.epochs,
            precision=self.precision,
            dataset=dataset.sha256,
            backend=backend,
            device=device,
            libraries=libraries,
            history=[],
        )

    def check_made_by(self, run: Run, dataset: Dataset) -> None:
        """Refuse a run whose hyperparameters differ from the recipe's, or whose images are others.

        Raises:
            RunError: they differ.
        """
        if run.dataset != dataset.sha256:
            raise RunError(
                f"{self.folder} holds a run on different images than {dataset.name} as it is now; "
                "restore them, choose another folder with --runs-dir, or use --fresh to start over"
            )
        flips = self.recipe.flips
        if replace(self.recipe, flips=not flips).matches(run.hyperparameters):
            raise RunError(
                f"{self.folder} holds a run {'with' if flips else 'without'} --no-flips; "
                f"{'add' if flips else 'leave out'} it to go on, or use --fresh to start over"
            )
        if not self.recipe.matches(run.hyperparameters):
            raise RunError(
                f"{self.folder} holds a run whose hyperparameters differ from those of the "
                f"{self.recipe.name} recipe; train with --fresh to start over"
            )

    def check_same(self, run: Run, dataset: Dataset) -> None:
        """Refuse to resume a run that differs from the one requested.

        Raises:
            RunError: it differs; the message says how to resume it.
        """
        self.check_made_by(run, dataset)
        if self.recipe.cosine and run.epochs != self.epochs:
            raise RunError(
                f"{self.folder} holds a run whose learning rate is scheduled for {run.epochs} "
                f"epochs; use --epochs {run.epochs} to resume it or --fresh to start over"
            )
        for option in ("seed", "precision"):
            found, asked = getattr(run, option), getattr(self, option)
            if found != asked:
                raise RunError(
                    f"{self.folder} holds a run with --{option} {found}, not {asked}; "
                    f"use --{option} {found} to resume it or --fresh to start over"
                )
        if len(run.history) > self.epochs:
            raise RunError(
                f"{self.folder} already has {len(run.history)} epochs, more than {self.epochs}; "
                f"use --fresh to start over"
            )
