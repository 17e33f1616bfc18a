"""Every table and plot that shows a figure, from the records and the study."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from models.familiarity import FAMILIARITY_FILE, MeasuredFamiliarity, read_familiarity
from models.record import CURVES_FILE, RECORD_FILE, RELIABILITY_FILE, Record, version_folders
from training import TrainingError, first_reason
from training.files import write_text
from training.networks.recipes import ARTICLE, VERSIONS
from training.report import plots
from training.report.familiarity_page import FAMILIARITY_PAGE, familiarity_page
from training.report.model_card import model_card
from training.report.results import COMPARISONS, Comparison, study_accuracies, study_page
from training.report.tables import README_TABLES, replace_tables

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
    found: list[Plot] = [(CURVES_FILE, plots.curves, curves)]
    if (measured := record.calibration) is not None:
        shown = (title, measured.expected_calibration_error, measured.reliability)
        found.append((RELIABILITY_FILE, plots.reliability, shown))
    return found


def write_report(
    models_dir: Path, readme: Path | None = None, *, skip_broken: bool = False
) -> None:
    """Write each model's card and plots, the comparison, the study's page and README's tables.

    A plot that already shows the same data is left alone.

    Raises:
        RecordError: a record is broken, and `skip_broken` is not set.
    """
    records = read_records(models_dir, skip_broken=skip_broken)
    for path, text in _texts(records, models_dir, readme).items():
        write_text(path, text)
    for path, draw, shown in _plots(records, models_dir):
        if not plots.is_current(path, draw, *shown):
            plots.write(path, draw, *shown)
    if stale := _stale_familiarity(records, models_dir):
        click.echo(stale, err=True)


def check_report(models_dir: Path, readme: Path | None = None) -> None:
    """Refuse files that differ from what `write_report` would write; compare plots by their data.

    Raises:
        StaleError: there are some; the message names them.
    """
    records = read_records(models_dir)
    texts = _texts(records, models_dir, readme)
    stale = [p for p, text in texts.items() if not p.exists() or p.read_text("utf-8") != text]
    drawn = _plots(records, models_dir)
    stale += [path for path, draw, shown in drawn if not plots.is_current(path, draw, *shown)]
    if stale:
        raise StaleError(
            f"{', '.join(map(str, stale))}: not what the records say; "
            "run: python -m training report"
        )
    if familiarity := _stale_familiarity(records, models_dir):
        raise StaleError(familiarity)


def write_study_page(models_dir: Path, comparison: Comparison) -> None:
    """Write the page and plot of a study, unless only the baseline is measured."""
    done = comparison.read_current(models_dir)
    if not done.compared:
        return
    write_text(models_dir / comparison.page, study_page(comparison, done))
    plots.write(models_dir / comparison.plot, plots.study, study_accuracies(comparison, done))


def read_record(path: Path) -> Record:
    """Read models/<name>/<version>/metadata.json.

    Raises:
        RecordError: it cannot be read, or is not the record of this version.
    """
    try:
        record = Record.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RecordError(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        raise RecordError(
            f"{path} is not a model's record ({first_reason(error)}); measure the model again with "
            "python -m training evaluate, or remove its folder"
        ) from error
    if (record.name, str(record.version)) != (path.parent.parent.name, path.parent.name):
        raise RecordError(
            f"{path} is the record of {record.name} version {record.version}, not of this folder"
        )
    return record


def record_files(names: Sequence[str], models_dir: Path) -> list[Path]:
    """Return the paths of the named models' records, the oldest version of each first.

    Raises:
        RecordError: there is none.
    """
    files = [file for name in names for file in _record_files(models_dir, name)]
    if not files:
        raise RecordError(
            f"{models_dir} holds no version of {' or '.join(names)}; export one first: "
            "python -m training export, or name another folder with --models-dir"
        )
    return files


def read_records(models_dir: Path, *, skip_broken: bool = False) -> dict[str, list[Record]]:
    """Return each model's records, the oldest version first; the article's models first.

    Raises:
        RecordError: one is broken, and `skip_broken` is not set, which leaves it out and says so.
    """
    records = []
    for path in _record_files(models_dir, "*"):
        try:
            records.append(read_record(path))
        except RecordError as error:
            if not skip_broken:
                raise
            click.echo(f"Left out of the report: {error}", err=True)
    names = [name for name in ARTICLE if any(r.name == name for r in records)]
    names += sorted({r.name for r in records} - set(names))
    return {
        name: sorted((r for r in records if r.name == name), key=lambda r: r.version)
        for name in names
    }


def improved_models(records: dict[str, list[Record]]) -> dict[str, Record]:
    """Return the record of each model's version of the improved recipe, by the model's name."""
    improved = VERSIONS["improved"]
    return {r.name: r for of_model in records.values() for r in of_model if r.version == improved}


def _record_files(models_dir: Path, name: str) -> list[Path]:
    try:
        paths = [folder / RECORD_FILE for folder in version_folders(models_dir, name)]
        return sorted(path for path in paths if path.exists())
    except OSError as error:
        raise RecordError(f"cannot read {error.filename}: {error.strerror}") from error


def _texts(
    records: dict[str, list[Record]], models_dir: Path, readme: Path | None
) -> dict[Path, str]:
    texts = {models_dir / name / "README.md": model_card(of[::-1]) for name, of in records.items()}
    for comparison in COMPARISONS.values():
        if (done := comparison.read_current(models_dir)).compared:
            texts[models_dir / comparison.page] = study_page(comparison, done)
    if (familiarity := _familiarity(models_dir)) is not None:
        texts[models_dir / FAMILIARITY_PAGE] = familiarity_page(familiarity)
    if readme is not None:
        done = COMPARISONS["article"].read_current(models_dir)
        tables = {name: table(records, done) for name, table in README_TABLES.items()}
        texts[readme] = replace_tables(readme.read_text("utf-8"), tables)
    return texts


def _familiarity(models_dir: Path) -> MeasuredFamiliarity | None:
    try:
        return read_familiarity(models_dir)
    except ValidationError as error:
        raise RecordError(
            f"{models_dir / FAMILIARITY_FILE} is damaged ({first_reason(error)}); restore it, or "
            "remove it and run: python -m training familiarity"
        ) from error


def _stale_familiarity(records: dict[str, list[Record]], models_dir: Path) -> str | None:
    """Return what to do where familiarity was measured on other files than the bundled ones."""
    measured = _familiarity(models_dir)
    improved = {name: record.sha256 for name, record in improved_models(records).items()}
    if measured is None or measured.models == improved:
        return None
    return (
        f"{models_dir / FAMILIARITY_FILE} is of other models than the bundled ones, so the service "
        "leaves it out; run: python -m training familiarity"
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
    if records:
        labels = [
            f"{r.name}, {r.recipe} recipe\n{r.epochs_completed} of {r.epochs} epochs"
            for r in records
        ]
        accuracies = {
            "training": [r.train_accuracy for r in records],
            "validation": [r.validation_accuracy for r in records],
            "test": [r.test_accuracy for r in records],
            "test, the article's": [r.article.test_accuracy for r in records],
        }
        found.append((models_dir / COMPARISON_FILE, plots.comparison, (labels, accuracies)))
    for comparison in COMPARISONS.values():
        if (done := comparison.read_current(models_dir)).compared:
            shown = (study_accuracies(comparison, done),)
            found.append((models_dir / comparison.plot, plots.study, shown))
    return found
