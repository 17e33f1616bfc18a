"""The command line: `python -m training --help`."""

import datetime
import hashlib
import math
import shutil
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import keras

from models.record import CLASSES, MODEL_FILE, RECORD_FILE, Int8, Record
from training import TrainingError, data, plots
from training.architectures import ARCHITECTURES, describe
from training.distribute import check_agreement, distributed, is_first_worker
from training.evaluate import confusion_matrix, on_noise, predict, score
from training.model_card import model_card
from training.publish import publish
from training.recipes import ARTICLE, COUNTERMEASURES, RECIPES, VERSIONS
from training.study import Setting, study
from training.train import read_run, train, trained

PRECISIONS = ("float32", "mixed_bfloat16")  # Keras' names; weights are float32 in both

OPTIONS = {
    "names": click.option(
        "--model",
        "names",
        multiple=True,
        type=click.Choice(list(ARCHITECTURES)),
        default=list(ARCHITECTURES),
        help="A model to take; repeat for several.",
    ),
    "recipe": click.option(
        "--recipe",
        type=click.Choice(list(RECIPES)),
        default="article",
        help="The article's, which overfits, or ours, which does not.",
    ),
    "epochs": click.option(
        "--epochs", type=click.IntRange(min=1), help="Epochs to train to.  [default: the recipe's]"
    ),
    "seed": click.option(
        "--seed", type=click.IntRange(min=0), default=0, help="Seed of weights and shuffles."
    ),
    "precision": click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        default="float32",
        help="Arithmetic of training; bfloat16 is faster on a processor that has it.",
    ),
    "data_dir": click.option(
        "--data-dir",
        type=click.Path(path_type=Path),
        help="Folder of the official CIFAR-10 batches.  [default: $CIFAR10_DIR, else a download]",
    ),
    "models_dir": click.option(
        "--models-dir",
        type=click.Path(path_type=Path, file_okay=False),
        default="models",
        help="Where exported models, records and the study go.",
    ),
    "runs_dir": click.option(
        "--runs-dir",
        type=click.Path(path_type=Path, file_okay=False),
        default="runs",
        help="Where checkpoints go, and where a killed run is resumed from.",
    ),
    "fresh": click.option("--fresh", is_flag=True, help="Start over instead of resuming."),
}


def options(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the named options."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for name in reversed(names):
            command = OPTIONS[name](command)
        return command

    return decorate


class DefaultGroup(click.Group):
    """Takes `all` where no command is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `all` before options, except --help, and where there is nothing."""
        if not args or (args[0].startswith("-") and args[0] != "--help"):
            args = ["all", *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """End with one line where the person who gave the command can do something about it."""
        try:
            return super().invoke(ctx)
        except TrainingError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=DefaultGroup, context_settings={"show_default": True})
def main() -> None:
    """Train the article's models on CIFAR-10 and export them as verified ONNX files.

    Without a command: `all`. A killed run goes on from its last finished epoch when it is started
    again.
    """


@main.command("all")
@options(*OPTIONS)
def all_command(
    names: Sequence[str],
    recipe: str,
    data_dir: Path | None,
    models_dir: Path,
    runs_dir: Path,
    **how: Any,
) -> None:
    """Train, evaluate, export, quantise and record."""
    cifar10 = data.load(data.find(data_dir))
    train_models(names, cifar10, runs_dir, recipe=recipe, **how)
    export_models(names, cifar10, runs_dir, models_dir, recipe)


@main.command("train")
@options("names", "recipe", "epochs", "seed", "precision", "data_dir", "runs_dir", "fresh")
@click.option(
    "--distribute",
    is_flag=True,
    help="Be one of several workers, which KERAS_DISTRIBUTION_* name; all share the runs folder.",
)
def train_command(
    names: Sequence[str],
    recipe: str,
    data_dir: Path | None,
    runs_dir: Path,
    distribute: bool,
    **how: Any,
) -> None:
    """Train alone, under any Keras backend (KERAS_BACKEND=jax, say)."""
    with distributed() if distribute else nullcontext():
        cifar10 = data.load(data.find(data_dir))
        train_models(names, cifar10, runs_dir, recipe=recipe, **how)


@main.command("export")
@options("names", "recipe", "data_dir", "models_dir", "runs_dir")
def export_command(
    names: Sequence[str], recipe: str, data_dir: Path | None, models_dir: Path, runs_dir: Path
) -> None:
    """Evaluate, export, quantise and record what `train` has come to, finished or not.

    It needs the TensorFlow backend, whichever one has trained. The record says how many epochs the
    model has been trained for.
    """
    cifar10 = data.load(data.find(data_dir))
    export_models(names, cifar10, runs_dir, models_dir, recipe)


@main.command("quantise")
@options("names", "data_dir", "models_dir")
def quantise_command(names: Sequence[str], data_dir: Path | None, models_dir: Path) -> None:
    """Give every exported version its int8 file anew, as `export` does."""
    cifar10 = data.load(data.find(data_dir))
    for name in names:
        for file in sorted(models_dir.glob(f"{name}/*/{RECORD_FILE}")):
            quantise_model(file.parent, cifar10)
    describe_models(models_dir)


@main.command("study")
@click.option(
    "--model",
    "name",
    type=click.Choice(list(ARCHITECTURES)),
    default="first",
    help="The model that overfits.",
)
@click.option(
    "--countermeasure",
    "countermeasures",
    multiple=True,
    type=click.Choice(list(COUNTERMEASURES)),
    default=list(COUNTERMEASURES),
    help="A variant to train; repeat for several.",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    help="How many seeds to train each variant with: 0, 1, 2 and so on.",
)
@options("epochs", "precision", "data_dir", "models_dir", "runs_dir")
def study_command(
    name: str,
    countermeasures: Sequence[str],
    seeds: int,
    epochs: int | None,
    precision: str,
    data_dir: Path | None,
    models_dir: Path,
    runs_dir: Path,
) -> None:
    """Measure each countermeasure to overfitting, alone and together.

    Writes study.json, study.png and STUDY.md into the models folder after every run, and takes what
    study.json holds already as done.
    """
    study(
        Setting(model=name, epochs=epochs or ARTICLE[name].epochs, precision=precision),
        [COUNTERMEASURES[countermeasure] for countermeasure in countermeasures],
        range(seeds),
        data.load(data.find(data_dir)),
        runs_dir=runs_dir,
        models_dir=models_dir,
    )


def train_models(names: Sequence[str], cifar10: data.Cifar10, runs_dir: Path, **how: Any) -> None:
    """Train each model as `train_model` does, and show the first training images."""
    for name in names:
        train_model(name, cifar10, runs_dir, **how)
    if is_first_worker():
        plots.first_images(cifar10.train, runs_dir / "first-ten-images.png")


def export_models(
    names: Sequence[str], cifar10: data.Cifar10, runs_dir: Path, models_dir: Path, recipe: str
) -> None:
    """Export each model, then describe all that there are."""
    for name in names:
        quantise_model(export_model(name, cifar10, runs_dir, models_dir, recipe=recipe), cifar10)
    describe_models(models_dir)


def train_model(
    name: str,
    cifar10: data.Cifar10,
    runs_dir: Path,
    *,
    recipe: str = "article",
    epochs: int | None = None,
    seed: int = 0,
    precision: str = "float32",
    fresh: bool = False,
) -> None:
    """Train one model to `epochs`, by default the recipe's, in its run folder."""
    run_dir = _run_dir(runs_dir, name, recipe)
    chosen = RECIPES[recipe][name]
    if fresh:
        if is_first_worker():
            shutil.rmtree(run_dir, ignore_errors=True)
        check_agreement(fresh=fresh)
    epochs = epochs or chosen.epochs
    click.echo(f"{name}, {recipe} recipe: training to {epochs} epochs in {run_dir}")
    train(
        name, chosen, cifar10.train, epochs=epochs, seed=seed, precision=precision, run_dir=run_dir
    )


def export_model(
    name: str,
    cifar10: data.Cifar10,
    runs_dir: Path,
    models_dir: Path,
    *,
    recipe: str = "article",
) -> Path:
    """Export one model's last finished epoch, evaluate the exported file and record both.

    Returns the version's folder.
    """
    if keras.backend.backend() != "tensorflow":
        raise TrainingError(
            f"export needs TensorFlow, and the backend is {keras.backend.backend()}; "
            "run: KERAS_BACKEND=tensorflow python -m training export"
        )
    # Imported here because it needs TensorFlow, which `train` does without.
    from training.export import export, verify  # noqa: PLC0415

    run_dir = _run_dir(runs_dir, name, recipe)
    run = read_run(run_dir)
    if run is None:
        raise TrainingError(f"{run_dir} holds no finished epoch; train {name} first")
    architecture = ARCHITECTURES[name]
    chosen = RECIPES[recipe][name]
    model = trained(run, chosen, run_dir)
    onnx_bytes = export(model)
    test = predict(onnx_bytes, cifar10.test.images)
    verify(test, model, cifar10.test.images)
    training, validation = cifar10.train.split_at(1 - chosen.validation_split)
    record = Record(
        name=name,
        title=architecture.title,
        version=VERSIONS[recipe],
        layers=describe(model),
        parameters=model.count_params(),
        non_trainable_parameters=sum(math.prod(v.shape) for v in model.non_trainable_weights),
        recipe=run.recipe,
        seed=run.seed,
        epochs=run.epochs,
        precision=run.precision,
        history=run.history,
        evaluated_train=score(predict(onnx_bytes, training.images), training.labels),
        evaluated_validation=score(predict(onnx_bytes, validation.images), validation.labels),
        test_loss=score(test, cifar10.test.labels).loss,
        noise=on_noise(onnx_bytes),
        confusion_matrix=confusion_matrix(test, cifar10.test.labels),
        article=architecture.article,
        classes=list(CLASSES),
        sha256=hashlib.sha256(onnx_bytes).hexdigest(),
        dataset_md5=data.MD5,
        libraries=run.libraries,
        export_libraries={
            library: version(library)
            for library in ("tensorflow", "tf2onnx", "onnx", "onnxruntime-gpu")
        },
        backend=run.backend,
        device=run.device,
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
    folder = publish(onnx_bytes, record, models_dir)
    click.echo(
        f"{name}: {record.epochs_completed} of {record.epochs} epochs, "
        f"test accuracy {record.test_accuracy:.2%}, in {folder}"
    )
    return folder


def quantise_model(folder: Path, cifar10: data.Cifar10) -> None:
    """Give an exported version its file of int8 arithmetic, and record how it does."""
    # Imported here because it needs onnx, which `train` does without.
    from training.quantise import CALIBRATION_IMAGES, quantise  # noqa: PLC0415

    onnx_bytes = (folder / MODEL_FILE).read_bytes()
    record = Record.model_validate_json((folder / RECORD_FILE).read_bytes())
    int8_bytes = quantise(onnx_bytes, cifar10.train.images[:CALIBRATION_IMAGES])
    test = predict(int8_bytes, cifar10.test.images)
    int8 = Int8(
        sha256=hashlib.sha256(int8_bytes).hexdigest(),
        calibration_images=min(CALIBRATION_IMAGES, len(cifar10.train.images)),
        test_loss=score(test, cifar10.test.labels).loss,
        confusion_matrix=confusion_matrix(test, cifar10.test.labels),
    )
    publish(onnx_bytes, record.model_copy(update={"int8": int8}), folder.parents[1], int8_bytes)
    click.echo(
        f"{record.name} version {record.version} in int8: test accuracy {int8.test_accuracy:.2%} "
        f"({record.test_accuracy:.2%} in float32)"
    )


def describe_models(models_dir: Path) -> None:
    """Write each exported model's card, and a plot of them all beside the article's."""
    compared = []
    for name in ARCHITECTURES:
        files = [models_dir / name / str(version) / RECORD_FILE for version in VERSIONS.values()]
        records = [Record.model_validate_json(f.read_bytes()) for f in files if f.exists()]
        if records:
            (models_dir / name / "README.md").write_text(model_card(records[::-1]))
        compared += records
    plots.comparison(compared, models_dir / "comparison.png")


def _run_dir(runs_dir: Path, name: str, recipe: str) -> Path:
    return runs_dir / name / str(VERSIONS[recipe])


if __name__ == "__main__":
    main(prog_name="python -m training")
