"""The tables of README.md and docs/overfitting.md, from the records and the study."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from models.record import Record
from models.study import BASELINE, Result, Study
from training import TrainingError
from training.report.results import COMPARISONS, changes, repeats_article, spread

Records = dict[str, list[Record]]  # a model's versions by its name


class MarkerError(TrainingError):
    """A document lacks the markers for a table."""


def replace_tables(text: str, tables: Mapping[str, str]) -> str:
    """Return a document with each table between `<!-- table: NAME -->` and `<!-- end -->`.

    Raises:
        MarkerError: a table has no markers.
    """
    for name, table in tables.items():
        start, end = f"<!-- table: {name} -->\n", "<!-- end -->"
        before, found, rest = text.partition(start)
        if not found or end not in rest:
            raise MarkerError(f"the document lacks the marks of a table: {start.strip()} … {end}")
        text = f"{before}{start}{table}\n{rest[rest.index(end) :]}"
    return text


def models_table(records: Records, _: Study) -> str:
    """Return the bundled versions' accuracies, all measured on the finished weights."""
    header = "| model | version | recipe | training | validation | gap | test |"
    rows = [
        _row(
            f"`{record.name}`" if record is of_model[0] else "",
            f"{record.version}",
            record.recipe or "–",
            per_cent(record.train_accuracy),
            per_cent(record.validation_accuracy),
            per_cent(record.generalization_gap),
            per_cent(record.test_accuracy),
        )
        for of_model in records.values()
        for record in of_model
    ]
    return "\n".join([header, "|---|---:|---|" + "---:|" * 4, *rows])


def confidence_table(records: Records, _: Study) -> str:
    """Return how the bundled versions' confidence compares with their accuracy."""
    header = (
        "| model | recipe | mean confidence | test accuracy | calibration error "
        "| unchanged when mirrored | when shifted |"
    )
    rows = []
    for of_model in records.values():
        for record in of_model:
            calibration, stability = record.calibration, record.stability
            cells = (
                f"`{record.name}`" if record is of_model[0] else "",
                record.recipe or "–",
                per_cent(calibration.mean_confidence if calibration else None, 1),
                per_cent(record.test_accuracy, 1),
                per_cent(calibration.expected_calibration_error if calibration else None, 1),
                per_cent(stability.mirrored if stability else None, 1),
                per_cent(stability.shifted if stability else None, 1),
            )
            rows.append(_row(*cells))
    return "\n".join([header, "|---|---|" + "---:|" * 5, *rows])


def reproduction_table(records: Records, done: Study) -> str:
    """Return the article's figures beside ours for its recipe, in the article's metric."""
    rows = []
    for name, of_model in records.items():
        ours = [r for r in of_model if r.recipe == "article" and r.history and r.article]
        if not ours or not (article := ours[0].article):
            continue
        figures = [article.train_accuracy, article.validation_accuracy, article.test_accuracy]
        rows.append(_row(f"`{name}`", "the article", "", "1", *map(per_cent, figures)))
        for precision, of_seed in _reproductions(name, ours, done).items():
            columns = [[100 * share for share in of] for of in zip(*of_seed.values(), strict=True)]
            rows.append(_row("", "ours", precision, f"{len(of_seed)}", *map(spread, columns)))
    header = "| model | source | precision | n | training, running mean | validation | test |"
    return "\n".join([header, "|---|---|---|" + "---:|" * 4, *rows])


def _reproductions(
    name: str, ours: list[Record], done: Study
) -> dict[str, dict[int, tuple[float, float, float]]]:
    """Return training, validation and test accuracy by precision and seed.

    They come from the bundled versions, and from the study's baseline if it has as many epochs as
    the article's training. A seed in both counts once, with the study's figures.
    """
    found: dict[str, dict[int, tuple[float, float, float]]] = {}
    for record in ours:
        running, test = record.running_train_accuracy, record.test_accuracy
        if running is not None and record.seed is not None and test is not None:
            figures = running, record.history[-1].val_accuracy
            found.setdefault(record.precision, {})[record.seed] = *figures, test
    for result in done.results:
        setting, running = result.setting, result.running_train_accuracy
        if setting.model == name and repeats_article(result) and running is not None:
            figures = running, result.validation.accuracy
            found.setdefault(setting.precision, {})[result.seed] = *figures, result.test.accuracy
    return found


def study_summary(_: Records, done: Study) -> str:
    """Return each technique's mean figures, by setting."""
    several = len(done.compared) > 1
    sections = []
    for compared in done.compared:
        results = COMPARISONS["article"].by_variant(done, compared)
        rows = [_study_row(name, runs, results.get(BASELINE, [])) for name, runs in results.items()]
        header = "| technique | n | training | validation | Δ | gap | Δ | test |"
        title = [f"{compared.setting.title}:", ""] if several else []
        sections.append("\n".join([*title, header, "|---|" + "---:|" * 7, *rows]))
    return "\n\n".join(sections)


# The documents that hold tables between marks, relative to the checkout.
DOCUMENT_TABLES: Mapping[Path, Mapping[str, Callable[[Records, Study], str]]] = {
    Path("README.md"): {"models": models_table},
    Path("docs/overfitting.md"): {"study": study_summary, "confidence": confidence_table},
}


def escaped(name: str) -> str:
    """Return a class or data set's name as Markdown that shows it as it is."""
    return re.sub(r"([\\`*_{}\[\]<>|#&])", r"\\\1", name)


def per_cent(share: float | None, digits: int = 2) -> str:
    """Return a fraction in percent, without the sign; a dash if it was not measured."""
    return "–" if share is None else f"{100 * share:.{digits}f}"


def _study_row(name: str, runs: list[Result], baseline: list[Result]) -> str:
    of_validation, of_gap = changes(runs, baseline)
    return _row(
        name,
        f"{len(runs)}",
        spread([100 * r.train.accuracy for r in runs]),
        spread([100 * r.validation.accuracy for r in runs]),
        of_validation,
        spread([100 * r.gap for r in runs]),
        of_gap,
        spread([100 * r.test.accuracy for r in runs]),
    )


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")
