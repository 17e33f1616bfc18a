"""The study's table, and the data of its plot."""

from statistics import mean, stdev

from models.study import Result, Setting, Study
from training.recipes import TECHNIQUES

PLOT_FILE = "study.png"
TABLE_FILE = "STUDY.md"


def by_technique(done: Study, setting: Setting) -> dict[str, list[Result]]:
    """Return a setting's results, in the order of `TECHNIQUES`."""
    found = {
        name: [r for r in done.results if (r.setting, r.technique) == (setting, name)]
        for name in TECHNIQUES
    }
    return {name: results for name, results in found.items() if results}


def study_table(done: Study) -> str:
    """Return STUDY.md."""
    sections = [_section(setting, by_technique(done, setting)) for setting in done.settings]
    return "\n".join([_INTRODUCTION, *sections])


def study_accuracies(done: Study) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Return an accuracy for each seed, by setting, set and technique."""
    return {
        setting.title: {
            title: {
                name: [getattr(run, of_set).accuracy for run in runs]
                for name, runs in by_technique(done, setting).items()
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


_INTRODUCTION = """\
# Regularization techniques, measured

`python -m training study` measures the techniques and keeps the results in `study.json`;
`python -m training report` writes this page from there. Each technique is one change to the
article's recipe; `combined` has them all. Their strengths are in `training/recipes.py`. All runs
see the same data in the same order, with the same seeds. Accuracies, in per cent, and losses, mean
cross-entropies, are of a run's final weights (with early stopping, those with the lowest validation
loss), without dropout or augmentation. The gap is training minus validation accuracy, in points.
± is the standard deviation over n seeds.

![Accuracies by technique](study.png)
"""


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
            "| train loss | validation loss | test loss | epochs | minutes |",
            "|---|" + "---:|" * 10,
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
        spread([r.seconds / 60 for r in results], digits=1),
    ]
    return f"| {' | '.join(cells)} |"
