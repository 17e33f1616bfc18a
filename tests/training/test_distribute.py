"""Two real workers on this machine: the same result as one, a lost one, and resuming after it."""

import importlib.util
import signal
import subprocess
from pathlib import Path

import pytest

from tests.helpers import free_port
from tests.training import generated
from tests.training.generated import ENDLESS, stop_after_epochs
from training.runs.checkpoints import Run, read_run
from training.runs.distribute import ADDRESSES, WORKER, WORKERS

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="needs the jax group: uv sync --group jax"
)


def start(
    number: int, runs: Path, epochs: int, *of_second: str, **environment: str
) -> list[subprocess.Popen[str]]:
    """Start the workers; the second gets more options."""
    together = {"KERAS_BACKEND": "jax", ADDRESSES: f"127.0.0.1:{free_port()}", WORKERS: str(number)}
    options = ["--model", "first", "--runs-dir", str(runs), "--epochs", str(epochs)]
    return [
        generated.start(
            *("train", "--distribute", *options, *(of_second if worker == 1 else ())),
            **{**together, WORKER: str(worker), **environment},
        )
        for worker in range(number)
    ]


def finished_run(runs: Path) -> Run:
    run = read_run(runs / "first" / "1")
    assert run
    return run


def test_two_workers_match_one_and_resume_after_a_loss(tmp_path: Path) -> None:
    [worker] = start(1, tmp_path / "one", epochs=2)
    _, errors = worker.communicate(timeout=300)
    assert worker.returncode == 0, errors
    one = finished_run(tmp_path / "one")

    first, second = start(2, tmp_path / "two", epochs=ENDLESS)
    run_dir = tmp_path / "two" / "first" / "1"
    stop_after_epochs(2, second, run_dir, signal.SIGKILL)
    _, errors = first.communicate(timeout=300)
    second.communicate()
    assert first.returncode == 1, errors
    assert "Error: a worker was lost" in errors
    assert "on each worker, the same command without --fresh resumes" in errors
    assert "Traceback" not in errors

    two = finished_run(tmp_path / "two")
    for found, expected in zip(two.history, one.history, strict=False):
        assert found.loss == pytest.approx(expected.loss, rel=1e-3)
        assert found.val_loss == pytest.approx(expected.val_loss, rel=1e-2)

    epochs = len(two.history) + 1
    workers = start(2, tmp_path / "two", epochs=epochs)
    for worker in workers:
        _, errors = worker.communicate(timeout=300)
        assert worker.returncode == 0, errors
    resumed = finished_run(tmp_path / "two")
    assert len(resumed.history) == epochs
    assert resumed.history[:-1] == two.history
    assert [path.name for path in run_dir.glob("*.h5")] == [f"epoch-{epochs}.weights.h5"]

    for options, message in (
        (["--recipe", "improved", "--runs-dir", str(tmp_path / "two")], "hash_of_model_recipe"),
        (["--fresh"], "fresh is [False, True]"),
    ):
        workers = start(2, tmp_path / "two", epochs, *options)
        errors = "".join(worker.communicate(timeout=300)[1] for worker in workers)
        # JAX may abort one as it loses the other, before it has said why.
        assert all(worker.returncode for worker in workers)
        assert f"the workers disagree: {message}" in errors
        assert finished_run(tmp_path / "two") == resumed


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"KERAS_BACKEND": "tensorflow"}, "set KERAS_BACKEND=jax"),
        ({WORKER: ""}, f"--distribute needs {WORKER}: set "),
    ],
)
def test_what_is_not_set_up_is_refused(
    tmp_path: Path, environment: dict[str, str], message: str
) -> None:
    [worker] = start(1, tmp_path, epochs=1, **environment)
    _, errors = worker.communicate(timeout=120)
    assert worker.returncode == 1
    assert message in errors
