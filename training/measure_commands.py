"""The commands that measure: networks, exported files, and the models of the models folder."""

import csv
import sys
from collections.abc import Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Literal

import click

import models.surroundings  # noqa: F401  # before the libraries that the others import
from models.bundle import version_folder
from training.command_line import Source, check_name, data_options, options
from training.report.results import COMPARISONS

# Keras and its backend take seconds to import, so each command imports them when it runs.


@click.command()
@data_options
@options("names", "models_dir")
def evaluate_command(names: Sequence[str], source: Source, models_dir: Path) -> None:
    """Measure exported versions again, and rewrite their records.

    Needs only the exported files, no run folder and no TensorFlow.
    """
    from training.bundled import bundled_versions, of_images
    from training.files import locked
    from training.measure.remeasure import remeasure
    from training.report import report

    folders = bundled_versions(names, models_dir)
    dataset = source.load()
    for folder in of_images(folders, dataset):
        with locked(models_dir, wait=True):
            remeasure(folder, dataset)
    report.write_report(models_dir, skip_broken=True)


@click.command()
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
    source: Source,
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

    check_new(version_folder(models_dir, name, version), force=force)
    dataset = source.load()
    record_file(file, dataset, name, version, title=title or name, models_dir=models_dir)
    report.write_report(models_dir, skip_broken=True)


@click.command()
@data_options
@options("models_dir", "provider", "served_precision")
def verify_command(
    source: Source,
    models_dir: Path,
    provider: Literal["auto", "cpu", "cuda"],
    precision: Literal["auto", "float32", "int8"],
) -> None:
    """Measure every bundled version's test accuracy here, and compare it with the record.

    Exits with status 1 if one differs by more than 0.1 points. Needs no TensorFlow.
    """
    from serving.settings import Settings
    from training.export.verify import DifferenceError, verify

    settings = Settings(models_dir=models_dir, provider=provider, precision=precision)
    different = []
    for result in verify(settings, source.load()):
        click.echo(result)
        if result.differs:
            different.append(f"{result.name} version {result.version}")
    if different:
        raise DifferenceError(f"the accuracy differs from the record: {', '.join(different)}")


@click.command()
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
    name: str, top: int, folder: Path | None, source: Source, models_dir: Path
) -> None:
    """List training images that version 1 has memorized, as CSV.

    These are images whose given label version 1 answers, and version 2 does not; those with the
    highest confidence of version 1 come first. An index counts the images to train on from 0. Needs
    only the exported files, no run folder and no TensorFlow.
    """
    from training.measure.memorized import Memorized, memorized, write_images

    dataset = source.load()
    found = memorized(models_dir / name, dataset)[:top]
    if folder is not None:
        write_images(found, dataset, folder)
    rows = csv.writer(sys.stdout, lineterminator="\n")
    rows.writerow(field.name for field in fields(Memorized))
    rows.writerows(map(astuple, found))


@click.command()
@data_options
@options("models_dir")
def familiarity_command(source: Source, models_dir: Path) -> None:
    """Measure how well scores detect images outside CIFAR-10's classes.

    It uses the bundled improved models, and writes familiarity.json and FAMILIARITY.md. It needs no
    TensorFlow.
    """
    from training.measure.familiarity import measure_familiarity
    from training.measure.unfamiliar import unfamiliar_images
    from training.report import report

    measure_familiarity(models_dir, source.load(), unfamiliar_images())
    report.write_report(models_dir)


@click.command()
@options("model", "techniques", "seeds", "vary")
@data_options
@options("epochs", "precision", "models_dir", "tensorboard")
def study_command(
    model: str,
    techniques: Sequence[str],
    seeds: int,
    vary: str,
    epochs: int | None,
    precision: str,
    source: Source,
    models_dir: Path,
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
    dataset = source.load()
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
        runs_dir=source.runs_dir,
        models_dir=models_dir,
        tensorboard=tensorboard,
    )
