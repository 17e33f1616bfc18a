"""Bundled versions that are trained further without the run folder that made them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.record import MODEL_FILE, Record
from training.architectures import build
from training.checkpoints import read_run
from training.data import Cifar10
from training.export import export
from training.extend import ExtendError
from training.pipeline import Config, export_model, extend_bundled, train_model
from training.recipes import IMPROVED, RECIPES
from training.train import compile_model, steps_per_epoch


def test_a_bundled_version_is_trained_further(
    tiny: Cifar10, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With BatchNorm, which an exported file holds in another form.
    recipe = replace(IMPROVED["first"], batch_normalization=True)
    monkeypatch.setitem(RECIPES, "improved", {"first": recipe})
    runs, elsewhere, models = tmp_path / "runs", tmp_path / "elsewhere", tmp_path / "models"
    config = Config("first", "improved", 1, 7, "float32", runs, models)
    with pytest.raises(ExtendError, match=r"first/2 holds no version to extend; .* without"):
        extend_bundled(config, tiny)
    train_model(config, tiny)
    bundled = export_model(config, tiny)
    with pytest.raises(ExtendError, match="trained for 1 epochs; extend it to more"):
        extend_bundled(replace(config, runs_dir=elsewhere), tiny)

    longer = replace(config, epochs=2, runs_dir=elsewhere)
    extend_bundled(longer, tiny)
    begun = read_run(longer.run_dir)
    assert begun
    assert (begun.history, begun.extended_after) == (bundled.history, [1])
    run = train_model(longer, tiny)
    assert run.history[0] == bundled.history[0]
    assert (len(run.history), run.seed, run.extended_after) == (2, 7, [1])
    extend_bundled(longer, tiny)  # the same command after a kill: the run stays
    assert read_run(longer.run_dir) == run

    record = Record.model_validate(export_model(longer, tiny))
    assert record.epochs_completed == 2
    assert record.provenance
    assert record.provenance.extended_after == [1]
    assert [(part.first_epoch, part.last_epoch) for part in record.provenance.parts] == [(1, 2)]
    options = "--model first --recipe improved --epochs {} --seed 7 --precision float32"
    assert record.provenance.command == (
        f"python -m training {options.format(1)} && "
        f"python -m training {options.format(2)} --extend --fresh"
    )


def test_a_file_of_another_network_is_not_extended(tiny: Cifar10, tmp_path: Path) -> None:
    config = Config("first", "improved", 1, runs_dir=tmp_path, models_dir=tmp_path / "models")
    train_model(config, tiny)
    export_model(config, tiny)
    second = export(build("second", IMPROVED["second"]))
    (config.folder / MODEL_FILE).write_bytes(second)
    before = read_run(config.run_dir)
    with pytest.raises(ExtendError, match=r"model\.onnx is not of the improved recipe's network"):
        extend_bundled(replace(config, epochs=2), tiny, fresh=True)
    assert read_run(config.run_dir) == before


def test_a_new_optimizer_goes_on_along_the_longer_schedule(tiny: Cifar10) -> None:
    recipe = IMPROVED["first"]
    steps = steps_per_epoch(recipe, tiny.train)

    def rates(trained: int) -> list[float]:
        model = compile_model("first", recipe, "float32", steps=steps, epochs=10, trained=trained)
        schedule = model.optimizer._learning_rate  # what it takes at a step, before it is there
        return [float(schedule(step)) for step in range((10 - trained) * steps)]

    np.testing.assert_allclose(rates(4), rates(0)[4 * steps :], rtol=1e-6)
