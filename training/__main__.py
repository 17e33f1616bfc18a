"""The command line: `python -m training --help`."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

import models.surroundings  # noqa: F401  # before the libraries that the others import
from training.command_line import Source, TrainingGroup, config_options, data_options, options
from training.measure_commands import (
    evaluate_command,
    familiarity_command,
    memorized_command,
    record_command,
    study_command,
    verify_command,
)

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
@config_options("epochs", "seed", "precision", "tensorboard")
@options("fresh", "extend", "terms", "force")
def all_command(
    source: Source,
    configs: Sequence["Config"],
    fresh: bool,
    extend: bool,
    terms: str | None,
    force: bool,
) -> None:
    """Train, export, evaluate, quantize and record."""
    dataset = source.load()  # an error before Keras is imported
    from training import pipeline
    from training.report import plots, report

    for config in configs:
        pipeline.check_training(config, dataset, force=force)
    pipeline.train_models(configs, dataset, fresh=fresh, extend=extend)
    plots.first_images(dataset, source.runs_dir / "first-ten-images.png")
    for config in configs:
        pipeline.export_model(config, dataset, force=force, terms=terms)
    report.write_report(configs[0].models_dir, skip_broken=True)


@main.command()
@config_options("epochs", "seed", "precision", "tensorboard")
@options("fresh", "extend")
@click.option(
    "--distribute",
    is_flag=True,
    help="Run as one of several workers, configured by KERAS_DISTRIBUTION_*, with a shared runs "
    "folder.",
)
def train_command(
    source: Source, configs: Sequence["Config"], fresh: bool, extend: bool, distribute: bool
) -> None:
    """Train without exporting, on any Keras backend (for example KERAS_BACKEND=jax)."""
    from training import pipeline
    from training.runs.distribute import distributed
    from training.runs.strategy import ALONE

    if extend and distribute:
        raise click.UsageError("--extend does not work with --distribute; leave one of them out")
    with distributed() if distribute else nullcontext(ALONE) as strategy:
        dataset = source.load()
        pipeline.train_models(configs, dataset, fresh=fresh, extend=extend, strategy=strategy)


@main.command()
@config_options()
@options("terms", "force")
def export_command(
    source: Source, configs: Sequence["Config"], terms: str | None, force: bool
) -> None:
    """Export, evaluate, quantize and record a run of `train`, finished or not.

    It needs the TensorFlow backend, even if another one trained the run. The record says how many
    epochs the model was trained for.
    """
    from training import pipeline
    from training.report import report

    for config in configs:
        pipeline.check_export(config)
    dataset = source.load()
    for config in configs:
        pipeline.export_model(config, dataset, force=force, terms=terms)
    report.write_report(configs[0].models_dir, skip_broken=True)


@main.command()
@data_options
@options("names", "models_dir")
def quantize_command(names: Sequence[str], source: Source, models_dir: Path) -> None:
    """Quantize every exported version again, as `export` does."""
    from training.bundled import bundled_versions
    from training.report import report

    bundled_versions(names, models_dir)  # an error before Keras is imported if there is none
    from training import pipeline

    pipeline.quantize_models(names, source.load(), models_dir)
    report.write_report(models_dir, skip_broken=True)


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


for command in (
    evaluate_command,
    record_command,
    verify_command,
    memorized_command,
    familiarity_command,
    study_command,
):
    main.add_command(command)


if __name__ == "__main__":
    main(prog_name="python -m training")
