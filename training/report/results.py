"""The studies' tables, and the data of their plots."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from pydantic import ValidationError

from models.study import BASELINE, STUDY_FILE, Compared, Result, Study, read_study
from training import TrainingError, first_reason
from training.networks.recipes import ABLATIONS, ARTICLE, EXPERIMENTS, TECHNIQUES, Recipe


class ResultsError(TrainingError):
    """The file of a study's results is damaged."""


@dataclass(frozen=True)
class Comparison:
    """A recipe's variants, and the files in the models folder that hold and show their results."""

    variants: Mapping[str, Mapping[str, Recipe]]  # by model and name
    file: str
    page: str
    plot: str
    introduction: str

    def read(self, models_dir: Path) -> Study:
        """Return the results so far.

        Raises:
            ResultsError: their file is damaged.
        """
        path = models_dir / self.file
        try:
            return read_study(path)
        except ValidationError as error:
            raise ResultsError(
                f"{path} does not hold a study's results ({first_reason(error)}); restore it, or "
                "remove it to start over"
            ) from error

    def read_current(self, models_dir: Path) -> Study:
        """Return the results whose recipe is still one of the variants; see `read`."""
        return Study(results=[r for r in self.read(models_dir).results if self._is_current(r)])

    def _is_current(self, result: Result) -> bool:
        recipe = self.variants.get(result.setting.model, {}).get(result.technique)
        return recipe is not None and recipe.matches(result.hyperparameters)

    def by_variant(self, done: Study, compared: Compared) -> dict[str, list[Result]]:
        """Return the results that compare, in the variants' order."""
        results = done.of(compared)
        found = {
            name: [result for result in results if result.technique == name]
            for name in self.variants[compared.setting.model]
        }
        return {name: of_name for name, of_name in found.items() if of_name}


def repeats_article(result: Result) -> bool:
    """Tell whether a run repeats the article's training: its recipe, for as many epochs."""
    setting = result.setting
    return result.technique == BASELINE and setting.epochs == ARTICLE[setting.model].epochs


def study_page(comparison: Comparison, done: Study) -> str:
    """Return the page that shows the results."""
    sections = [
        _section(compared.setting.title, comparison.by_variant(done, compared))
        for compared in done.compared
    ]
    figures = _FIGURES.format(plot=comparison.plot)
    return "\n".join([comparison.introduction + figures, *sections])


def study_accuracies(
    comparison: Comparison, done: Study
) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Return an accuracy for each seed, by setting, set and variant."""
    return {
        compared.setting.title: {
            title: {
                name: [getattr(run, of_set).accuracy for run in runs]
                for name, runs in comparison.by_variant(done, compared).items()
            }
            for title, of_set in (
                ("training", "train"),
                ("validation", "validation"),
                ("test", "test"),
            )
        }
        for compared in done.compared
    }


def spread(values: list[float], digits: int = 2) -> str:
    """Return the mean, and the standard deviation if there is more than one value."""
    text = f"{mean(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ± {stdev(values):.{digits}f}"


def changes(runs: list[Result], baseline: list[Result]) -> tuple[str, str]:
    """Return the differences of validation accuracy and gap from the baseline's, in points.

    They are of runs with the same seed. Empty for the baseline itself, or where there is none.
    """
    if not baseline or runs is baseline:
        return "", ""
    before = {run.seed: run for run in baseline}
    pairs = [(run, before[run.seed]) for run in runs]  # compared results have the same seeds
    return (
        _signed(
            [100 * (run.validation.accuracy - other.validation.accuracy) for run, other in pairs]
        ),
        _signed([100 * (run.gap - other.gap) for run, other in pairs]),
    )


def _signed(values: list[float]) -> str:
    return ("−" if mean(values) < 0 else "+") + spread(values).removeprefix("-")


_TECHNIQUES = """\
# Regularization techniques, measured

`python -m training study` measures the techniques and keeps the results in `study.json`;
`python -m training report` writes this page from there. Each is one change to the article's recipe:
a technique or, for `final`, the lack of layers of its own; `combined` has all techniques. Their
strengths are in `training/networks/recipes.py`.
"""
_ABLATIONS = """\
# Ablations of the improved recipe

`python -m training study --vary improved` measures the ablations and keeps the results in
`ablations.json`; `python -m training report` writes this page from there. Each is one change to the
improved recipe, which is the baseline here, but `adam`, which has a learning rate of its own and no
weight decay; they are in `training/networks/recipes.py`. The recipe is chosen by the validation
accuracy.
"""
_FIGURES = """
All runs see the same data, with the same n seeds. Accuracies, in per cent, and losses, mean
cross-entropies, are of a run's final weights (with early stopping, those with the lowest validation
loss, as the recipe computes it), without dropout or augmentation. The gap is training minus
validation accuracy, in points. ± is the standard deviation over the seeds. Δ is the difference from
the baseline with the same seed: one that is at most twice its ± may be chance, and so may any with
one seed.

![Accuracies by variant]({plot})
"""
_CLIPPED = """\
{some} losses are clipped at 16.1 for each image, which understates those of overconfident networks.
"""

_RANDOM_LABELS = """\
# Random labels: a network learns anything by heart

`python -m training study --vary random-labels` replaces a share of the training labels by random
ones, uniform over all classes, and keeps the results in `random-labels.json`. The labels of the
validation and test images stay true.
"""
_LESS_DATA = """\
# Less training data

`python -m training study --vary less-data` trains on fewer images, as many of each class, without
and with random flips and shifts, and keeps the results in `less-data.json`. Every run has as many
updates as one on all 40,000 images, which is the baseline.
"""
_WIDTH = """\
# Narrower and wider networks

`python -m training study --vary width` multiplies the filters of each convolution and the units of
each hidden layer, and keeps the results in `width.json`.
"""

COMPARISONS = {
    "article": Comparison(TECHNIQUES, STUDY_FILE, "STUDY.md", "study.png", _TECHNIQUES),
    "improved": Comparison(
        ABLATIONS, "ablations.json", "ABLATIONS.md", "ablations.png", _ABLATIONS
    ),
    **{
        name: Comparison(
            EXPERIMENTS[name], f"{name}.json", f"{name.upper()}.md", f"{name}.png", introduction
        )
        for name, introduction in (
            ("random-labels", _RANDOM_LABELS),
            ("less-data", _LESS_DATA),
            ("width", _WIDTH),
        )
    },
}
VARIANTS = list(
    dict.fromkeys(
        name
        for comparison in COMPARISONS.values()
        for of_model in comparison.variants.values()
        for name in of_model
    )
)


def _section(title: str, results: dict[str, list[Result]]) -> str:
    runs = [run for of_name in results.values() for run in of_name]
    devices = dict.fromkeys(run.device for run in runs)
    clipped = [run.losses_clipped for run in runs]
    caveat = _CLIPPED.format(some="These" if all(clipped) else "Some") if any(clipped) else ""
    baseline = results.get(BASELINE, [])
    return "\n".join(
        [
            f"## {title}",
            "",
            f"On {' and '.join(devices)}.",
            caveat,
            "| variant | n | train | validation | Δ validation | test | gap | Δ gap "
            "| train loss | validation loss | test loss | epochs |",
            "|---|" + "---:|" * 11,
            *(_row(name, of_name, baseline) for name, of_name in results.items()),
            "",
        ]
    )


def _row(name: str, results: list[Result], baseline: list[Result]) -> str:
    of_validation, of_gap = changes(results, baseline)
    cells = [
        f"{name}",
        f"{len(results)}",
        spread([100 * r.train.accuracy for r in results]),
        spread([100 * r.validation.accuracy for r in results]),
        of_validation,
        spread([100 * r.test.accuracy for r in results]),
        spread([100 * r.gap for r in results]),
        of_gap,
        spread([r.train.loss for r in results], digits=3),
        spread([r.validation.loss for r in results], digits=3),
        spread([r.test.loss for r in results], digits=3),
        spread([float(r.epochs_completed) for r in results], digits=0),
    ]
    return f"| {' | '.join(cells)} |"
