"""Write every table, card and plot from the records and the studies."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from models.bundle import CURVES_FILE, RELIABILITY_FILE, version_folder
from models.familiarity import FAMILIARITY_FILE, read_familiarity
from models.record import Record
from training import TrainingError
from training.bundled import improved_models, read_records
from training.files import write_text
from training.report import plots
from training.report.familiarity_page import FAMILIARITY_PAGE, familiarity_page
from training.report.model_card import MODELS_PAGE_MARK, model_card, models_page
from training.report.results import COMPARISONS, Comparison, study_accuracies, study_page
from training.report.tables import DOCUMENT_TABLES, replace_tables

COMPARISON_FILE = "comparison.png"

# A file's name, the function that draws it, and what it shows.
Plot = tuple[str, Callable[..., Any], Sequence[Any]]


class StaleError(TrainingError):
    """Files do not match the records."""


def version_plots(record: Record) -> list[Plot]:
    """Return the plots of models/<name>/<version>/."""
    title = f"{record.title}, version {record.version}"
    curves = (title, record.history, *(extension.after for extension in record.extensions))
    found: list[Plot] = [(CURVES_FILE, plots.curves, curves)] if record.history else []
    if (measured := record.calibration) is not None:
        shown = (title, measured.expected_calibration_error, measured.reliability)
        found.append((RELIABILITY_FILE, plots.reliability, shown))
    return found


def write_report(
    models_dir: Path, checkout: Path | None = None, *, skip_broken: bool = False
) -> None:
    """Write the models' cards and plots, the studies' pages, and the documents' tables.

    The documents are those of `checkout`, if it is given. A plot that already shows the same data
    is left alone.

    Raises:
        BundleError: a record is broken, and `skip_broken` is not set.
    """
    records = read_records(models_dir, skip_broken=skip_broken)
    for path, text in _texts(records, models_dir, checkout).items():
        write_text(path, text)
    for path, draw, shown in _plots(records, models_dir):
        if not plots.is_current(path, draw, *shown):
            plots.write(path, draw, *shown)
    if stale := _stale_familiarity(records, models_dir):
        click.echo(stale, err=True)


def check_report(models_dir: Path, checkout: Path | None = None) -> None:
    """Raise an error if `write_report` would change a file; plots are compared by their data.

    Raises:
        StaleError: some would change; the message names them.
    """
    records = read_records(models_dir)
    texts = _texts(records, models_dir, checkout)
    stale = [p for p, text in texts.items() if not p.exists() or p.read_text("utf-8") != text]
    drawn = _plots(records, models_dir)
    stale += [path for path, draw, shown in drawn if not plots.is_current(path, draw, *shown)]
    if stale:
        raise StaleError(
            f"out of date: {', '.join(map(str, stale))}; run: python -m training report"
        )
    if familiarity := _stale_familiarity(records, models_dir):
        raise StaleError(familiarity)


def write_study_page(models_dir: Path, comparison: Comparison) -> None:
    """Write a study's page and plot, unless only the baseline is measured."""
    done = comparison.read_current(models_dir)
    if not done.compared:
        return
    write_text(models_dir / comparison.page, study_page(comparison, done))
    plots.write(
        models_dir / f"{comparison.name}.png", plots.study, study_accuracies(comparison, done)
    )


def _texts(
    records: dict[str, list[Record]], models_dir: Path, checkout: Path | None
) -> dict[Path, str]:
    texts = {models_dir / name / "README.md": model_card(of[::-1]) for name, of in records.items()}
    for comparison in COMPARISONS.values():
        if (done := comparison.read_current(models_dir)).compared:
            texts[models_dir / comparison.page] = study_page(comparison, done)
    if (familiarity := read_familiarity(models_dir)) is not None:
        texts[models_dir / FAMILIARITY_PAGE] = familiarity_page(familiarity)
    overview = models_dir / "README.md"
    if records and _is_ours(overview):
        texts[overview] = models_page(records)
    if checkout is not None:
        done = COMPARISONS["article"].read_current(models_dir)
        for document, tables in DOCUMENT_TABLES.items():
            path = checkout / document
            written = {name: table(records, done) for name, table in tables.items()}
            texts[path] = replace_tables(path.read_text("utf-8"), written)
    return texts


def _is_ours(page: Path) -> bool:
    """Return whether there is no such page yet, or one that `report` wrote."""
    return not page.exists() or page.read_text("utf-8", "replace").startswith(MODELS_PAGE_MARK)


def _stale_familiarity(records: dict[str, list[Record]], models_dir: Path) -> str | None:
    """Return what to do if familiarity was measured on files other than the bundled ones."""
    measured = read_familiarity(models_dir)
    if measured is None:
        return None
    improved = improved_models(records)
    if measured.models == {n: r.sha256 for n, r in improved.items() if n in measured.models}:
        return None
    return (
        f"{models_dir / FAMILIARITY_FILE} was measured on other model files, so the service "
        "ignores it; run: python -m training familiarity"
    )


def _plots(
    by_model: dict[str, list[Record]], models_dir: Path
) -> list[tuple[Path, Callable[..., Any], Sequence[Any]]]:
    records = [record for of_model in by_model.values() for record in of_model]
    found = [
        (version_folder(models_dir, r.name, r.version) / name, draw, shown)
        for r in records
        for name, draw, shown in version_plots(r)
    ]
    measured = [r for r in records if r.generalization_gap is not None and r.test_accuracy]
    if measured:
        labels = [
            f"{r.name}, {r.recipe} recipe\n{r.epochs_completed} of {r.epochs} epochs"
            for r in measured
        ]
        accuracies = {
            "training": [r.train_accuracy for r in measured],
            "validation": [r.validation_accuracy for r in measured],
            "test": [r.test_accuracy for r in measured],
        }
        articles = [r.article for r in measured if r.article]
        if len(articles) == len(measured):
            accuracies["test (article)"] = [article.test_accuracy for article in articles]
        found.append((models_dir / COMPARISON_FILE, plots.comparison, (labels, accuracies)))
    for comparison in COMPARISONS.values():
        if (done := comparison.read_current(models_dir)).compared:
            shown = (study_accuracies(comparison, done),)
            found.append((models_dir / f"{comparison.name}.png", plots.study, shown))
    return found
