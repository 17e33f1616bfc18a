"""A recipe's variants, measured against each other on one model.

Results are kept in a file, so an interrupted study resumes after its last finished run, even
on another machine; within a run, `training.checkpoints` does the same by epoch.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from models.record import Score
from models.study import Result, Setting, Study, read_study
from training.checkpoints import Run
from training.data import Cifar10, Split
from training.evaluate import predict_keras, score
from training.files import check_writable, write_text
from training.recipes import Recipe
from training.report import write_study_page
from training.results import Comparison
from training.train import load_trained_model, train


def study(
    setting: Setting,
    compared: Comparison,
    names: Sequence[str],
    seeds: Iterable[int],
    cifar10: Cifar10,
    *,
    runs_dir: Path,
    models_dir: Path,
) -> Study:
    """Train, evaluate and record the named variants' runs that `models_dir` does not hold yet.

    A result whose hyperparameters differ from the recipe's is replaced.
    """
    check_writable(models_dir)
    done = read_study(models_dir / compared.file)
    for seed in seeds:
        for recipe in (compared.variants[name] for name in names):
            key = (setting, recipe.name, seed)
            earlier = next((result for result in done.results if result.key == key), None)
            if earlier and recipe.matches(earlier.hyperparameters):
                continue
            run_dir = (
                runs_dir
                / f"{Path(compared.file).stem}-{setting.model}-{setting.epochs}-{setting.precision}"
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
            write_study(done, compared, models_dir)
    return done


def write_study(done: Study, compared: Comparison, models_dir: Path) -> None:
    """Write the results atomically, and the page that shows them."""
    write_text(models_dir / compared.file, done.model_dump_json(indent=1) + "\n")
    write_study_page(models_dir, compared)


def _evaluate(
    setting: Setting, recipe: Recipe, run: Run, run_dir: Path, cifar10: Cifar10
) -> Result:
    model = load_trained_model(run, recipe, run_dir)

    def evaluate(split: Split) -> Score:
        return score(predict_keras(model, split.images), split.labels)

    training, validation = cifar10.train.split_at(1 - recipe.validation_split)
    return Result(
        setting=setting,
        technique=recipe.name,
        hyperparameters=run.hyperparameters,
        seed=run.seed,
        epochs_completed=len(run.history),
        seconds=sum(epoch.seconds for epoch in run.history),
        backend=run.backend,
        device=run.device,
        running_train_accuracy=run.history[-1].accuracy,
        train=evaluate(training),
        validation=evaluate(validation),
        test=evaluate(cifar10.test),
    )
