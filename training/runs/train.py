"""Train one network with one recipe, resumable after a kill at any moment."""

import math
import platform
import sys
import zlib
from contextlib import nullcontext
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click
import keras
import numpy.typing as npt

from models.record import short_device
from training import SAME_COMMAND, StoppedError
from training.data import Dataset, Split, Task
from training.networks.architectures import build
from training.networks.optimizers import ConvolutionalMuon, LaterSchedule
from training.networks.recipes import Recipe
from training.runs.batches import Batches
from training.runs.callbacks import Checkpoint, Events
from training.runs.checkpoints import (
    Run,
    check_same,
    clear,
    load,
    locked,
    read_run,
    write_run,
)
from training.runs.noise import training_part
from training.runs.provenance import commit, machine
from training.runs.strategy import ALONE, SingleProcess

LIBRARIES = ("keras", "tensorflow", "jax", "torch", "numpy")


def train(
    name: str,
    recipe: Recipe,
    dataset: Dataset,
    *,
    epochs: int,
    seed: int,
    precision: str,
    run_dir: Path,
    fresh: bool = False,
    strategy: SingleProcess = ALONE,
    tensorboard: bool = False,
) -> Run:
    """Train a network to `epochs` epochs, resuming after the last finished one in `run_dir`.

    `fresh` starts over instead. Early stopping may end the run sooner. If there are several
    workers, each takes its shard of every batch; all read `run_dir`, and only the first writes it.
    `tensorboard` writes event files beside the checkpoints if TensorFlow is the backend.

    Raises:
        WorkerError: the workers found different epochs, or were asked for different runs.
        RunError: `run_dir` holds another, a longer or a damaged run, or another process is writing
            to it; or the loss is not finite.
        WriteError: `run_dir` is not writable; the earlier epochs are kept.
        StoppedError: Ctrl-C was pressed; the earlier epochs are kept.
    """
    with locked(run_dir) if strategy.is_first_worker else nullcontext():
        asked = f"{name} {recipe.hyperparameters} {precision} {dataset.sha256}"
        strategy.check_agreement(
            hash_of_model_recipe_and_images=zlib.crc32(asked.encode()) >> 1,  # 31 bits, for JAX
            fresh=fresh,
            epochs=epochs,
            seed=seed,
        )
        if fresh and strategy.is_first_worker:
            clear(run_dir)
        strategy.check_agreement(start=0)  # wait for the first worker
        run = read_run(run_dir)
        if run is not None:
            check_same(run, run_dir, recipe, dataset, epochs=epochs, seed=seed, precision=precision)
        done = len(run.history) if run else 0
        strategy.check_agreement(finished_epochs=done)
        # Each resumption has its own seed; otherwise it would repeat the first epochs' shuffles.
        keras.utils.set_random_seed(seed + done)
        steps = steps_per_epoch(recipe, dataset)
        model = compile_model(
            name,
            recipe,
            dataset.task,
            precision,
            steps=steps,
            epochs=epochs,
            trained=run.extensions[-1].after if run and run.extensions else 0,
        )
        if run is None:
            run = Run(
                model=name,
                recipe=recipe.name,
                hyperparameters=recipe.hyperparameters,
                seed=seed,
                epochs=epochs,
                precision=precision,
                dataset=dataset.sha256,
                backend=keras.backend.backend(),
                device=_device(strategy, model),
                libraries=_library_versions(),
                history=[],
            )
        else:
            _resume(run, model, epochs, run_dir, strategy)
        if not run.is_finished(recipe):
            run.begin_part(commit(), _device(strategy, model), _library_versions())
            _fit(run, model, recipe, dataset, run_dir, strategy, tensorboard)
    return run


def _resume(
    run: Run, model: keras.Model, epochs: int, run_dir: Path, strategy: SingleProcess
) -> None:
    model.optimizer.build(model.trainable_variables)
    load(model, len(run.history), run_dir)
    if run.epochs != epochs:
        run.epochs = epochs
        if strategy.is_first_worker:
            write_run(run, run_dir)


def _fit(
    run: Run,
    model: keras.Model,
    recipe: Recipe,
    dataset: Dataset,
    run_dir: Path,
    strategy: SingleProcess,
    tensorboard: bool,
) -> None:
    if run.history and strategy.is_first_worker:
        click.echo(f"{run_dir}: resuming after epoch {len(run.history)}")
    part = training_part(recipe, dataset, run.seed)
    training, validation = part.images, dataset.validation
    size, classes = recipe.batch_size, len(dataset.classes)
    callbacks: list[keras.callbacks.Callback] = [Checkpoint(run, recipe, part, run_dir, strategy)]
    # Beside another backend, TensorFlow would start too, and claim the GPU's memory.
    if tensorboard and keras.backend.backend() == "tensorflow":
        callbacks.append(Events(run_dir))
    try:
        model.fit(
            Batches(
                training.images,
                _targets(training, recipe, classes),
                size,
                strategy,
                shuffle=True,
                mixup=recipe.mixup,
                examples=part.examples,
            ),
            validation_data=Batches(
                validation.images,
                _targets(validation, recipe, classes),
                size,
                strategy,
                shuffle=False,
            ),
            shuffle=False,  # of the batches: each worker would draw its own order
            epochs=run.epochs,
            initial_epoch=len(run.history),
            callbacks=callbacks,
            verbose=0 if not strategy.is_first_worker else 1 if sys.stdout.isatty() else 2,
        )
    except KeyboardInterrupt as error:
        kept = read_run(run_dir)
        raise StoppedError(
            f"Stopped; {len(kept.history) if kept else 0} of {run.epochs} epochs are kept in "
            f"{run_dir}, and {SAME_COMMAND} resumes after them."
        ) from error


def load_trained_model(run: Run, recipe: Recipe, task: Task, run_dir: Path) -> keras.Model:
    """Return the model that a run produced, in float32.

    A checkpoint holds only float32 arrays, so each backend can load the runs of the others.
    """
    model = build(run.model, recipe, task)
    if recipe.weight_averaging:  # the optimizer holds the average
        model.compile(_optimizer(recipe, steps=1, epochs=run.epochs, trained=0))
        model.optimizer.build(model.trainable_variables)
    load(model, run.chosen_epoch(recipe), run_dir)
    if recipe.weight_averaging:
        model.optimizer.finalize_variable_values(model.trainable_variables)
    return model


def steps_per_epoch(recipe: Recipe, dataset: Dataset) -> int:
    """Return the number of training batches in an epoch."""
    return math.ceil(len(dataset.train) / recipe.batch_size)


def compile_model(
    name: str,
    recipe: Recipe,
    task: Task,
    precision: str,
    *,
    steps: int,
    epochs: int,
    trained: int = 0,
) -> keras.Model:
    """Return a compiled network, for `steps` batches per epoch.

    An earlier optimizer already trained the first `trained` of the `epochs`.
    """
    keras.config.set_dtype_policy(precision)
    try:
        model = build(name, recipe, task)
    finally:
        keras.config.set_dtype_policy("float32")
    if recipe.has_soft_targets:
        loss = keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=recipe.label_smoothing
        )
    else:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        optimizer=_optimizer(recipe, steps, epochs, trained), loss=loss, metrics=["accuracy"]
    )
    return model


def _targets(split: Split, recipe: Recipe, classes: int) -> npt.NDArray[Any]:
    if recipe.has_soft_targets:
        one_hot: npt.NDArray[Any] = keras.utils.to_categorical(split.labels, classes)
        return one_hot
    return split.labels


def _optimizer(recipe: Recipe, steps: int, epochs: int, trained: int) -> keras.optimizers.Optimizer:
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = recipe.learning_rate
    if recipe.cosine:
        warmup_epochs = min(recipe.warmup_epochs, epochs - 1)
        learning_rate = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0,
            warmup_target=recipe.learning_rate,
            warmup_steps=warmup_epochs * steps,
            decay_steps=(epochs - warmup_epochs) * steps,
        )
        if trained:
            learning_rate = LaterSchedule(learning_rate, trained * steps)
    match recipe.optimizer:
        case "muon":
            optimizer = ConvolutionalMuon(learning_rate, recipe.weight_decay)
        case "adam":
            optimizer = keras.optimizers.Adam(learning_rate)
    if recipe.weight_averaging:
        optimizer.use_ema, optimizer.ema_momentum = True, recipe.weight_averaging
    return optimizer


def _library_versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    return versions


def _device(strategy: SingleProcess, model: keras.Model) -> str:
    return short_device(f"{strategy.device(model)} of {machine()}")
