"""The studies' tables, and the data of their plots."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean, stdev

from models.study import BASELINE, STUDY_FILE, Result, Setting, Study
from training.recipes import ABLATIONS, ARTICLE, PARTS, TECHNIQUES, Recipe


@dataclass(frozen=True)
class Comparison:
    """A recipe's variants, and the files in the models folder that hold and show their results."""

    variants: Mapping[str, Recipe]
    file: str
    page: str
    plot: str
    introduction: str

    def variants_of(self, model: str) -> list[str]:
        """Return the variants that differ for this model: only `final` has layers to leave out."""
        return [name for name in self.variants if model == "final" or name not in PARTS]


def by_variant(
    done: Study, setting: Setting, variants: Mapping[str, Recipe]
) -> dict[str, list[Result]]:
    """Return a setting's results by variant, in the variants' order."""
    found = {
        name: [r for r in done.results if (r.setting, r.technique) == (setting, name)]
        for name in variants
    }
    return {name: results for name, results in found.items() if results}


def repeats_article(result: Result) -> bool:
    """Tell whether a run repeats the article's training: its recipe, for as many epochs."""
    setting = result.setting
    return result.technique == BASELINE and setting.epochs == ARTICLE[setting.model].epochs


def study_page(compared: Comparison, done: Study) -> str:
    """Return the page that shows the results."""
    sections = [
        _section(setting, by_variant(done, setting, compared.variants)) for setting in done.settings
    ]
    return "\n".join([compared.introduction + _FIGURES.format(plot=compared.plot), *sections])


def study_accuracies(
    compared: Comparison, done: Study
) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Return an accuracy for each seed, by setting, set and variant."""
    return {
        setting.title: {
            title: {
                name: [getattr(run, of_set).accuracy for run in runs]
                for name, runs in by_variant(done, setting, compared.variants).items()
            }
            for title, of_set in (
                ("training", "train"),
                ("validation", "validation"),
                ("test", "test"),
            )
        }
        for setting in done.settings
    }


def spread(values: list[float], digits: int = 2) -> str:
    """Return the mean, and the standard deviation if there is more than one value."""
    text = f"{mean(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ± {stdev(values):.{digits}f}"


_TECHNIQUES = """\
# Regularization techniques, measured

`python -m training study` measures the techniques and keeps the results in `study.json`;
`python -m training report` writes this page from there. Each is one change to the article's recipe:
a technique or, for `final`, the lack of layers of its own; `combined` has all techniques. Their
strengths are in `training/recipes.py`.
"""
_ABLATIONS = """\
# Ablations of the improved recipe

`python -m training study --recipe improved` measures them and keeps the results in
`ablations.json`; `python -m training report` writes this page from there. Each is one change to the
improved recipe, which is the baseline here; both are in `training/recipes.py`. What the recipe is
chosen by is the validation accuracy.
"""
_FIGURES = """\
All runs see the same data, with the same seeds. Accuracies, in per cent, and losses, mean
cross-entropies, are of a run's final weights (with early stopping, those with the lowest validation
loss), without dropout or augmentation. The gap is training minus validation accuracy, in points.
± is the standard deviation over n seeds.

![Accuracies by variant]({plot})
"""

COMPARISONS = {
    "article": Comparison(TECHNIQUES | PARTS, STUDY_FILE, "STUDY.md", "study.png", _TECHNIQUES),
    "improved": Comparison(
        ABLATIONS, "ablations.json", "ABLATIONS.md", "ablations.png", _ABLATIONS
    ),
}


def _section(setting: Setting, results: dict[str, list[Result]]) -> str:
    devices = dict.fromkeys(result.device for of_name in results.values() for result in of_name)
    rows = [_row(name, of_name) for name, of_name in results.items()]
    return "\n".join(
        [
            f"## {setting.title}",
            "",
            f"On {' and '.join(devices)}.",
            "",
            "| technique | n | train | validation | test | gap "
            "| train loss | validation loss | test loss | epochs |",
            "|---|" + "---:|" * 9,
            *rows,
            "",
        ]
    )


def _row(name: str, results: list[Result]) -> str:
    cells = [
        f"{name}",
        f"{len(results)}",
        spread([100 * r.train.accuracy for r in results]),
        spread([100 * r.validation.accuracy for r in results]),
        spread([100 * r.test.accuracy for r in results]),
        spread([100 * r.gap for r in results]),
        spread([r.train.loss for r in results], digits=3),
        spread([r.validation.loss for r in results], digits=3),
        spread([r.test.loss for r in results], digits=3),
        spread([float(r.epochs_completed) for r in results], digits=0),
    ]
    return f"| {' | '.join(cells)} |"
