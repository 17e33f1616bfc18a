"""Each countermeasure to overfitting, measured alone and together on one model.

Results are kept in `study.json`, so that a study goes on where it was interrupted, run by run,
also on another machine; the checkpoints inside a run are `training.train`'s.
"""

from collections.abc import Iterable
from pathlib import Path
from statistics import mean, stdev

from pydantic import BaseModel, JsonValue

from models.record import Score
from training import plots
from training.data import Cifar10, Split
from training.evaluate import predict_keras, score
from training.files import write_text
from training.recipes import COUNTERMEASURES, Recipe
from training.train import Run, hyperparameters, load_trained_model, train

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
        """Generalisation gap: train minus validation accuracy."""
        return self.train.accuracy - self.validation.accuracy


class Study(BaseModel):
    """What `study.json` holds."""

    results: list[Result] = []

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


def study(
    setting: Setting,
    recipes: Iterable[Recipe],
    seeds: Iterable[int],
    cifar10: Cifar10,
    *,
    runs_dir: Path,
    models_dir: Path,
) -> Study:
    """Train, evaluate and record what of this is not in `models_dir` yet.

    A result of other hyperparameters than the recipe has now is replaced.
    """
    recipes = list(recipes)
    done = read_study(models_dir)
    for seed in seeds:
        for recipe in recipes:
            key = (setting, recipe.name, seed)
            earlier = next((result for result in done.results if result.key == key), None)
            if earlier and earlier.hyperparameters == hyperparameters(recipe):
                continue
            run_dir = (
                runs_dir
                / f"study-{setting.model}-{setting.epochs}-{setting.precision}"
                / f"{recipe.name}-{seed}"
            )
            print(f"{setting.model}, {recipe.name}, seed {seed}: training in {run_dir}", flush=True)
            run = train(
                setting.model,
                recipe,
                cifar10.train,
                epochs=setting.epochs,
                seed=seed,
                precision=setting.precision,
                run_dir=run_dir,
            )
            result = _evaluate(setting, recipe, run, run_dir, cifar10)
            done.results = [other for other in done.results if other.key != key] + [result]
            write_study(done, models_dir)
    return done


def write_study(done: Study, models_dir: Path) -> None:
    """Write the results, the table and the plot; the results in one step."""
    models_dir.mkdir(parents=True, exist_ok=True)
    write_text(models_dir / STUDY_FILE, done.model_dump_json(indent=1) + "\n")
    settings = dict.fromkeys(result.setting for result in done.results)
    results = {setting: done.by_countermeasure(setting) for setting in settings}
    sections = [_section(setting, of_setting) for setting, of_setting in results.items()]
    write_text(models_dir / TABLE_FILE, "\n".join([_INTRODUCTION, *sections]))
    plots.study(
        {setting.title: _accuracies(of_setting) for setting, of_setting in results.items()},
        models_dir / PLOT_FILE,
    )


def _accuracies(results: dict[str, list[Result]]) -> dict[str, dict[str, list[float]]]:
    return {
        "training": {name: [r.train.accuracy for r in runs] for name, runs in results.items()},
        "validation": {
            name: [r.validation.accuracy for r in runs] for name, runs in results.items()
        },
        "test": {name: [r.test.accuracy for r in runs] for name, runs in results.items()},
    }


def _evaluate(
    setting: Setting, recipe: Recipe, run: Run, run_dir: Path, cifar10: Cifar10
) -> Result:
    model = load_trained_model(run, recipe, run_dir)

    def evaluate(split: Split) -> Score:
        return score(predict_keras(model, split.images), split.labels)

    training, validation = cifar10.train.split_at(1 - recipe.validation_split)
    return Result(
        setting=setting,
        countermeasure=recipe.name,
        hyperparameters=run.hyperparameters,
        seed=run.seed,
        epochs_completed=len(run.history),
        seconds=sum(epoch.seconds for epoch in run.history),
        backend=run.backend,
        device=run.device,
        train=evaluate(training),
        validation=evaluate(validation),
        test=evaluate(cifar10.test),
    )


_INTRODUCTION = """\
# Countermeasures to overfitting, measured

Made by `python -m training study`; the figures behind it are in `study.json`. Every variant is the
article's recipe and one change, `together` all of them; `training/recipes.py` gives their
strengths. The same data in the same order, the same seeds. Scores are of the weights that a run
ends with (with early stopping, those of the lowest validation loss), without dropout or
augmentation, in per cent; loss is the mean cross-entropy. Gap is train minus validation accuracy,
in points. ± is the standard deviation over the seeds.

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
            "| countermeasure | seeds | train | validation | test | gap "
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
        _spread([100 * r.train.accuracy for r in results]),
        _spread([100 * r.validation.accuracy for r in results]),
        _spread([100 * r.test.accuracy for r in results]),
        _spread([100 * r.gap for r in results]),
        _spread([r.train.loss for r in results], digits=3),
        _spread([r.validation.loss for r in results], digits=3),
        _spread([r.test.loss for r in results], digits=3),
        _spread([float(r.epochs_completed) for r in results], digits=0),
        _spread([r.seconds / 60 for r in results], digits=1),
    ]
    return f"| {' | '.join(cells)} |"


def _spread(values: list[float], digits: int = 2) -> str:
    text = f"{mean(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ± {stdev(values):.{digits}f}"
