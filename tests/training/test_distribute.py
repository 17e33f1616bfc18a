"""Two real workers on this machine: a lost one, resuming after it, and the same result as one."""

import importlib.util
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.helpers import HANG, free_port
from tests.training import generated
from tests.training.generated import ENDLESS, stop_after_epochs
from training.config import Config
from training.data import Dataset
from training.pipeline import train_model
from training.runs.checkpoints import Run, RunFolder
from training.runs.distribute import ADDRESSES, WORKER, WORKERS


def start(runs: Path, epochs: int, *of_second: str) -> list[subprocess.Popen[str]]:
    """Start two workers; the second gets more options."""
    together = {"KERAS_BACKEND": "jax", ADDRESSES: f"127.0.0.1:{free_port()}", WORKERS: "2"}
    options = ["--model", "first", "--runs-dir", str(runs), "--epochs", str(epochs)]
    return [
        generated.start(
            *("train", "--distribute", *options, *(of_second if worker == 1 else ())),
            **{**together, WORKER: str(worker)},
        )
        for worker in range(2)
    ]


def finished_run(runs: Path) -> Run:
    run = RunFolder(runs / "first" / "1").read()
    assert run
    return run


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="needs the jax group: uv sync --group jax"
)
def test_two_workers_resume_after_a_loss_and_match_one(tiny: Dataset, tmp_path: Path) -> None:
    runs = tmp_path / "two"
    run_dir = runs / "first" / "1"
    first, second = start(runs, ENDLESS)
    stop_after_epochs(1, second, run_dir, signal.SIGKILL)
    _, errors = first.communicate(timeout=HANG)
    second.communicate()
    assert first.returncode == 1, errors
    assert "Error: a worker was lost" in errors
    assert "on each worker, the same command without --fresh resumes" in errors
    assert "Traceback" not in errors

    before = finished_run(runs)
    epochs = len(before.history) + 1
    shutil.copytree(runs, tmp_path / "one")
    for worker in start(runs, epochs):
        _, errors = worker.communicate(timeout=HANG)
        assert worker.returncode == 0, errors
    two = finished_run(runs)
    assert two.history[:-1] == before.history
    assert [path.name for path in run_dir.glob("*.h5")] == [f"epoch-{epochs}.weights.h5"]

    # One worker, and under another backend, makes the same of the same epochs.
    one = train_model(Config("first", epochs=epochs, runs_dir=tmp_path / "one"), tiny)
    assert len(one.history) == len(two.history) == epochs
    assert two.history[-1].loss == pytest.approx(one.history[-1].loss, rel=1e-3)
    assert two.history[-1].val_loss == pytest.approx(one.history[-1].val_loss, rel=1e-2)

    workers = start(runs, epochs, "--recipe", "improved", "--fresh")
    errors = "".join(worker.communicate(timeout=HANG)[1] for worker in workers)
    # JAX may abort one as it loses the other, before it has said why.
    assert all(worker.returncode for worker in workers)
    assert "the workers disagree: hash_of_model_recipe" in errors
    assert finished_run(runs) == two


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
