"""A tiny study for real: every technique trains, and an interrupted study resumes."""

from pathlib import Path

import keras
import pytest

from models.study import Setting, read_study
from training.architectures import build
from training.data import Cifar10
from training.recipes import ARTICLE, TECHNIQUES
from training.study import study
from training.train import train

SETTING = Setting(model="first", epochs=2, precision="float32")


def test_an_interrupted_study_resumes(
    tiny: Cifar10, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, runs = tmp_path / "models", tmp_path / "runs"
    trained: list[str] = []

    def run(seeds: range) -> None:
        study(SETTING, TECHNIQUES.values(), seeds, tiny, runs_dir=runs, models_dir=models)

    def train_and_count(name: str, recipe: object, *args: object, **kwargs: object) -> object:
        if len(trained) == 4:
            raise KeyboardInterrupt
        trained.append(recipe.name)  # type: ignore[attr-defined]
        return train(name, recipe, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr("training.study.train", train_and_count)
    with pytest.raises(KeyboardInterrupt):
        run(range(1))
    assert [r.technique for r in read_study(models).results] == trained
    monkeypatch.setattr("training.study.train", train)
    run(range(1))
    run(range(1))  # finds nothing left to do

    results = read_study(models).results
    assert [r.technique for r in results] == list(TECHNIQUES)
    assert all(r.epochs_completed == 2 for r in results)
    table = (models / "STUDY.md").read_text()
    for result in results:
        [row] = [line for line in table.splitlines() if line.startswith(f"| {result.technique} ")]
        assert f" {100 * result.test.accuracy:.2f} |" in row
    assert (models / "study.png").stat().st_size


def test_early_stopping_keeps_the_best_epoch(tiny: Cifar10, tmp_path: Path) -> None:
    recipe = TECHNIQUES["early-stopping"]
    run = train(
        "first", recipe, tiny.train, epochs=40, seed=0, precision="float32", run_dir=tmp_path
    )
    losses = [epoch.val_loss for epoch in run.history]
    best = losses.index(min(losses)) + 1
    assert recipe.early_stopping
    assert len(losses) == best + recipe.early_stopping < 40
    assert {path.name for path in tmp_path.glob("*.h5")} == {
        f"epoch-{best}.weights.h5",
        f"epoch-{len(losses)}.weights.h5",
    }


def test_techniques_are_in_the_network_once() -> None:
    combined = build("first", TECHNIQUES["combined"])
    kinds = [type(layer) for layer in combined.layers]
    assert kinds.count(keras.layers.BatchNormalization) == 3
    assert kinds.count(keras.layers.Dropout) == 4
    assert kinds[:3] == [
        keras.layers.RandomFlip,
        keras.layers.RandomTranslation,
        keras.layers.Rescaling,
    ]
    # `final` has its own dropout; the technique adds none to it.
    assert len(build("final", TECHNIQUES["dropout"]).layers) == len(
        build("final", ARTICLE["final"]).layers
    )
