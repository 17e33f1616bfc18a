"""A tiny study for real: every technique trains, and an interrupted study resumes."""

import shutil
from dataclasses import replace
from pathlib import Path
from statistics import median_low

import numpy as np
import pytest
from click.testing import CliRunner

from models.bundle import read_record
from models.measurements import Score
from models.study import (
    BASELINE,
    STUDY_FILE,
    Compared,
    Result,
    Setting,
    Study,
    read_study,
)
from tests.helpers import ROOT
from training.__main__ import main
from training.config import Config
from training.data import Dataset
from training.data.cifar10 import TASK
from training.files import locked
from training.networks.recipes import ARTICLE, EXPERIMENTS, TECHNIQUES
from training.report.report import check_report
from training.report.results import COMPARISONS
from training.runs.batches import Batches
from training.runs.checkpoints import Plan, RunFolder
from training.runs.noise import training_part
from training.runs.strategy import ALONE
from training.runs.study import add_result, study
from training.runs.train import compile_model, load_trained_model, train

SETTING = Setting(model="first", epochs=1, precision="float32")
FIRST = TECHNIQUES["first"]


def result_of(technique: str, seed: int = 0) -> Result:
    """Return the result of a run that never was."""
    score = Score(loss=1, accuracy=0.5)
    return Result(
        setting=SETTING,
        technique=technique,
        hyperparameters=FIRST[technique].hyperparameters,
        seed=seed,
        epochs_completed=SETTING.epochs,
        seconds=1,
        backend="tensorflow",
        device="CPU",
        train=score,
        validation=score,
        test=score,
    )


def test_an_interrupted_study_resumes_beside_another_process(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [BASELINE, "dropout", "l2"]
    runs = tmp_path / "runs"

    def run(names: list[str]) -> list[str]:
        compared = COMPARISONS["article"]
        study(SETTING, compared, names, range(1), tiny, runs_dir=runs, models_dir=tmp_path)
        return recorded()

    def recorded() -> list[str]:
        return [result.technique for result in read_study(tmp_path / STUDY_FILE).results]

    def train_beside_another(plan: Plan, *args: object, **kwargs: object) -> object:
        """Train the baseline, while another process finishes dropout; then press Ctrl-C."""
        if plan.recipe.name == "l2":
            raise KeyboardInterrupt
        with monkeypatch.context() as patch:
            patch.setattr("training.runs.study.train", train)
            result = train(plan, *args, **kwargs)  # type: ignore[arg-type]
            run(["dropout"])
        return result

    with monkeypatch.context() as patch:
        patch.setattr("training.runs.study.train", train_beside_another)
        with pytest.raises(KeyboardInterrupt):
            run(names)
        assert recorded() == ["dropout", BASELINE]
    with locked(runs / "study-first-1-float32" / "l2-0"):  # as another process does that trains it
        assert run(names) == ["dropout", BASELINE]
    assert run(names) == ["dropout", BASELINE, "l2"]
    monkeypatch.setattr("training.runs.study.train", None)
    run(names)  # finds nothing left to do

    table = (tmp_path / "STUDY.md").read_text()
    for result in read_study(tmp_path / STUDY_FILE).results:
        assert result.epochs_completed == SETTING.epochs
        [row] = [line for line in table.splitlines() if line.startswith(f"| {result.technique} ")]
        assert f" {100 * result.test.accuracy:.2f} |" in row
    assert "clipped at 16.1" not in table
    assert (tmp_path / "study.png").stat().st_size


def test_ablations_are_kept_beside_the_study(tiny: Dataset, tmp_path: Path) -> None:
    names = ["baseline", "mixup"]
    compared = COMPARISONS["improved"]
    study(SETTING, compared, names, range(1), tiny, runs_dir=tmp_path / "runs", models_dir=tmp_path)
    baseline, mixup = read_study(tmp_path / "ablations.json").results
    assert [part.last_epoch for part in baseline.parts] == [baseline.epochs_completed]
    assert [baseline.technique, mixup.technique] == names
    assert mixup.hyperparameters == {**baseline.hyperparameters, "mixup": 0.2}
    assert mixup.train != baseline.train
    assert f"| {100 * mixup.test.accuracy:.2f} |" in (tmp_path / "ABLATIONS.md").read_text()
    assert not (tmp_path / STUDY_FILE).exists()
    check_report(tmp_path)


def test_early_stopping_keeps_the_best_epoch(tiny: Dataset, tmp_path: Path) -> None:
    patience = 2
    recipe = replace(FIRST["early-stopping"], early_stopping=patience)
    run = train(Plan("first", recipe, 40, RunFolder(tmp_path)), tiny)
    losses = [epoch.val_loss for epoch in run.history]
    best = losses.index(min(losses)) + 1
    assert len(losses) == best + patience < 40
    assert {path.name for path in tmp_path.glob("*.h5")} == {
        f"epoch-{best}.weights.h5",
        f"epoch-{len(losses)}.weights.h5",
    }


@pytest.mark.parametrize("technique", list(FIRST))
def test_every_technique_trains(tiny: Dataset, technique: str) -> None:
    model = compile_model(Plan("first", FIRST[technique], 1, RunFolder(Path())), tiny)
    model.run_eagerly = True  # a graph would be compiled, and used once
    kernel = model.layers[-1].kernel
    before = kernel.numpy()
    images, labels = tiny.train.images[:32].astype(np.float32), tiny.train.labels[:32]
    targets = np.eye(10)[labels] if FIRST[technique].has_soft_targets else labels
    assert np.isfinite(model.train_on_batch(images, targets)).all()
    assert (kernel.numpy() != before).any()


def test_results_from_before_a_hyperparameter_still_count(tiny: Dataset, tmp_path: Path) -> None:
    compared = COMPARISONS["article"]
    result = result_of(BASELINE)
    del result.hyperparameters["own_dropout"]
    add_result(result, compared, tmp_path)
    runs = tmp_path / "runs"
    study(SETTING, compared, [BASELINE], range(1), tiny, runs_dir=runs, models_dir=tmp_path)
    assert read_study(tmp_path / STUDY_FILE).results == [result]
    assert not runs.exists()


def test_a_run_and_a_result_of_an_earlier_recipe_are_replaced(
    tiny: Dataset, tmp_path: Path, trained: Config
) -> None:
    runs = tmp_path / "study-runs"
    shutil.copytree(trained.run_dir, runs / "study-first-1-float32" / "l2-0")
    earlier = result_of("l2")
    earlier.hyperparameters["l2"] = 0.5
    compared = COMPARISONS["article"]
    add_result(earlier, compared, tmp_path)
    study(SETTING, compared, ["l2"], range(1), tiny, runs_dir=runs, models_dir=tmp_path)
    [later] = read_study(tmp_path / STUDY_FILE).results
    assert later.hyperparameters == FIRST["l2"].hyperparameters
    assert later.test != earlier.test


def test_only_seeds_that_all_variants_have_are_compared(tmp_path: Path) -> None:
    done = Study(
        results=[
            result_of(technique, seed)
            for technique, seeds in {
                BASELINE: (0, 1, 2),
                "dropout": (1, 2),
                "l2": (2, 1, 4),
            }.items()
            for seed in seeds
        ]
    )
    gone = done.results[0].model_copy(update={"technique": "no longer a variant", "seed": 9})
    changed = done.results[0].model_copy(update={"hyperparameters": {"l2": 0.5}, "seed": 1})
    earlier = Study(results=[*done.results, gone, changed])
    (tmp_path / STUDY_FILE).write_text(earlier.model_dump_json())
    assert COMPARISONS["article"].read_current(tmp_path) == done
    [compared] = done.compared
    assert compared == Compared(setting=SETTING, seeds=[1, 2])
    for runs in COMPARISONS["article"].by_variant(done, compared).values():
        assert {run.seed for run in runs} == {1, 2}


def test_a_damaged_file_of_results_is_named(tmp_path: Path) -> None:
    (tmp_path / STUDY_FILE).write_text('{"results": [{}]}')
    result = CliRunner().invoke(main, ["report", "--models-dir", str(tmp_path)])
    assert result.exit_code == 1
    assert f"{tmp_path / STUDY_FILE} is not valid" in result.output


@pytest.mark.parametrize("model", ["first", "second"])  # one run of final takes hours
def test_version_1_has_the_seed_with_the_median_validation_accuracy(model: str) -> None:
    record = read_record(ROOT / "models" / model / "1")
    assert record.epochs is not None
    assert record.seed is not None
    accuracies = {
        result.seed: result.validation.accuracy
        for result in read_study(ROOT / "models" / STUDY_FILE).results
        if result.technique == BASELINE
        and result.setting
        == Setting(model=record.name, epochs=record.epochs, precision=record.precision)
    }
    assert len(accuracies) == 5
    assert accuracies[record.seed] == median_low(accuracies.values())


def test_random_labels_are_told_from_true_ones(tiny: Dataset) -> None:
    recipe = EXPERIMENTS["random-labels"]["first"]["random-50"]
    part = training_part(recipe, tiny, seed=1)
    before = tiny.train
    np.testing.assert_array_equal(part.true_labels, before.labels)
    changed = part.images.labels != before.labels
    assert part.is_noisy.mean() == pytest.approx(0.5, abs=0.01)
    assert not changed[~part.is_noisy].any()
    assert changed[part.is_noisy].mean() > 0.7  # one in ten is true by chance
    other = training_part(recipe, tiny, seed=2)
    assert (other.images.labels != part.images.labels).any()
    np.testing.assert_array_equal(
        training_part(recipe, tiny, seed=1).images.labels, part.images.labels
    )


def test_fewer_images_get_as_many_updates(tiny: Dataset, tmp_path: Path) -> None:
    whole = tiny.train
    images = len(whole.labels) // 4
    recipe = replace(ARTICLE["first"], training_images=images, label_noise=0.5)
    part = training_part(recipe, tiny, seed=0)
    counts = np.bincount(part.true_labels, minlength=10)
    assert set(counts) == {images // 10}
    plan = Plan("first", recipe, 1, RunFolder(tmp_path))
    run = train(plan, tiny)
    trained = load_trained_model(run, plan, TASK)
    trained.compile(optimizer="adam")
    [epoch] = run.history
    assert epoch.memorization == part.memorization(trained)
    batches = Batches(
        part.images.images, part.images.labels, 16, ALONE, shuffle=True, examples=part.examples
    )
    assert sum(len(batches[i][1]) for i in range(len(batches))) == len(whole.labels)
    assert set(np.bincount(batches.order)) == {4, 5}  # 256 examples of 60 images
