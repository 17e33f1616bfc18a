"""Train one network with one recipe, resumable after a kill at any moment.

A run folder holds `run.json` (what runs, and its history) and the checkpoint of the last finished
epoch: weights and optimizer state. Keras' own `BackupAndRestore` writes its weights and its epoch
number one after the other, in place: a kill between the two repeats an epoch on weights that have
already seen it. Here `run.json` is replaced in one step, after the checkpoint that it names.
"""

import math
import os
import platform
import sys
import time
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import keras
import numpy.typing as npt
from pydantic import BaseModel, JsonValue

from models.record import CLASSES, Epoch
from training import TrainingError
from training.architectures import build
from training.data import Split
from training.distribute import Share, alone, check_agreement, is_first_worker
from training.files import write_text
from training.optimizers import ConvolutionalMuon
from training.recipes import Recipe

LIBRARIES = ("keras", "tensorflow", "jax", "torch", "numpy")


class RunError(TrainingError):
    """A run folder holds another run than the one asked for."""


class Run(BaseModel):
    """What `run.json` holds; `history` has an element for each finished epoch."""

    model: str
    recipe: str
    hyperparameters: dict[str, JsonValue]  # the recipe's
    seed: int
    epochs: int
    precision: str
    backend: str
    device: str
    libraries: dict[str, str]
    history: list[Epoch]


def train(
    name: str,
    recipe: Recipe,
    split: Split,
    *,
    epochs: int,
    seed: int,
    precision: str,
    run_dir: Path,
) -> Run:
    """Train a network to `epochs` epochs, going on from the last finished one in `run_dir`.

    With early stopping it may end before. Of several workers, each takes its share of each batch,
    and the first one alone writes into `run_dir`, which all share.

    Raises:
        WorkerError: the workers have found another epoch, or were asked for another run.
        RunError: `run_dir` holds another run, or one of more epochs; or the loss is not finite.
    """
    run = read_run(run_dir)
    if run is not None:
        _check_same(run, run_dir, recipe, epochs=epochs, seed=seed, precision=precision)
    done = len(run.history) if run else 0
    check_agreement(finished_epochs=done, epochs=epochs, seed=seed)
    # A seed of its own for each resumption, so as not to repeat the first epochs' shuffles.
    keras.utils.set_random_seed(seed + done)
    steps = math.ceil(int(len(split.labels) * (1 - recipe.validation_split)) / recipe.batch_size)
    model = _compiled(name, recipe, precision, steps_per_epoch=steps, epochs=epochs)
    if run is None:
        run = Run(
            model=name,
            recipe=recipe.name,
            hyperparameters=hyperparameters(recipe),
            seed=seed,
            epochs=epochs,
            precision=precision,
            backend=keras.backend.backend(),
            device=_device(model),
            libraries=_library_versions(),
            history=[],
        )
    else:
        model.optimizer.build(model.trainable_variables)
        model.load_weights(run_dir / _checkpoint(done))
        if run.epochs != epochs:
            run.epochs = epochs
            if is_first_worker():
                _write(run, run_dir)
    if not _finished(run, recipe):
        model.fit(
            **_examples(split, recipe),
            epochs=epochs,
            initial_epoch=done,
            callbacks=[_Checkpoint(run, recipe, run_dir)],
            verbose=0 if not is_first_worker() else 1 if sys.stdout.isatty() else 2,
        )
    return run


def read_run(run_dir: Path) -> Run | None:
    """Return the run in `run_dir` as of its last finished epoch; None if there is none."""
    try:
        return Run.model_validate_json((run_dir / "run.json").read_bytes())
    except FileNotFoundError:
        return None


def load_trained_model(run: Run, recipe: Recipe, run_dir: Path) -> keras.Model:
    """Return the network that a run has come to, in float32.

    The checkpoint holds float32 arrays alone, so any backend's run can be loaded under another.
    """
    model = build(run.model, recipe)
    model.load_weights(run_dir / _checkpoint(_chosen_epoch(run, recipe)))
    return model


def hyperparameters(recipe: Recipe) -> dict[str, JsonValue]:
    """Return what a run records of its recipe: all that changes what it comes to but its length."""
    return {name: value for name, value in asdict(recipe).items() if name not in {"name", "epochs"}}


def _write(run: Run, run_dir: Path) -> None:
    write_text(run_dir / "run.json", run.model_dump_json(indent=2))


def _check_same(
    run: Run, run_dir: Path, recipe: Recipe, *, epochs: int, seed: int, precision: str
) -> None:
    if run.hyperparameters != hyperparameters(recipe):
        raise RunError(
            f"{run_dir} holds a run with other hyperparameters than the {recipe.name} recipe has "
            f"now; use --fresh to start over"
        )
    if recipe.cosine and run.epochs != epochs:
        raise RunError(
            f"{run_dir} holds a run to {run.epochs} epochs, and its learning rate ends with them; "
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
            f"{run_dir} has finished {len(run.history)} epochs already, more than {epochs}; "
            f"use --fresh to start over"
        )


def _compiled(
    name: str, recipe: Recipe, precision: str, *, steps_per_epoch: int, epochs: int
) -> keras.Model:
    keras.config.set_dtype_policy(precision)
    try:
        model = build(name, recipe)
    finally:
        keras.config.set_dtype_policy("float32")
    if recipe.label_smoothing:
        loss = keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=recipe.label_smoothing
        )
    else:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        optimizer=_optimizer(recipe, steps_per_epoch, epochs), loss=loss, metrics=["accuracy"]
    )
    return model


def _examples(split: Split, recipe: Recipe) -> dict[str, Any]:
    """Return the arguments of `fit` with what to train and validate on."""
    images, targets = split.images.astype("float32"), _targets(split, recipe)
    size = recipe.batch_size
    if keras.distribution.distribution() is None:
        return {
            "x": images,
            "y": targets,
            "batch_size": size,
            "validation_split": recipe.validation_split,
        }
    at = int(len(images) * (1 - recipe.validation_split))  # where Keras splits
    return {
        "x": Share(images[:at], targets[:at], batch_size=size, shuffle=True),
        "validation_data": Share(images[at:], targets[at:], batch_size=size, shuffle=False),
        "shuffle": False,  # of the order of batches, which every worker would draw for itself
    }


def _targets(split: Split, recipe: Recipe) -> npt.NDArray[Any]:
    if recipe.label_smoothing:  # Keras smooths one-hot targets alone
        one_hot: npt.NDArray[Any] = keras.utils.to_categorical(split.labels, len(CLASSES))
        return one_hot
    return split.labels


def _optimizer(recipe: Recipe, steps_per_epoch: int, epochs: int) -> keras.optimizers.Optimizer:
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = recipe.learning_rate
    if recipe.cosine:
        warmup_epochs = min(recipe.warmup_epochs, epochs - 1)
        learning_rate = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0,
            warmup_target=recipe.learning_rate,
            warmup_steps=warmup_epochs * steps_per_epoch,
            decay_steps=(epochs - warmup_epochs) * steps_per_epoch,
        )
    match recipe.optimizer:
        case "muon":
            return ConvolutionalMuon(learning_rate, recipe.weight_decay)
        case "adam":
            return keras.optimizers.Adam(learning_rate)


def _chosen_epoch(run: Run, recipe: Recipe) -> int:
    """Return the epoch, from 1, whose weights are the run's result."""
    if recipe.early_stopping is None:
        return len(run.history)
    return 1 + min(range(len(run.history)), key=lambda i: run.history[i].val_loss)


def _finished(run: Run, recipe: Recipe) -> bool:
    done = len(run.history)
    if done in (0, run.epochs) or recipe.early_stopping is None:
        return done == run.epochs
    return done >= _chosen_epoch(run, recipe) + recipe.early_stopping


def _checkpoint(epoch: int | str) -> str:
    """Return the name of the file with an epoch's weights and optimizer state."""
    return f"epoch-{epoch}.weights.h5"


class _Checkpoint(keras.callbacks.Callback):
    def __init__(self, run: Run, recipe: Recipe, run_dir: Path) -> None:
        super().__init__()
        self.run = run
        self.recipe = recipe
        self.run_dir = run_dir

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        seconds = time.perf_counter() - self.started
        if not all(map(math.isfinite, (logs or {}).values())):
            raise RunError(
                f"epoch {epoch + 1} came to a loss that is not finite; the epoch before it is kept"
            )
        self.run.history.append(Epoch(**(logs or {}), seconds=seconds))
        if is_first_worker():
            self._save()
        self.model.stop_training = _finished(self.run, self.recipe)

    def _save(self) -> None:
        self.run_dir.mkdir(parents=True, exist_ok=True)
        last = _checkpoint(len(self.run.history))
        with alone():
            self.model.save_weights(self.run_dir / last)
        _write(self.run, self.run_dir)
        for path in self.run_dir.glob(_checkpoint("*")):
            if path.name not in {last, _checkpoint(_chosen_epoch(self.run, self.recipe))}:
                path.unlink()


def _library_versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    return versions


def _device(model: keras.Model) -> str:
    if keras.distribution.distribution() is None:
        # The one spelling that the TensorFlow, JAX and torch backends share.
        device = str(model.weights[0].value.device)
    else:
        device = " and ".join(keras.distribution.list_devices())
    return f"{device} of {platform.machine()} with {os.cpu_count()} cores"
