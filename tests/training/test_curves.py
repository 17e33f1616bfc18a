"""The curves that a training writes for TensorBoard."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import pytest
from click.testing import Result
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

from training.config import Config
from training.data import Dataset
from training.pipeline import train_model
from training.runs.checkpoints import RunFolder


def curve(folder: Path, name: str) -> dict[int, float]:
    """Return a curve's values by epoch, from 0, of all event files in a folder."""
    events = EventAccumulator(str(folder)).Reload().Tensors(name)
    return {event.step: make_ndarray(event.tensor_proto).item() for event in events}


def test_a_resumed_run_continues_the_curves_and_a_fresh_one_starts_new(
    tiny: Dataset, tmp_path: Path
) -> None:
    if keras.backend.backend() != "tensorflow":
        pytest.skip("only TensorFlow writes event files")
    config = Config("first", epochs=1, runs_dir=tmp_path)
    folder = config.run_dir / "tensorboard"
    train_model(config, tiny)
    train_model(replace(config, epochs=2), tiny)
    run = RunFolder(config.run_dir).read()
    assert run
    for part, name in (("train", ""), ("validation", "val_")):
        for measure in ("loss", "accuracy"):
            recorded = [getattr(epoch, name + measure) for epoch in run.history]
            found = curve(folder / part, f"epoch_{measure}")
            assert found == pytest.approx(dict(enumerate(recorded)))

    train_model(config, tiny, fresh=True)
    assert list(curve(folder / "train", "epoch_loss")) == [0]


def test_event_files_can_be_left_out(command: Callable[..., Result], tmp_path: Path) -> None:
    options = ("train", "--model", "first", "--epochs", "1", "--runs-dir", str(tmp_path))
    assert command(*options, "--no-tensorboard").exit_code == 0
    run_dir = tmp_path / "first" / "1"
    assert RunFolder(run_dir).read()
    assert not (run_dir / "tensorboard").exists()
