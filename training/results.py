"""The form of study.json, and the table and plot that show it."""

from pathlib import Path
from statistics import mean, stdev

from pydantic import BaseModel, JsonValue

from models.record import Score
from training.recipes import COUNTERMEASURES

STUDY_FILE = "study.json"
PLOT_FILE = "study.png"
TABLE_FILE = "STUDY.md"


class Setting(BaseModel, frozen=True):
    """What the variants that are compared with each other share."""

    model: str
    epochs: int  # asked for
    precision: str

    @property
    def title(self) -> str:
        """A line for headings."""
        return f"{self.model}, {self.epochs} epochs, {self.precision}"


class Result(BaseModel):
    """One finished run; scores are of its final weights, without dropout or augmentation."""

    setting: Setting
    countermeasure: str
    hyperparameters: dict[str, JsonValue]  # the recipe's
    seed: int
    epochs_completed: int
    seconds: float
    backend: str
    device: str
    train: Score
    validation: Score
    test: Score

    @property
    def key(self) -> tuple[Setting, str, int]:
        """What tells this result from others."""
        return self.setting, self.countermeasure, self.seed

    @property
    def gap(self) -> float:
        """Generalization gap: train minus validation accuracy."""
        return self.train.accuracy - self.validation.accuracy


class Study(BaseModel):
    """What `study.json` holds."""

    results: list[Result] = []

    @property
    def settings(self) -> list[Setting]:
        """Each setting once, in the order of its first result."""
        return list(dict.fromkeys(result.setting for result in self.results))

    def by_countermeasure(self, setting: Setting) -> dict[str, list[Result]]:
        """Return a setting's results, in the order of `COUNTERMEASURES`."""
        found = {
            name: [r for r in self.results if (r.setting, r.countermeasure) == (setting, name)]
            for name in COUNTERMEASURES
        }
        return {name: results for name, results in found.items() if results}


def read_study(models_dir: Path) -> Study:
    """Return the study so far; an empty one if there is none."""
    try:
        return Study.model_validate_json((models_dir / STUDY_FILE).read_bytes())
    except FileNotFoundError:
        return Study()


def study_table(done: Study) -> str:
    """Return STUDY.md."""
    sections = [_section(setting, done.by_countermeasure(setting)) for setting in done.settings]
    return "\n".join([_INTRODUCTION, *sections])


def study_accuracies(done: Study) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Return an accuracy for each seed, by setting, set and countermeasure."""
    return {
        setting.title: {
            title: {
                name: [getattr(run, of_set).accuracy for run in runs]
                for name, runs in done.by_countermeasure(setting).items()
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
    """Return the mean, and the standard deviation where there is more than one value."""
    text = f"{mean(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ± {stdev(values):.{digits}f}"


_INTRODUCTION = """\
# Countermeasures to overfitting, measured

Measured by `python -m training study`, which keeps its figures in `study.json`; this page is made
of them by `python -m training report`. Every variant is the
article's recipe and one change, `together` all of them; `training/recipes.py` gives their
strengths. The same data in the same order, the same seeds. Scores are of the weights that a run
ends with (with early stopping, those of the lowest validation loss), without dropout or
augmentation, in per cent; loss is the mean cross-entropy. Gap is train minus validation accuracy,
in points. ± is the standard deviation over n seeds.

![Accuracies by countermeasure](study.png)
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
            "| countermeasure | n | train | validation | test | gap "
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
