"""The command line: `python -m training --help`."""

import datetime
import hashlib
import shutil
from importlib.metadata import version
from pathlib import Path

import click
import keras

from models.record import CLASSES, RECORD_FILE, Record
from training import data, plots
from training.architectures import ARCHITECTURES, describe
from training.evaluate import evaluate
from training.publish import publish
from training.recipes import ARTICLE
from training.train import RunError, read_run, restore, train

STEPS = ("train", "export")
PRECISIONS = ("float32", "mixed_bfloat16")  # Keras' names; weights are float32 in both


@click.command(context_settings={"show_default": True})
@click.argument("steps", nargs=-1, type=click.Choice(STEPS))
@click.option(
    "--model",
    "names",
    multiple=True,
    type=click.Choice(list(ARCHITECTURES)),
    help="A model to train or export; repeat for several.  [default: all]",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    help="Epochs to train to.  [default: the article's: 20, final 30]",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Seed of weights and shuffles.")
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="float32",
    help="Arithmetic of training; bfloat16 is up to 3 times as fast where the processor has it.",
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Folder of the official CIFAR-10 batches.  [default: $CIFAR10_DIR, else a download]",
)
@click.option(
    "--models-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default="models",
    help="Where exported models and their records go.",
)
@click.option(
    "--runs-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default="runs",
    help="Where checkpoints go, and where a killed run is resumed from.",
)
@click.option("--fresh", is_flag=True, help="Start over instead of resuming.")
def main(
    steps: tuple[str, ...],
    names: tuple[str, ...],
    epochs: int | None,
    seed: int,
    precision: str,
    data_dir: Path | None,
    models_dir: Path,
    runs_dir: Path,
    fresh: bool,
) -> None:
    """Train the article's models on CIFAR-10 and export them as verified ONNX files.

    STEPS are `train` and `export`; by default both. A killed run goes on from its last finished
    epoch when it is started again. `export` takes what `train` left in the runs folder, finished or
    not; the record says how many epochs that is. It needs the TensorFlow backend; `train` runs on
    any (KERAS_BACKEND=jax, say).
    """
    steps = steps or STEPS
    names = names or tuple(ARCHITECTURES)
    try:
        cifar10 = data.load(data.find(data_dir))
        if "train" in steps:
            for name in names:
                train_model(
                    name,
                    cifar10,
                    runs_dir,
                    epochs=epochs,
                    seed=seed,
                    precision=precision,
                    fresh=fresh,
                )
            plots.first_images(cifar10.train, runs_dir / "first-ten-images.png")
        if "export" in steps:
            if keras.backend.backend() != "tensorflow":
                raise click.ClickException(
                    f"export needs TensorFlow, and the backend is {keras.backend.backend()}; "
                    "run: KERAS_BACKEND=tensorflow python -m training export"
                )
            for name in names:
                export_model(name, cifar10, runs_dir, models_dir)
            compare_models(models_dir)
    except (data.DataError, RunError) as error:
        raise click.ClickException(str(error)) from error


def train_model(
    name: str,
    cifar10: data.Cifar10,
    runs_dir: Path,
    *,
    epochs: int | None = None,
    seed: int = 0,
    precision: str = "float32",
    fresh: bool = False,
) -> None:
    """Train one model to `epochs`, by default the recipe's, in its run folder."""
    run_dir = _run_dir(runs_dir, name)
    if fresh:
        shutil.rmtree(run_dir, ignore_errors=True)
    epochs = epochs or ARTICLE.epochs[name]
    click.echo(f"{name}: training to {epochs} epochs in {run_dir}")
    train(
        ARCHITECTURES[name].build,
        ARTICLE,
        cifar10.train,
        epochs=epochs,
        seed=seed,
        precision=precision,
        run_dir=run_dir,
    )


def export_model(name: str, cifar10: data.Cifar10, runs_dir: Path, models_dir: Path) -> None:
    """Export one model's last finished epoch, evaluate the exported file and record both."""
    # Imported here because it needs TensorFlow, which `train` does without.
    from training.export import ExportError, export, verify  # noqa: PLC0415

    run_dir = _run_dir(runs_dir, name)
    run = read_run(run_dir)
    if run is None:
        raise RunError(f"{run_dir} holds no finished epoch; train {name} first")
    architecture = ARCHITECTURES[name]
    model = restore(architecture.build, ARTICLE, run_dir, run)
    onnx_bytes = export(model)
    try:
        verify(onnx_bytes, model, cifar10.test.images)
    except ExportError as error:
        raise click.ClickException(f"nothing written: {error}") from error
    evaluation = evaluate(onnx_bytes, cifar10.test)
    record = Record(
        name=name,
        title=architecture.title,
        version=ARTICLE.version,
        layers=describe(model),
        parameters=model.count_params(),
        non_trainable_parameters=sum(int(v.value.size) for v in model.non_trainable_weights),
        recipe=run.recipe,
        seed=run.seed,
        epochs=run.epochs,
        precision=run.precision,
        history=run.history,
        test_loss=evaluation.loss,
        confusion_matrix=evaluation.confusion_matrix.tolist(),
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


def compare_models(models_dir: Path) -> None:
    """Plot every exported model that the article describes side by side."""
    files = [models_dir / name / str(ARTICLE.version) / RECORD_FILE for name in ARCHITECTURES]
    records = [Record.model_validate_json(f.read_bytes()) for f in files if f.exists()]
    plots.comparison(records, models_dir / "comparison.png")


def _run_dir(runs_dir: Path, name: str) -> Path:
    return runs_dir / name / str(ARTICLE.version)


if __name__ == "__main__":
    main(prog_name="python -m training")
