"""Compare a recipe's variants on one model.

Results are kept in a file, so an interrupted study resumes after its last finished run, even on
another machine. Within a run, `training.runs.checkpoints` resumes after the last epoch. Several
processes can share a study: each trains runs that no other process trains.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from models.measurements import Score
from models.study import Result, Setting
from training.data import Dataset, Split
from training.files import InUseError, check_writable, locked, write_text
from training.measure.evaluate import score
from training.measure.predict import predict_keras
from training.networks.recipes import Recipe
from training.report.report import write_study_page
from training.report.results import Comparison
from training.runs.checkpoints import Plan, Run, RunFolder
from training.runs.noise import training_part
from training.runs.train import load_trained_model, train


def study(
    setting: Setting,
    comparison: Comparison,
    names: Sequence[str],
    seeds: Iterable[int],
    dataset: Dataset,
    *,
    runs_dir: Path,
    models_dir: Path,
    tensorboard: bool = False,
) -> None:
    """Train, evaluate and record the named variants' runs that `models_dir` does not have yet.

    Results and runs whose hyperparameters differ from the recipe's are replaced. Runs that another
    process is training are skipped.
    """
    check_writable(models_dir)
    for seed in seeds:
        for recipe in (comparison.variants[setting.model][name] for name in names):
            if _is_recorded(setting, recipe, seed, comparison, models_dir):
                continue
            study_dir = f"{comparison.name}-{setting.model}-{setting.epochs}-{setting.precision}"
            folder = RunFolder(runs_dir / study_dir / f"{recipe.name}-{seed}")
            plan = Plan(setting.model, recipe, setting.epochs, folder, seed, setting.precision)
            print(f"{setting.model}, {recipe.name}, seed {seed}: training in {folder}", flush=True)
            known = folder.read()
            outdated = known is not None and not recipe.matches(known.hyperparameters)
            try:
                run = train(plan, dataset, fresh=outdated, tensorboard=tensorboard)
            except InUseError:
                print(f"{folder}: another process is training it", flush=True)
                continue
            add_result(_evaluate(setting, plan, run, dataset), comparison, models_dir)


def add_result(result: Result, comparison: Comparison, models_dir: Path) -> None:
    """Add a result to its file, or replace the earlier one, and write the page."""
    with locked(models_dir, wait=True):
        done = comparison.read(models_dir)
        done.results = [other for other in done.results if other.key != result.key] + [result]
        write_text(models_dir / f"{comparison.name}.json", done.model_dump_json(indent=1) + "\n")
        write_study_page(models_dir, comparison)


def _is_recorded(
    setting: Setting, recipe: Recipe, seed: int, comparison: Comparison, models_dir: Path
) -> bool:
    # Read before each run, because another process may have added a result.
    return any(
        result.key == (setting, recipe.name, seed) and recipe.matches(result.hyperparameters)
        for result in comparison.read(models_dir).results
    )


def _evaluate(setting: Setting, plan: Plan, run: Run, dataset: Dataset) -> Result:
    model = load_trained_model(run, plan, dataset.task)

    def evaluate(split: Split) -> Score:
        return score(predict_keras(model, split.images), split.labels)

    part = training_part(plan.recipe, dataset, run.seed)
    return Result(
        setting=setting,
        technique=plan.recipe.name,
        hyperparameters=run.hyperparameters,
        seed=run.seed,
        epochs_completed=len(run.history),
        seconds=sum(epoch.seconds for epoch in run.history),
        backend=run.backend,
        device=run.device,
        parts=run.parts,
        history=run.history,
        parameters=model.count_params(),
        memorization=part.memorization(model, len(part.true_labels)),
        running_train_accuracy=run.history[-1].accuracy,
        train=evaluate(part.images),
        validation=evaluate(dataset.validation),
        test=evaluate(dataset.test),
        losses_clipped=False,
    )
