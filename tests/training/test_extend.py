"""Bundled versions that are trained further without the run folder that made them."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.bundle import MODEL_FILE, BundleError, read_record
from models.record import Extension
from tests.helpers import ROOT, replace_model
from training import TrainingError
from training.config import Config
from training.data import Dataset
from training.data.cifar10 import TASK
from training.measure.predict import predict_with_logits
from training.networks.recipes import IMPROVED, RECIPES
from training.pipeline import export_model, extend_bundled, train_model, train_models
from training.report.model_card import model_card
from training.runs.checkpoints import Plan, RunFolder
from training.runs.extend import ExtendError
from training.runs.train import compile_model, load_trained_model, steps_per_epoch

ONE_OF_ONE = Extension(after=1, planned=1)


# With BatchNorm, which an exported file holds in another form.
RECIPE = replace(IMPROVED["first"], batch_normalization=True)


@pytest.fixture(autouse=True, scope="module")
def _recipe() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, "improved", {"first": RECIPE})
        yield


@pytest.fixture(scope="module")
def original(tiny: Dataset, tmp_path_factory: pytest.TempPathFactory, _recipe: None) -> Config:
    """What has been trained for an epoch, and bundled."""
    folder: Path = tmp_path_factory.mktemp("original")
    config = Config("first", "improved", 1, 7, "float32", folder / "runs", folder / "models")
    train_model(config, tiny)
    export_model(config, tiny)
    return config


@pytest.fixture
def config(original: Config, tmp_path: Path) -> Config:
    """The same, in folders of the test's own."""
    shutil.copytree(original.models_dir, tmp_path / "models")
    shutil.copytree(original.runs_dir, tmp_path / "runs")
    return replace(original, runs_dir=tmp_path / "runs", models_dir=tmp_path / "models")


def test_a_bundled_version_is_trained_further(
    tiny: Dataset, tmp_path: Path, config: Config
) -> None:
    bundled = read_record(config.folder)
    longer = replace(config, epochs=2, runs_dir=tmp_path / "elsewhere")
    nothing = replace(longer, models_dir=tmp_path / "empty")
    with pytest.raises(ExtendError, match=r"first/2 holds no version to extend; .* without"):
        extend_bundled(nothing, tiny)
    extend_bundled(longer, tiny)
    begun = RunFolder(longer.run_dir).read()
    assert begun
    assert (begun.history, begun.extensions) == (bundled.history, [ONE_OF_ONE])
    _, logits = predict_with_logits((longer.folder / MODEL_FILE).read_bytes(), tiny.test.images)
    network = load_trained_model(begun, longer.plan(tiny), TASK)
    found = network.predict(tiny.test.images.astype("float32"), verbose=0)
    np.testing.assert_allclose(found, logits * (bundled.temperature or 1), atol=1e-3)
    with pytest.raises(TrainingError, match="no finished epoch beyond those of"):
        export_model(longer, tiny)

    train_models([longer], tiny, extend=True)  # the same command again, after a kill
    run = RunFolder(longer.run_dir).read()
    assert run
    assert run.history[0] == bundled.history[0]
    assert (len(run.history), run.seed, run.extensions) == (2, 7, [ONE_OF_ONE])
    record = export_model(longer, tiny)
    assert record.epochs_completed == 2
    assert record.extensions == [ONE_OF_ONE]
    assert record.provenance
    assert [(part.first_epoch, part.last_epoch) for part in record.provenance.parts] == [(1, 2)]
    assert record.provenance.command == (
        "python -m training train --model first --recipe improved --epochs 1 --seed 7 "
        "--precision float32 && python -m training export --model first --recipe improved && "
        "python -m training train --model first --recipe improved --epochs 2 --seed 7 "
        "--precision float32 --extend --fresh"
    )
    assert "was trained for 1 of 1 planned epochs, then extended" in model_card([record])


def test_what_cannot_be_extended_is_left_as_it_was(tiny: Dataset, config: Config) -> None:
    before = RunFolder(config.run_dir).read()
    longer = replace(config, epochs=2)
    with pytest.raises(ExtendError, match=r"a run that does not extend .* --fresh"):
        extend_bundled(longer, tiny)
    for wrong, words in (
        (replace(longer, epochs=1), "has 1 epochs; use a larger --epochs"),
        (replace(longer, seed=1), "trained with --seed 7"),
        (replace(longer, precision="mixed_bfloat16"), "trained with --precision float32"),
    ):
        with pytest.raises(ExtendError, match=words):
            extend_bundled(wrong, tiny, fresh=True)
    path = config.folder / MODEL_FILE
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(BundleError, match=r"model\.onnx does not match the SHA-256"):
        extend_bundled(longer, tiny, fresh=True)
    replace_model(config.folder, (ROOT / "models/second/2" / MODEL_FILE).read_bytes())
    with pytest.raises(
        ExtendError, match=r"model\.onnx does not match the improved recipe's architecture"
    ):
        extend_bundled(longer, tiny, fresh=True)
    assert RunFolder(config.run_dir).read() == before


def test_a_new_optimizer_follows_the_longer_schedule(tiny: Dataset) -> None:
    plan = Plan("first", RECIPE, 10, RunFolder(Path()))
    steps = steps_per_epoch(RECIPE, tiny)

    def rates(trained: int) -> list[float]:
        model = compile_model(plan, tiny, trained)
        schedule = model.optimizer._learning_rate  # `learning_rate` is its value at this step
        return [float(schedule(step)) for step in range((10 - trained) * steps)]

    np.testing.assert_allclose(rates(4), rates(0)[4 * steps :], rtol=1e-6)
