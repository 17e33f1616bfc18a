"""Write every table, card and plot from the records and the studies."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from models.familiarity import FAMILIARITY_FILE, MeasuredFamiliarity, read_familiarity
from models.record import CURVES_FILE, RECORD_FILE, RELIABILITY_FILE, Record, version_folders
from training import TrainingError, first_reason
from training.data import Dataset
from training.files import write_text
from training.networks.recipes import ARTICLE
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


class RecordError(TrainingError):
    """A record is missing, or describes a version other than its folder's."""


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
        RecordError: a record is broken, and `skip_broken` is not set.
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
    plots.write(models_dir / comparison.plot, plots.study, study_accuracies(comparison, done))


def read_record(path: Path) -> Record:
    """Read models/<name>/<version>/metadata.json.

    Raises:
        RecordError: the file cannot be read, or is not the record of this version.
    """
    try:
        record = Record.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RecordError(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        raise RecordError(
            f"{path} is not a valid record ({first_reason(error)}); measure the model again with "
            "python -m training evaluate, or remove its folder"
        ) from error
    if (record.name, str(record.version)) != (path.parent.parent.name, path.parent.name):
        raise RecordError(
            f"{path} describes {record.name} version {record.version}, so it is in the wrong folder"
        )
    return record


def record_files(names: Sequence[str], models_dir: Path) -> list[Path]:
    """Return the paths of the named models' records, or of all, oldest version first.

    Raises:
        RecordError: there are none.
    """
    files = [file for name in names or ["*"] for file in _record_files(models_dir, name)]
    if not files:
        raise RecordError(
            f"{models_dir} holds no version of {' or '.join(names) or 'any model'}; export one "
            "first: python -m training export, or choose another folder with --models-dir"
        )
    return files


def of_images(files: Sequence[Path], dataset: Dataset) -> list[Path]:
    """Return the paths of the records that are of these images; name those that are not.

    Raises:
        RecordError: there is none.
    """
    found = []
    for file in files:
        try:
            images = json.loads(file.read_bytes())["dataset"]["sha256"]
        except (OSError, ValueError, KeyError, TypeError):  # whoever reads it says what is wrong
            images = dataset.sha256
        if images == dataset.sha256:
            found.append(file)
        else:
            click.echo(f"{file.parent} is left out: it is of other images", err=True)
    if not found:
        raise RecordError(
            f"no model is of the images of {dataset.name} as they are now; choose others with "
            "--data-dir, or another folder of models with --models-dir"
        )
    return found


def read_records(models_dir: Path, *, skip_broken: bool = False) -> dict[str, list[Record]]:
    """Return each model's records, oldest version first; the article's models come first.

    Raises:
        RecordError: a record is broken; with `skip_broken`, it is left out with a message instead.
    """
    records = []
    for path in _record_files(models_dir, "*"):
        try:
            records.append(read_record(path))
        except RecordError as error:
            if not skip_broken:
                raise
            click.echo(f"Skipped: {error}", err=True)
    names = [name for name in ARTICLE if any(r.name == name for r in records)]
    names += sorted({r.name for r in records} - set(names))
    return {
        name: sorted((r for r in records if r.name == name), key=lambda r: r.version)
        for name in names
    }


def improved_models(records: dict[str, list[Record]]) -> dict[str, Record]:
    """Return the records of the improved recipe's versions, by model name."""
    return {r.name: r for of_model in records.values() for r in of_model if r.recipe == "improved"}


def _record_files(models_dir: Path, name: str) -> list[Path]:
    try:
        paths = [folder / RECORD_FILE for folder in version_folders(models_dir, name)]
        return sorted(path for path in paths if path.exists())
    except OSError as error:
        raise RecordError(f"cannot read {error.filename}: {error.strerror}") from error


def _texts(
    records: dict[str, list[Record]], models_dir: Path, checkout: Path | None
) -> dict[Path, str]:
    texts = {models_dir / name / "README.md": model_card(of[::-1]) for name, of in records.items()}
    for comparison in COMPARISONS.values():
        if (done := comparison.read_current(models_dir)).compared:
            texts[models_dir / comparison.page] = study_page(comparison, done)
    if (familiarity := _familiarity(models_dir)) is not None:
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


def _familiarity(models_dir: Path) -> MeasuredFamiliarity | None:
    try:
        return read_familiarity(models_dir)
    except ValidationError as error:
        raise RecordError(
            f"{models_dir / FAMILIARITY_FILE} is damaged ({first_reason(error)}); restore it, or "
            "remove it and run: python -m training familiarity"
        ) from error


def _stale_familiarity(records: dict[str, list[Record]], models_dir: Path) -> str | None:
    """Return what to do if familiarity was measured on files other than the bundled ones."""
    measured = _familiarity(models_dir)
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
        (models_dir / r.name / str(r.version) / name, draw, shown)
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
            found.append((models_dir / comparison.plot, plots.study, shown))
    return found
