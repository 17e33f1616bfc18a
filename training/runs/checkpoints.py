"""The run folder: `run.json` (the run and its history) and the last epoch's checkpoint.

A checkpoint holds weights and optimizer state. Keras' own `BackupAndRestore` writes weights and
epoch number in place, one after the other: a kill in between repeats an epoch on weights that have
already seen it. Here, `run.json` is replaced atomically once its checkpoint is written, and the
previous checkpoint is deleted last.
"""

import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import portalocker
from pydantic import BaseModel, JsonValue, ValidationError

from models.bundle import first_reason
from models.locks import lock
from models.measurements import Epoch
from models.record import Device, Extension, Part
from training import SAME_COMMAND, TrainingError
from training.data import Dataset, cifar10
from training.files import WriteError, check_writable, replaced, write_text
from training.networks.recipes import Recipe

if TYPE_CHECKING:
    import keras

RUN_FILE = "run.json"
LOCK_FILE = ".lock"
EVENTS_FOLDER = "tensorboard"  # the curves, for TensorBoard


class RunError(TrainingError):
    """A run folder is damaged, in use, or holds a different run than requested."""


class InUseError(RunError):
    """Another process holds a folder's lock."""


class Run(BaseModel):
    """The contents of `run.json`; `history` has one element per finished epoch."""

    model: str
    recipe: str
    hyperparameters: dict[str, JsonValue]  # the recipe's
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
            self.parts = [
                Part(
                    first_epoch=1,
                    last_epoch=done,
                    commit=None,
                    device=self.device,
                    libraries=self.libraries,
                )
            ]
        known = self.parts[-1] if self.parts else None
        if known and (known.commit, known.device, known.libraries) == (commit, device, libraries):
            return
        self.parts.append(
            Part(
                first_epoch=done + 1,
                last_epoch=done,
                commit=commit,
                device=device,
                libraries=libraries,
            )
        )

    def add(self, epoch: Epoch) -> None:
        """Add a finished epoch to the history and to the current part."""
        self.history.append(epoch)
        self.parts[-1].last_epoch = len(self.history)

    def chosen_epoch(self, recipe: Recipe) -> int:
        """Return the epoch, from 1, whose weights are the run's result."""
        if recipe.early_stopping is None:
            return len(self.history)
        return 1 + min(range(len(self.history)), key=lambda i: self.history[i].val_loss)

    def is_finished(self, recipe: Recipe) -> bool:
        """Return whether no epoch is left to train."""
        done = len(self.history)
        if done in (0, self.epochs) or recipe.early_stopping is None:
            return done == self.epochs
        return done >= self.chosen_epoch(recipe) + recipe.early_stopping


@contextmanager
def locked(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Lock a folder against other training processes; create it if it is missing; see `lock`.

    The lock is released when the process ends, however it ends; the lock file stays.

    Raises:
        WriteError: the folder is not writable.
        InUseError: another process holds the lock, and `wait` is false.
    """
    check_writable(folder)
    with (folder / LOCK_FILE).open("a") as file:
        try:
            lock(file, wait=wait)
        except portalocker.AlreadyLocked as error:
            raise InUseError(
                f"another training process is writing to {folder}; wait until it ends, or choose "
                "another folder with --runs-dir"
            ) from error
        yield


def read_run(run_dir: Path) -> Run | None:
    """Return the run in `run_dir` as of its last finished epoch; None if there is none.

    Raises:
        RunError: run.json is damaged.
    """
    path = run_dir / RUN_FILE
    try:
        return Run.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        raise RunError(
            f"{path} is damaged ({first_reason(error)}); delete {run_dir}, or train with --fresh "
            "to start over"
        ) from error


def write_run(run: Run, run_dir: Path) -> None:
    """Replace `run.json` atomically."""
    write_text(run_dir / RUN_FILE, run.model_dump_json(indent=2))


def clear(run_dir: Path) -> None:
    """Remove the run, `run.json` first: a kill leaves no run without its checkpoint."""
    for path in (run_dir / RUN_FILE, *run_dir.glob(_checkpoint("*"))):
        path.unlink(missing_ok=True)
    shutil.rmtree(run_dir / EVENTS_FOLDER, ignore_errors=True)


def save(run: Run, recipe: Recipe, model: "keras.Model", run_dir: Path) -> None:
    """Save the finished epoch, then delete the checkpoints no longer needed.

    Raises:
        WriteError: the checkpoint cannot be written; the previous epoch is kept.
    """
    last = run_dir / _checkpoint(len(run.history))
    variables = [*model.weights, *model.optimizer.variables]
    try:
        with replaced(last) as unfinished:
            # HDF5 crashes the process (segmentation fault) after a failed write: check first that
            # there is room: 4 bytes per number, plus HDF5's overhead.
            unfinished.write_bytes(bytes(4 * sum(math.prod(v.shape) for v in variables) + 2**20))
            model.save_weights(unfinished)
        write_run(run, run_dir)
    except WriteError as error:
        raise WriteError(
            f"{error}; the earlier epochs are kept, and {SAME_COMMAND} resumes after them"
        ) from error
    kept = {last.name, _checkpoint(run.chosen_epoch(recipe))}
    for path in run_dir.glob(_checkpoint("*")):
        if path.name not in kept:
            path.unlink()


def load(model: "keras.Model", epoch: int, run_dir: Path) -> None:
    """Load an epoch's weights into a network, and the optimizer's state if it has an optimizer.

    Raises:
        RunError: the checkpoint is missing or damaged.
    """
    path = run_dir / _checkpoint(epoch)
    try:
        model.load_weights(path)
    except (OSError, KeyError, ValueError, RuntimeError) as error:  # h5py's and Keras'
        reason = "it is missing" if not path.exists() else str(error).splitlines()[0]
        raise RunError(
            f"cannot load {path} ({reason}); delete {run_dir}, or train with --fresh to start over"
        ) from error


def check_made_by(run: Run, run_dir: Path, recipe: Recipe, dataset: Dataset) -> None:
    """Refuse a run whose hyperparameters differ from the recipe's, or whose images are others.

    Raises:
        RunError: they differ.
    """
    if run.dataset != dataset.sha256:
        raise RunError(
            f"{run_dir} holds a run on different images than {dataset.name} as it is now; restore "
            "them, choose another folder with --runs-dir, or use --fresh to start over"
        )
    if replace(recipe, flips=not recipe.flips).matches(run.hyperparameters):
        raise RunError(
            f"{run_dir} holds a run {'with' if recipe.flips else 'without'} --no-flips; "
            f"{'add' if recipe.flips else 'leave out'} it to go on, or use --fresh to start over"
        )
    if not recipe.matches(run.hyperparameters):
        raise RunError(
            f"{run_dir} holds a run whose hyperparameters differ from those of the {recipe.name} "
            "recipe; train with --fresh to start over"
        )


def check_same(
    run: Run,
    run_dir: Path,
    recipe: Recipe,
    dataset: Dataset,
    *,
    epochs: int,
    seed: int,
    precision: str,
) -> None:
    """Refuse to resume a run that differs from the one requested.

    Raises:
        RunError: it differs; the message says how to resume it.
    """
    check_made_by(run, run_dir, recipe, dataset)
    if recipe.cosine and run.epochs != epochs:
        raise RunError(
            f"{run_dir} holds a run whose learning rate is scheduled for {run.epochs} epochs; "
            f"use --epochs {run.epochs} to resume it or --fresh to start over"
        )
    for option, found, asked in (
        ("--seed", run.seed, seed),
        ("--precision", run.precision, precision),
    ):
        if found != asked:
            raise RunError(
                f"{run_dir} holds a run with {option} {found}, not {asked}; "
                f"use {option} {found} to resume it or --fresh to start over"
            )
    if len(run.history) > epochs:
        raise RunError(
            f"{run_dir} already has {len(run.history)} epochs, more than {epochs}; "
            f"use --fresh to start over"
        )


def _checkpoint(epoch: int | str) -> str:
    """Return the name of the file with an epoch's weights and optimizer state."""
    return f"epoch-{epoch}.weights.h5"
