"""Train one network with one recipe, resumable after a kill at any moment."""

import math
import platform
import sys
import zlib
from contextlib import nullcontext
from importlib.metadata import PackageNotFoundError, version
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
from training.runs.checkpoints import Plan, Run
from training.runs.noise import training_part
from training.runs.provenance import commit, machine
from training.runs.strategy import ALONE, SingleProcess

LIBRARIES = ("keras", "tensorflow", "jax", "torch", "numpy")


def train(
    plan: Plan,
    dataset: Dataset,
    *,
    fresh: bool = False,
    strategy: SingleProcess = ALONE,
    tensorboard: bool = False,
) -> Run:
    """Train a network as planned, resuming after the last finished epoch in the plan's folder.

    `fresh` starts over instead. Early stopping may end the run sooner. If there are several
    workers, each takes its shard of every batch; all read the folder, and only the first writes it.
    `tensorboard` writes event files beside the checkpoints if TensorFlow is the backend.

    Raises:
        WorkerError: the workers found different epochs, or were asked for different runs.
        RunError: the folder holds another or a longer run, or the loss is not finite.
        BundleError: the run in the folder is damaged.
        InUseError: another process is writing to the folder.
        WriteError: the folder is not writable; the earlier epochs are kept.
        StoppedError: Ctrl-C was pressed; the earlier epochs are kept.
    """
    recipe, folder = plan.recipe, plan.folder
    with folder.lock() if strategy.is_first_worker else nullcontext():
        asked = f"{plan.model} {recipe.hyperparameters} {plan.precision} {dataset.sha256}"
        strategy.check_agreement(
            hash_of_model_recipe_and_images=zlib.crc32(asked.encode()) >> 1,  # 31 bits, for JAX
            fresh=fresh,
            epochs=plan.epochs,
            seed=plan.seed,
        )
        if fresh and strategy.is_first_worker:
            folder.clear()
        strategy.check_agreement(start=0)  # wait for the first worker
        run = folder.read()
        if run is not None:
            plan.check_same(run, dataset)
        done = len(run.history) if run else 0
        strategy.check_agreement(finished_epochs=done)
        # Each resumption has its own seed; otherwise it would repeat the first epochs' shuffles.
        keras.utils.set_random_seed(plan.seed + done)
        trained = run.extensions[-1].after if run and run.extensions else 0
        model = compile_model(plan, dataset, trained)
        device = short_device(f"{strategy.device(model)} of {machine()}")
        libraries = _library_versions()
        if run is None:
            backend = keras.backend.backend()
            run = plan.begin(dataset, backend=backend, device=device, libraries=libraries)
        else:
            model.optimizer.build(model.trainable_variables)
            folder.load(model, done)
            if run.epochs != plan.epochs:
                run.epochs = plan.epochs
                if strategy.is_first_worker:
                    folder.write(run)
        if not run.is_finished:
            run.begin_part(commit(), device, libraries)
            _fit(run, model, plan, dataset, strategy, tensorboard)
    return run


def _fit(
    run: Run,
    model: keras.Model,
    plan: Plan,
    dataset: Dataset,
    strategy: SingleProcess,
    tensorboard: bool,
) -> None:
    recipe, folder = plan.recipe, plan.folder
    if run.history and strategy.is_first_worker:
        click.echo(f"{folder}: resuming after epoch {len(run.history)}")
    part = training_part(recipe, dataset, run.seed)
    callbacks: list[keras.callbacks.Callback] = [Checkpoint(run, folder, part, strategy)]
    # Beside another backend, TensorFlow would start too, and claim the GPU's memory.
    if tensorboard and keras.backend.backend() == "tensorflow":
        callbacks.append(Events(folder))

    def batches(split: Split, **options: Any) -> Batches:
        targets: npt.NDArray[Any] = split.labels
        if recipe.has_soft_targets:
            targets = keras.utils.to_categorical(split.labels, len(dataset.classes))
        return Batches(split.images, targets, recipe.batch_size, strategy, **options)

    try:
        model.fit(
            batches(part.images, shuffle=True, mixup=recipe.mixup, examples=part.examples),
            validation_data=batches(dataset.validation, shuffle=False),
            shuffle=False,  # of the batches: each worker would draw its own order
            epochs=run.epochs,
            initial_epoch=len(run.history),
            callbacks=callbacks,
            verbose=0 if not strategy.is_first_worker else 1 if sys.stdout.isatty() else 2,
        )
    except KeyboardInterrupt as error:
        kept = folder.read()
        raise StoppedError(
            f"Stopped; {len(kept.history) if kept else 0} of {run.epochs} epochs are kept in "
            f"{folder}, and {SAME_COMMAND} resumes after them."
        ) from error


def load_trained_model(run: Run, plan: Plan, task: Task) -> keras.Model:
    """Return the model that a run produced, in float32.

    A checkpoint holds only float32 arrays, so each backend can load the runs of the others.
    """
    model = build(plan.model, plan.recipe, task)
    if plan.recipe.weight_averaging:  # the optimizer holds the average
        model.compile(_optimizer(plan, steps=1, trained=0))
        model.optimizer.build(model.trainable_variables)
    plan.folder.load(model, run.chosen_epoch)
    if plan.recipe.weight_averaging:
        model.optimizer.finalize_variable_values(model.trainable_variables)
    return model


def steps_per_epoch(recipe: Recipe, dataset: Dataset) -> int:
    """Return the number of training batches in an epoch."""
    return math.ceil(len(dataset.train) / recipe.batch_size)


def compile_model(plan: Plan, dataset: Dataset, trained: int = 0) -> keras.Model:
    """Return a compiled network; another optimizer trained the first `trained` of the epochs."""
    recipe = plan.recipe
    keras.config.set_dtype_policy(plan.precision)
    try:
        model = build(plan.model, recipe, dataset.task)
    finally:
        keras.config.set_dtype_policy("float32")
    if recipe.has_soft_targets:
        loss = keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=recipe.label_smoothing
        )
    else:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = _optimizer(plan, steps_per_epoch(recipe, dataset), trained)
    model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"])
    return model


def _optimizer(plan: Plan, steps: int, trained: int) -> keras.optimizers.Optimizer:
    recipe, epochs = plan.recipe, plan.epochs
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
