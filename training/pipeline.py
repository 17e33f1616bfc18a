"""From data to bundled models: train → export → evaluate → quantize → record → publish."""

import datetime
import hashlib
import math
import shlex
from collections.abc import Sequence
from importlib.metadata import packages_distributions, version
from pathlib import Path

import click
import keras

from models.bundle import MODEL_FILE, read_record
from models.record import Int8, Provenance, Record
from training import TrainingError
from training.bundled import bundled_versions, of_images
from training.config import Config
from training.data import Dataset, cifar10
from training.export.publish import check_replaceable, newest_version, publish
from training.files import check_writable, locked
from training.measure.evaluate import measure, score_training
from training.measure.predict import predict
from training.measure.remeasure import read_served
from training.networks.architectures import ARCHITECTURES, describe
from training.report.findings import findings
from training.runs.checkpoints import Run, RunFolder
from training.runs.provenance import commit
from training.runs.strategy import ALONE, SingleProcess
from training.runs.train import load_trained_model, train

# The last one is onnxruntime-gpu, or the plain one.
EXPORT_LIBRARIES = ("tensorflow", "tf2onnx", "onnx", *packages_distributions()["onnxruntime"])
# What a record says of its run.
OF_RUN = {*("recipe", "seed", "epochs", "precision", "history", "libraries", "backend", "device")}


def train_models(
    configs: Sequence[Config],
    dataset: Dataset,
    *,
    fresh: bool = False,
    extend: bool = False,
    strategy: SingleProcess = ALONE,
) -> None:
    """Train the models one after the other; `extend` starts from their bundled versions."""
    if extend:
        for config in configs:
            extend_bundled(config, dataset, fresh=fresh)
    for config in configs:
        train_model(config, dataset, fresh=fresh and not extend, strategy=strategy)


def train_model(
    config: Config, dataset: Dataset, *, fresh: bool = False, strategy: SingleProcess = ALONE
) -> Run:
    """Train one model in its run folder, resuming after its last finished epoch unless `fresh`."""
    plan = config.plan(dataset)
    click.echo(
        f"{config.published}, {config.recipe_name} recipe, on {len(dataset.train):,} images: "
        f"training to {plan.epochs} epochs in {plan.folder}"
    )
    return train(plan, dataset, fresh=fresh, strategy=strategy, tensorboard=config.tensorboard)


def extend_bundled(config: Config, dataset: Dataset, *, fresh: bool = False) -> None:
    """Start the run with the bundled version's epochs, unless the run already extends it.

    `fresh` replaces any run in the run folder.

    Raises:
        ExtendError: there is no such version, `config` does not fit it, or the run folder holds a
            run that does not extend it.
    """
    # Imported here because it needs onnx, which training does not.
    from training.runs.extend import ExtendError, extend  # noqa: PLC0415

    plan = config.plan(dataset)
    run = None if fresh else plan.folder.read()
    if run is None:
        extend(config.folder, plan, dataset)
    elif not run.extensions:
        raise ExtendError(
            f"{config.run_dir} holds a run that does not extend {config.folder}; leave out "
            "--extend to resume it, or add --fresh to replace it"
        )


def check_training(config: Config, dataset: Dataset, *, force: bool = False) -> None:
    """Check before the first epoch that the result of a training run can be exported.

    Raises:
        TrainingError: the backend cannot export, a folder is not writable, or a version that was
            trained longer, or on other images, would be replaced without `force`.
    """
    _check_backend()
    check_writable(config.run_dir)
    check_replaceable(config.folder, config.plan(dataset).epochs, dataset.sha256, force=force)


def check_export(config: Config) -> Run:
    """Return the run to export, if there is one and this backend exports it."""
    _check_backend()
    run = RunFolder(config.run_dir).read()
    if run is None:
        raise TrainingError(
            f"{config.run_dir} holds no finished epoch; train {config.published} first: "
            f"python -m training train --model {config.model} --recipe {config.recipe_name}"
        )
    if run.model != config.model:
        raise TrainingError(f"{config.run_dir} holds a run of {run.model}; add --model {run.model}")
    if run.extensions and run.extensions[-1].after == len(run.history):
        raise TrainingError(
            f"{config.run_dir} has no finished epoch beyond those of {config.folder}; resume it"
        )
    return run


def export_model(
    config: Config, dataset: Dataset, *, force: bool = False, terms: str | None = None
) -> Record:
    """Bundle the last finished epoch: export, evaluate, quantize, record and publish it.

    `terms` names the images' licence.
    """
    run = check_export(config)
    plan = config.plan(dataset)
    plan.check_made_by(run, dataset)
    check_replaceable(config.folder, len(run.history), dataset.sha256, force=force)
    # Imported here because it needs TensorFlow, which training does not.
    from training.export.export import export, verify  # noqa: PLC0415

    model = load_trained_model(run, plan, dataset.task)
    onnx_bytes = export(model, config.published, dataset.classes)
    verify(predict(onnx_bytes, dataset.test.images), model, dataset.test.images)
    temperature = None
    if config.recipe_name != "article":  # its overconfidence is the symptom to show
        # Imported here because it needs onnx, which training does not.
        from training.export.calibrate import calibrate  # noqa: PLC0415

        onnx_bytes, temperature = calibrate(onnx_bytes, dataset.validation)
    int8_bytes, int8 = _quantize(onnx_bytes, dataset)
    record = _record(config, run, model, onnx_bytes, temperature, int8, dataset, terms)
    with locked(config.models_dir, wait=True):
        folder = publish(onnx_bytes, record, config.models_dir, int8_bytes)
    newest = newest_version(folder.parent)
    click.echo(
        f"{record.name}: {record.epochs_completed} of {record.epochs} epochs, test accuracy "
        f"{record.test_accuracy:.2%} ({int8.test_accuracy:.2%} in int8), written to {folder}; by "
        f"default the service answers with "
        f"{'it' if newest == record.version else f'version {newest}'}"
    )
    click.echo(findings(record))
    return record


def quantize_models(names: Sequence[str], dataset: Dataset, models_dir: Path) -> None:
    """Quantize each exported version of the named models, or of all, again."""
    for folder in of_images(bundled_versions(names, models_dir), dataset):
        # A training run that ends meanwhile must not lose the version that it exports.
        with locked(models_dir, wait=True):
            record = read_record(folder)
            onnx_bytes = read_served(folder / MODEL_FILE, len(record.classes), record.sha256)
            int8_bytes, int8 = _quantize(onnx_bytes, dataset)
            publish(onnx_bytes, record.model_copy(update={"int8": int8}), models_dir, int8_bytes)
        click.echo(
            f"{record.name} version {record.version} in int8: test accuracy "
            f"{int8.test_accuracy:.2%} ({record.test_accuracy:.2%} in float32)"
        )


def _check_backend() -> None:
    if keras.backend.backend() != "tensorflow":
        raise TrainingError(
            f"export needs the TensorFlow backend, not {keras.backend.backend()}; use `train`, "
            "then run: KERAS_BACKEND=tensorflow python -m training export"
        )


def _quantize(onnx_bytes: bytes, dataset: Dataset) -> tuple[bytes, Int8]:
    """Return the int8 file and its measurements."""
    # Imported here because it needs onnx, which training does not.
    from training.export.quantize import calibration_images, quantize  # noqa: PLC0415

    images = calibration_images(dataset.train.images)
    int8_bytes = quantize(onnx_bytes, images)
    return int8_bytes, Int8(
        sha256=hashlib.sha256(int8_bytes).hexdigest(),
        calibration_images=len(images),
        **dict(measure(int8_bytes, dataset)),
    )


def _record(
    config: Config,
    run: Run,
    model: keras.Model,
    onnx_bytes: bytes,
    temperature: float | None,
    int8: Int8,
    dataset: Dataset,
    terms: str | None,
) -> Record:
    """Return the record of the exported file, with its measurements."""
    architecture = ARCHITECTURES[config.model]
    training_score, validation_score = score_training(onnx_bytes, dataset)
    return Record(
        name=config.published,
        title=config.name or architecture.title,
        version=config.version,
        network=config.model,
        layers=describe(model),
        parameters=model.count_params(),
        non_trainable_parameters=sum(math.prod(v.shape) for v in model.non_trainable_weights),
        flips=config.recipe.flips_and_shifts and config.recipe.flips,
        evaluated_train=training_score,
        evaluated_validation=validation_score,
        **{name: getattr(run, name) for name in OF_RUN},
        **dict(measure(onnx_bytes, dataset)),
        temperature=temperature,
        article=architecture.article if dataset.sha256 == cifar10.SHA256 else None,
        classes=list(dataset.classes),
        sha256=hashlib.sha256(onnx_bytes).hexdigest(),
        dataset=dataset.record(terms),
        export_libraries={name: version(name) for name in EXPORT_LIBRARIES},
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        provenance=Provenance(
            command=_command(config, run, dataset),
            commit=commit(),
            parts=run.parts,
            extensions=run.extensions,
        ),
        int8=int8,
    )


def _command(config: Config, run: Run, dataset: Dataset) -> str:
    """Return the command that repeats the run, without the folders of this machine."""
    backend = "" if run.backend == "tensorflow" else f"KERAS_BACKEND={run.backend} "
    options = shlex.join(
        [
            *(*dataset.options, "--model", run.model, "--recipe", run.recipe),
            *(("--name", config.name) if config.name else ()),
            *(() if config.flips else ("--no-flips",)),
        ]
    )
    trainings = [
        f"{backend}python -m training train {options} --epochs {epochs} --seed {run.seed} "
        f"--precision {run.precision}{' --extend --fresh' if i else ''}"
        for i, epochs in enumerate([*(e.planned for e in run.extensions), run.epochs])
    ]
    return f" && python -m training export {options} && ".join(trainings)
