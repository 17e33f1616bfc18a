"""Two real workers on this machine: the same result as one, and the loss of one of them."""

import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import Result

from tests.helpers import HANG, free_port
from tests.training.generated import ENDLESS, finished_epochs, kill_after_an_epoch, start
from training import WorkerError
from training.config import Config
from training.data import Dataset
from training.pipeline import train_model
from training.runs.checkpoints import RunFolder
from training.runs.distribute import ADDRESSES, WORKER, WORKERS, Worker

needs_jax = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="needs the jax group: uv sync --group jax"
)


@pytest.mark.slow
@needs_jax
def test_two_workers_resume_match_one_and_report_a_loss(
    tiny: Dataset, trained: Config, tmp_path: Path
) -> None:
    shutil.copytree(trained.runs_dir, tmp_path / "one")
    together = {"KERAS_BACKEND": "jax", ADDRESSES: f"127.0.0.1:{free_port()}", WORKERS: "2"}
    options = ("--model", "first", "--runs-dir", str(trained.runs_dir), "--epochs", str(ENDLESS))
    first, second = (
        start("train", "--distribute", *options, **{**together, WORKER: str(worker)})
        for worker in range(2)
    )
    kill_after_an_epoch(second, trained.run_dir)
    _, errors = first.communicate(timeout=HANG)
    second.communicate()
    assert first.returncode == 1, errors
    assert "Error: a worker was lost" in errors
    assert "on each worker, the same command without --fresh resumes" in errors
    assert "Traceback" not in errors

    two = RunFolder(trained.run_dir).read()
    assert two
    last = f"epoch-{len(two.history)}.weights.h5"
    assert [path.name for path in trained.run_dir.glob("*.h5")] == [last]
    # One worker, and under another backend, makes the same of the same epochs.
    one = train_model(replace(trained, epochs=2, runs_dir=tmp_path / "one"), tiny)
    assert two.history[0] == one.history[0]
    assert two.history[1].loss == pytest.approx(one.history[1].loss, rel=1e-3)
    assert two.history[1].val_loss == pytest.approx(one.history[1].val_loss, rel=1e-2)


@needs_jax
def test_workers_that_disagree_are_refused(
    tiny: Dataset, trained: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without another worker, whose values are made up: to start two takes half a minute."""
    gathered = "jax.experimental.multihost_utils.process_allgather"
    monkeypatch.setattr(gathered, lambda value: np.stack([value, value + 1]))
    two = SimpleNamespace(data_shard_id=0, num_processes=2, num_model_replicas=2)
    monkeypatch.setattr("keras.distribution.distribution", lambda: two)
    with pytest.raises(WorkerError, match="the workers disagree: hash_of_model_recipe_and_images"):
        train_model(replace(trained, epochs=2), tiny, fresh=True, strategy=Worker())
    assert finished_epochs(trained.run_dir) == 1


@pytest.mark.parametrize(
    ("backend", "message"),
    [("tensorflow", "set KERAS_BACKEND=jax"), ("jax", f"--distribute needs {WORKER}: set ")],
)
def test_what_is_not_set_up_is_refused(
    command: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    backend: str,
    message: str,
) -> None:
    monkeypatch.setattr("keras.backend.backend", lambda: backend)
    monkeypatch.setenv(ADDRESSES, "127.0.0.1:1")
    monkeypatch.setenv(WORKERS, "2")
    result = command("train", "--distribute", "--runs-dir", str(tmp_path))
    assert result.exit_code == 1
    assert message in result.stderr
