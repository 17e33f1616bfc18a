"""README's tables, from the records and the study."""

from collections.abc import Callable, Mapping

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
            raise MarkerError(f"the document has no place for a table: {start.strip()} … {end}")
        text = f"{before}{start}{table}\n{rest[rest.index(end) :]}"
    return text


def models_table(records: Records, _: Study) -> str:
    """Return the bundled versions' figures, all measured on the finished weights."""
    header = (
        "| model | version | recipe | epochs | training | validation | gap | test | int8 test "
        "| calibration error | unchanged when mirrored | when shifted |"
    )
    rows = [_model_row(r, first=r is of[0]) for of in records.values() for r in of]
    return "\n".join([header, "|---|---:|---|" + "---:|" * 9, *rows])


def reproduction_table(records: Records, done: Study) -> str:
    """Return the article's figures beside ours for its recipe, in the article's own metric."""
    rows = []
    for name, of_model in records.items():
        ours = [r for r in of_model if r.recipe == "article"]
        if not ours:
            continue
        article = ours[0].article
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

    They come from the bundled versions, and from the study's baseline if it is as long as the
    article's training. A seed that is in both counts once, with the study's figures.
    """
    found: dict[str, dict[int, tuple[float, float, float]]] = {}
    for record in ours:
        figures = record.running_train_accuracy, record.history[-1].val_accuracy
        found.setdefault(record.precision, {})[record.seed] = *figures, record.test_accuracy
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


README_TABLES: Mapping[str, Callable[[Records, Study], str]] = {
    "reproduction": reproduction_table,
    "models": models_table,
    "study": study_summary,
}


def epochs_of(record: Record) -> str:
    """Return the epochs of a version, and those requested if they differ."""
    done, asked = record.epochs_completed, record.epochs
    return f"{done}" if done == asked else f"{done} of {asked}"


def per_cent(share: float | None, digits: int = 2) -> str:
    """Return a share in per cent, without the sign; a dash for what was not measured."""
    return "–" if share is None else f"{100 * share:.{digits}f}"


def _model_row(record: Record, *, first: bool) -> str:
    calibration, stability = record.calibration, record.stability
    return _row(
        f"`{record.name}`" if first else "",
        f"{record.version}",
        record.recipe,
        epochs_of(record),
        per_cent(record.train_accuracy),
        per_cent(record.validation_accuracy),
        per_cent(record.generalization_gap),
        per_cent(record.test_accuracy),
        per_cent(record.int8.test_accuracy if record.int8 else None),
        per_cent(calibration.expected_calibration_error if calibration else None, 1),
        per_cent(stability.mirrored if stability else None, 1),
        per_cent(stability.shifted if stability else None, 1),
    )


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
