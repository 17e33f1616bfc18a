"""The command line: `python -m training --help`."""

import csv
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import astuple, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

import models.surroundings  # noqa: F401  # before the libraries that the others import
from training.command_line import (
    IMAGES,
    LoadData,
    TrainingGroup,
    check_name,
    config_options,
    data_options,
    options,
)
from training.report.results import COMPARISONS

if TYPE_CHECKING:
    from training.config import Config

# Keras and its backend take seconds to import, so each command imports them when it runs.


@click.group(
    cls=TrainingGroup,
    default="all",
    default_if_no_args=True,
    context_settings={"show_default": True},
)
def main() -> None:
    """Train the article's models on CIFAR-10, or on images of your own, and export them as ONNX.

    The default command is `all`. A killed run resumes after its last finished epoch when you start
    it again.

    Version 1 of a model uses the article's recipe, which overfits, version 2 the improved one. By
    default the service answers with the newest version. For a third one, add a recipe to RECIPES
    and its number to VERSIONS in training/networks/recipes.py, and train with --recipe.
    """


@main.command()
@data_options
@config_options("epochs", "seed", "precision", "tensorboard")
@options("fresh", "extend", "terms", "force")
def all_command(
    load_data: LoadData,
    configs: Sequence["Config"],
    fresh: bool,
    extend: bool,
    terms: str | None,
    force: bool,
) -> None:
    """Train, export, evaluate, quantize and record."""
    runs_dir, models_dir = configs[0].runs_dir, configs[0].models_dir
    dataset = load_data(cache=runs_dir / IMAGES)  # an error before Keras is imported
    from training import pipeline
    from training.report import plots, report

    for config in configs:
        pipeline.check_training(config, dataset, force=force)
    pipeline.train_models(configs, dataset, fresh=fresh, extend=extend)
    plots.first_images(dataset, runs_dir / "first-ten-images.png")
    for config in configs:
        pipeline.export_model(config, dataset, force=force, terms=terms)
    report.write_report(models_dir, skip_broken=True)


@main.command()
@data_options
@config_options("epochs", "seed", "precision", "tensorboard")
@options("fresh", "extend")
@click.option(
    "--distribute",
    is_flag=True,
    help="Run as one of several workers, configured by KERAS_DISTRIBUTION_*, with a shared runs "
    "folder.",
)
def train_command(
    load_data: LoadData, configs: Sequence["Config"], fresh: bool, extend: bool, distribute: bool
) -> None:
    """Train without exporting, on any Keras backend (for example KERAS_BACKEND=jax)."""
    from training import pipeline
    from training.runs.distribute import distributed
    from training.runs.strategy import ALONE

    if extend and distribute:
        raise click.UsageError("--extend does not work with --distribute; leave one of them out")
    with distributed() if distribute else nullcontext(ALONE) as strategy:
        dataset = load_data(cache=configs[0].runs_dir / IMAGES)
        pipeline.train_models(configs, dataset, fresh=fresh, extend=extend, strategy=strategy)


@main.command()
@data_options
@config_options()
@options("terms", "force")
def export_command(
    load_data: LoadData, configs: Sequence["Config"], terms: str | None, force: bool
) -> None:
    """Export, evaluate, quantize and record a run of `train`, finished or not.

    It needs the TensorFlow backend, even if another one trained the run. The record says how many
    epochs the model was trained for.
    """
    from training import pipeline
    from training.report import report

    for config in configs:
        pipeline.check_export(config)
    dataset = load_data(cache=configs[0].runs_dir / IMAGES)
    for config in configs:
        pipeline.export_model(config, dataset, force=force, terms=terms)
    report.write_report(configs[0].models_dir, skip_broken=True)


@main.command()
@data_options
@options("names", "models_dir")
def quantize_command(names: Sequence[str], load_data: LoadData, models_dir: Path) -> None:
    """Quantize every exported version again, as `export` does."""
    from training.bundled import bundled_versions
    from training.report import report

    bundled_versions(names, models_dir)  # an error before Keras is imported if there is none
    from training import pipeline

    pipeline.quantize_models(names, load_data(), models_dir)
    report.write_report(models_dir, skip_broken=True)


@main.command()
@data_options
@options("names", "models_dir")
def evaluate_command(names: Sequence[str], load_data: LoadData, models_dir: Path) -> None:
    """Measure exported versions again, and rewrite their records.

    Needs only the exported files, no run folder and no TensorFlow.
    """
    from training.bundled import bundled_versions, of_images
    from training.measure.remeasure import remeasure
    from training.report import report
    from training.runs.checkpoints import locked

    folders = bundled_versions(names, models_dir)
    dataset = load_data()
    for folder in of_images(folders, dataset):
        with locked(models_dir, wait=True):
            remeasure(folder, dataset)
    report.write_report(models_dir, skip_broken=True)


@main.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--name",
    required=True,
    callback=check_name,
    help="Name of the model, for its folder and in requests.",
)
@options("version", "title")
@data_options
@options("models_dir")
@click.option("--force", is_flag=True, help="Replace an existing version.")
def record_command(
    file: Path,
    name: str,
    version: int,
    title: str | None,
    load_data: LoadData,
    models_dir: Path,
    force: bool,
) -> None:
    """Measure any ONNX file, and copy it into the models folder with a record.

    FILE takes `image`, uint8 [batch, 32, 32, 3], RGB, and returns `probabilities`, float32
    [batch, number of classes], for the images' classes in their order. The record holds what is
    measured here, without a training history. Needs no TensorFlow.
    """
    from training.export.record import check_new, record_file
    from training.report import report

    check_new(models_dir / name / str(version), force=force)
    record_file(
        *(file, load_data()),
        name=name,
        version=version,
        title=title or name,
        models_dir=models_dir,
    )
    report.write_report(models_dir, skip_broken=True)


@main.command()
@data_options
@options("models_dir", "provider", "served_precision")
def verify_command(
    load_data: LoadData,
    models_dir: Path,
    provider: Literal["auto", "cpu", "cuda"],
    precision: Literal["float32", "int8"],
) -> None:
    """Measure every bundled version's test accuracy here, and compare it with the record.

    Exits with status 1 if one differs by more than 0.1 points. Needs no TensorFlow.
    """
    from serving.settings import Settings
    from training.export.verify import DifferenceError, verify

    settings = Settings(models_dir=models_dir, provider=provider, precision=precision)
    different = []
    for result in verify(settings, load_data()):
        click.echo(result)
        if result.differs:
            different.append(f"{result.name} version {result.version}")
    if different:
        raise DifferenceError(f"the accuracy differs from the record: {', '.join(different)}")


@main.command()
@click.option("--model", "name", default="first", help="Model whose versions to compare.")
@click.option("--top", type=click.IntRange(min=1), default=100, help="Images to list at most.")
@click.option(
    "--images",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write the listed images to, as <index>.png.",
)
@data_options
@options("models_dir")
def memorized_command(
    name: str, top: int, folder: Path | None, load_data: LoadData, models_dir: Path
) -> None:
    """List training images that version 1 has memorized, as CSV.

    These are images whose given label version 1 answers, and version 2 does not; those with the
    highest confidence of version 1 come first. An index counts the images to train on from 0. Needs
    only the exported files, no run folder and no TensorFlow.
    """
    from training.measure.memorized import Memorized, memorized, write_images

    dataset = load_data()
    found = memorized(models_dir / name, dataset)[:top]
    if folder is not None:
        write_images(found, dataset, folder)
    rows = csv.writer(sys.stdout, lineterminator="\n")
    rows.writerow(field.name for field in fields(Memorized))
    rows.writerows(map(astuple, found))


@main.command()
@data_options
@options("models_dir")
def familiarity_command(load_data: LoadData, models_dir: Path) -> None:
    """Measure how well scores detect images outside CIFAR-10's classes.

    It uses the bundled improved models, and writes familiarity.json and FAMILIARITY.md. It needs no
    TensorFlow.
    """
    from training.measure.familiarity import measure_familiarity
    from training.measure.unfamiliar import unfamiliar_images
    from training.report import report

    measure_familiarity(models_dir, load_data(), unfamiliar_images())
    report.write_report(models_dir)


@main.command()
@options("models_dir")
@click.option("--check", is_flag=True, help="Write nothing; fail if a file would change.")
def report_command(models_dir: Path, check: bool) -> None:
    """Write every table, card and plot from the records and the studies.

    With the default models folder, also the tables in README.md and docs/overfitting.md.
    """
    from training.report.report import check_report, write_report

    checkout = Path() if models_dir == Path("models") else None
    (check_report if check else write_report)(models_dir, checkout)


@main.command()
@options("model", "techniques", "seeds", "vary")
@data_options
@options("epochs", "precision", "models_dir", "runs_dir", "tensorboard")
def study_command(
    model: str,
    techniques: Sequence[str],
    seeds: int,
    vary: str,
    epochs: int | None,
    precision: str,
    load_data: LoadData,
    models_dir: Path,
    runs_dir: Path,
    tensorboard: bool,
) -> None:
    """Measure a recipe's variants against each other.

    `article` adds each regularization technique to the article's recipe, alone and all combined,
    and removes layers from `final` (study.json). `improved` changes the improved recipe's
    ingredients, one at a time (ablations.json). The others vary the article's recipe: random
    labels, less training data, the width of the network.

    After every run, the results, their page and their plot are written to the models folder.
    Finished runs are skipped, and so are those that another process is training: start the command
    several times to share the work.
    """
    from models.study import BASELINE, Setting
    from training.runs.study import study

    comparison = COMPARISONS[vary]
    variants = list(comparison.variants[model])
    if unknown := set(techniques) - set(variants):
        raise click.UsageError(
            f"{vary} of {model} has no variant {min(unknown)}; choose from {', '.join(variants)}"
        )
    dataset = load_data(cache=runs_dir / IMAGES)
    baseline = comparison.variants[model][BASELINE]
    study(
        Setting(
            model=model,
            epochs=epochs or baseline.epochs_for(len(dataset.train)),
            precision=precision,
            dataset=dataset.name,
        ),
        comparison,
        techniques or variants,
        range(seeds),
        dataset,
        runs_dir=runs_dir,
        models_dir=models_dir,
        tensorboard=tensorboard,
    )


if __name__ == "__main__":
    main(prog_name="python -m training")
