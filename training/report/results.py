"""The studies' tables, and the data of their plots."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from models.study import BASELINE, CIFAR10, Compared, Result, Study, read_study
from training.networks.recipes import ABLATIONS, ARTICLE, EXPERIMENTS, TECHNIQUES, Recipe


@dataclass(frozen=True)
class Comparison:
    """A recipe's variants, and what the models folder calls their results.

    They are in <name>.json, and shown in <NAME>.md and <name>.png.
    """

    name: str
    variants: Mapping[str, Mapping[str, Recipe]]  # by model and name
    introduction: str

    @property
    def page(self) -> str:
        """The name of the page."""
        return f"{self.name.upper()}.md"

    def read(self, models_dir: Path) -> Study:
        """Return the results so far.

        Raises:
            BundleError: the file is damaged.
        """
        return read_study(models_dir / f"{self.name}.json")

    def read_current(self, models_dir: Path) -> Study:
        """Return the results whose recipe is still one of the variants, as `read` does."""
        return Study(results=[r for r in self.read(models_dir).results if self._is_current(r)])

    def _is_current(self, result: Result) -> bool:
        recipe = self.variants.get(result.setting.model, {}).get(result.technique)
        return recipe is not None and recipe.matches(result.hyperparameters)

    def by_variant(self, done: Study, compared: Compared) -> dict[str, list[Result]]:
        """Return the comparable results, in the variants' order."""
        results = done.of(compared)
        found = {
            name: [result for result in results if result.technique == name]
            for name in self.variants[compared.setting.model]
        }
        return {name: of_name for name, of_name in found.items() if of_name}


def repeats_article(result: Result) -> bool:
    """Return whether a run repeats the article's training: same recipe, same epochs."""
    setting = result.setting
    return (
        result.technique == BASELINE
        and setting.epochs == ARTICLE[setting.model].epochs
        and setting.dataset == CIFAR10
    )


def study_page(comparison: Comparison, done: Study) -> str:
    """Return the page of the results, in Markdown."""
    sections = [
        _section(compared.setting.title, comparison.by_variant(done, compared))
        for compared in done.compared
    ]
    figures = _FIGURES.format(plot=f"{comparison.name}.png")
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

    Runs with the same seed are compared. Empty for the baseline itself, or without a baseline.
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

Each variant is one change to the article's recipe: a technique, or for `final` the removal of some
of its own layers; `combined` has all techniques. `training/networks/recipes.py` has their
strengths, and [Overfitting, measured](../docs/overfitting.md) discusses the results.
`python -m training study` measures the variants into `study.json`, and `python -m training report`
writes this page.
"""
_ABLATIONS = """\
# Ablations of the improved recipe

Each variant is one change to the improved recipe, the baseline here. Only `adam` changes more: it
has its own learning rate and no weight decay. `training/networks/recipes.py` has the details. The
recipe was chosen by validation accuracy. `python -m training study --vary improved` measures the
variants into `ablations.json`, and `python -m training report` writes this page.
"""
_FIGURES = """
- All runs use the same data and the same n seeds.
- Accuracies (in percent) and losses (mean cross-entropy) are of the final weights, without dropout
  or augmentation. With early stopping, these are the weights with the lowest validation loss.
- The gap is training minus validation accuracy, in points.
- ± is the standard deviation over the seeds. Δ is the difference from the baseline with the same
  seed. A Δ of at most twice its ± may be chance, and so may any Δ of a single seed.

![Accuracies by variant]({plot})
"""
_CLIPPED = """\
{some} losses are clipped at 16.1 per image, which understates the loss of overconfident networks.
"""

_RANDOM_LABELS = """\
# Random labels: a network learns anything by heart

Each variant replaces a share of the training labels by random ones, uniform over all classes. The
labels of the validation and test images stay true. `python -m training study --vary random-labels`
measures the variants into `random-labels.json`.
"""
_LESS_DATA = """\
# Less training data

Each variant trains on fewer images, the same number of each class, with or without random flips
and shifts. Every run has as many updates as the baseline, which trains on all 40,000 images.
`python -m training study --vary less-data` measures the variants into `less-data.json`.
"""
_WIDTH = """\
# Narrower and wider networks

Each variant multiplies the filters of each convolution and the units of each hidden layer.
`python -m training study --vary width` measures the variants into `width.json`.
"""

COMPARISONS = {
    "article": Comparison("study", TECHNIQUES, _TECHNIQUES),
    "improved": Comparison("ablations", ABLATIONS, _ABLATIONS),
    **{
        name: Comparison(name, variants, introduction)
        for (name, variants), introduction in zip(
            EXPERIMENTS.items(), (_RANDOM_LABELS, _LESS_DATA, _WIDTH), strict=True
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
            f"Measured on {' and '.join(devices)}.",
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
