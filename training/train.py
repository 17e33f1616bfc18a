"""Train one network with one recipe, resumable after a kill at any moment.

A run folder holds `run.json` (what runs, and its history) and the checkpoint of the last finished
epoch: weights and optimizer state. Keras' own `BackupAndRestore` writes its weights and its epoch
number one after the other, in place: a kill between the two repeats an epoch on weights that have
already seen it. Here `run.json` is replaced in one step, after the checkpoint that it names.
"""

import os
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import keras
from pydantic import BaseModel

from models.record import Epoch
from training.data import Split
from training.recipes import Recipe

LIBRARIES = ("keras", "tensorflow", "jax", "torch", "numpy")


class RunError(Exception):
    """A run folder holds another run than the one asked for."""


class Run(BaseModel):
    """What `run.json` holds; `history` has an element for each finished epoch."""

    model: str
    recipe: str
    seed: int
    epochs: int
    precision: str
    backend: str
    device: str
    libraries: dict[str, str]
    history: list[Epoch]

    @property
    def checkpoint(self) -> str:
        """File name of the last finished epoch's weights and optimizer state."""
        return f"epoch-{len(self.history)}.weights.h5"


def train(
    build: Callable[[], keras.Model],
    recipe: Recipe,
    split: Split,
    *,
    epochs: int,
    seed: int,
    precision: str,
    run_dir: Path,
) -> Run:
    """Train `build()` to `epochs` epochs, going on from the last finished one in `run_dir`.

    Raises:
        RunError: `run_dir` holds a run of another seed or precision, or of more epochs.
    """
    run = read_run(run_dir)
    if run is None:
        keras.utils.set_random_seed(seed)
        model = _compiled(build, recipe, precision)
        run = Run(
            model=model.name,
            recipe=recipe.name,
            seed=seed,
            epochs=epochs,
            precision=precision,
            backend=keras.backend.backend(),
            device=_device(model),
            libraries=_library_versions(),
            history=[],
        )
    else:
        if run.seed != seed:
            raise RunError(
                f"{run_dir} holds a run with seed {run.seed}, not {seed}; "
                f"use --seed {run.seed} to resume it or --fresh to start over"
            )
        if run.precision != precision:
            raise RunError(
                f"{run_dir} holds a run in {run.precision}, not {precision}; "
                f"use --precision {run.precision} to resume it or --fresh to start over"
            )
        if len(run.history) > epochs:
            raise RunError(
                f"{run_dir} has finished {len(run.history)} epochs already, more than {epochs}; "
                f"use --fresh to start over"
            )
        run.epochs = epochs
        # A seed of its own for each resumption, so as not to repeat the first epochs' shuffles.
        keras.utils.set_random_seed(seed + len(run.history))
        model = restore(build, recipe, run_dir, run, precision)
    if len(run.history) < epochs:
        model.fit(
            split.images.astype("float32"),
            split.labels,
            batch_size=recipe.batch_size,
            validation_split=recipe.validation_split,
            epochs=epochs,
            initial_epoch=len(run.history),
            callbacks=[_Checkpoint(run, run_dir)],
            verbose=1 if sys.stdout.isatty() else 2,
        )
    return run


def read_run(run_dir: Path) -> Run | None:
    """Return the run in `run_dir` as of its last finished epoch; None if there is none."""
    try:
        return Run.model_validate_json((run_dir / "run.json").read_bytes())
    except FileNotFoundError:
        return None


def restore(
    build: Callable[[], keras.Model],
    recipe: Recipe,
    run_dir: Path,
    run: Run,
    precision: str = "float32",
) -> keras.Model:
    """Return the model as of the last finished epoch, optimizer state included.

    The checkpoint holds float32 arrays alone, so a run of one backend or precision can be restored
    under another.
    """
    model = _compiled(build, recipe, precision)
    model.optimizer.build(model.trainable_variables)
    model.load_weights(run_dir / run.checkpoint)
    return model


def _compiled(build: Callable[[], keras.Model], recipe: Recipe, precision: str) -> keras.Model:
    keras.config.set_dtype_policy(precision)
    try:
        model = build()
    finally:
        keras.config.set_dtype_policy("float32")
    model.compile(
        optimizer=recipe.optimizer,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


class _Checkpoint(keras.callbacks.Callback):
    def __init__(self, run: Run, run_dir: Path) -> None:
        super().__init__()
        self.run = run
        self.run_dir = run_dir

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        seconds = time.perf_counter() - self.started
        self.run_dir.mkdir(parents=True, exist_ok=True)
        previous = self.run.checkpoint
        self.run.history.append(Epoch(**(logs or {}), seconds=seconds))
        self.model.save_weights(self.run_dir / self.run.checkpoint)
        unfinished = self.run_dir / "run.json.part"
        unfinished.write_text(self.run.model_dump_json(indent=2))
        unfinished.replace(self.run_dir / "run.json")
        (self.run_dir / previous).unlink(missing_ok=True)


def _library_versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    return versions


def _device(model: keras.Model) -> str:
    # The one spelling that the TensorFlow, JAX and torch backends share.
    return f"{model.weights[0].value.device} of {platform.machine()} with {os.cpu_count()} cores"
