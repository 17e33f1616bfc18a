"""Run folders that are damaged, in use, full or not writable: one line, and nothing is lost."""

import errno
import math
import os
import resource
import signal
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import portalocker
import pytest
from click.testing import Result

from models.bundle import BundleError
from tests.helpers import run_python
from tests.training.generated import ENDLESS, finished_epochs, kill_after_an_epoch, start
from training.config import Config
from training.data import Dataset
from training.files import InUseError, WriteError, locked, write_text
from training.pipeline import train_model
from training.runs.callbacks import Checkpoint
from training.runs.checkpoints import RunError, RunFolder
from training.runs.train import steps_per_epoch


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("run.json", lambda _: b""),
        ("run.json", lambda content: content[: len(content) // 2]),
        ("run.json", lambda content: bytes(len(content))),
        ("epoch-1.weights.h5", lambda _: b""),
        ("epoch-1.weights.h5", lambda content: content[: len(content) // 2]),
        ("epoch-1.weights.h5", lambda content: bytes(len(content))),
        ("epoch-1.weights.h5", lambda _: None),
    ],
)
def test_a_damaged_file_is_named(
    tiny: Dataset, trained: Config, file: str, damage: Callable[[bytes], bytes | None]
) -> None:
    path = trained.run_dir / file
    damaged = damage(path.read_bytes())
    path.unlink()
    if damaged is not None:
        path.write_bytes(damaged)
    with pytest.raises((BundleError, RunError), match=rf"(?s){path}.*--fresh") as error:
        train_model(trained, tiny)
    assert len(str(error.value).splitlines()) == 1


def test_a_damaged_run_can_be_started_over(tiny: Dataset, trained: Config) -> None:
    for file in ("run.json", "epoch-1.weights.h5"):
        (trained.run_dir / file).write_bytes(b"")
    train_model(trained, tiny, fresh=True)
    assert finished_epochs(trained.run_dir) == 1


def test_of_two_trainings_in_one_folder_the_second_is_refused(
    tiny: Dataset, trained: Config
) -> None:
    with (
        locked(trained.run_dir),
        pytest.raises(InUseError, match=rf"another training process .* to {trained.run_dir}"),
    ):
        train_model(trained, tiny, fresh=True)
    assert finished_epochs(trained.run_dir) == 1
    train_model(trained, tiny)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_locks_is_said_and_trained_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("portalocker.portalocker.LOCKER", fail)
    with locked(tmp_path), locked(tmp_path, wait=True):
        write_text(tmp_path / "run.json", "{}")
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" (")[0] for line in lines] == [
        f"Warning: {tmp_path}/.lock cannot be locked"
    ] * 2
    assert os.strerror(number) in lines[0]


def test_a_checkpoint_needs_no_lock_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "epoch-1.weights.h5"
    h5py.File(path, "w").close()
    with path.open("rb+") as other:
        portalocker.lock(other, portalocker.LOCK_EX)
        # Another process, as HDF5 reads the environment when it is loaded.
        opened = run_python("-c", f"import training, h5py; h5py.File({str(path)!r}, 'r+')")
    assert opened.returncode == 0, opened.stderr


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_folder_that_cannot_be_flushed_keeps_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    fails = {stat.S_IFDIR: number}

    def fsync(descriptor: int) -> None:
        if failure := fails.get(stat.S_IFMT(os.fstat(descriptor).st_mode)):
            raise OSError(failure, os.strerror(failure))

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(tmp_path / "run.json", "first")
    for kind, failure in ((stat.S_IFREG, number), (stat.S_IFDIR, errno.EIO)):
        fails[kind] = failure  # a file that is not on the disk is an error, and so is a bad disk
        with pytest.raises(WriteError, match=r"cannot write .*run\.json"):
            write_text(tmp_path / "run.json", "second")
        fails[kind] = 0


def test_a_folder_that_cannot_be_written_is_found_before_the_first_epoch(
    tiny: Dataset, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "first").touch()
    with pytest.raises(WriteError, match=rf"cannot write to {tmp_path}/first/1: Not a directory"):
        train_model(Config("first", epochs=1, runs_dir=tmp_path), tiny)
    assert "Epoch 1" not in capfd.readouterr().out


def test_a_full_disk_keeps_the_epoch_before(
    command: Callable[..., Result], trained: Config
) -> None:
    before = contents(trained.run_dir)
    # A limit on a file's size fails as a full disk does, in the midst of a write.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
    try:
        result = command(
            *("train", "--model", "first", "--epochs", "2", "--runs-dir", str(trained.runs_dir))
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), result.exception
    assert "resuming after epoch 1" in result.stdout
    line = f"Error: cannot write {trained.run_dir}/epoch-2.weights.h5: File too large"
    assert result.stderr.startswith(line)
    assert len(result.stderr.splitlines()) == 1
    after = contents(trained.run_dir)
    assert after.pop("run.json") == before.pop("run.json").replace(b'"epochs": 1', b'"epochs": 2')
    assert after == before


def test_a_loss_that_is_not_finite_ends_with_one_line_and_keeps_the_epochs_before(
    tiny: Dataset, trained: Config
) -> None:
    checkpoint = trained.run_dir / "epoch-1.weights.h5"
    with h5py.File(checkpoint, "r+") as arrays:
        rate = arrays["optimizer/vars/1"]
        assert float(rate[()]) == pytest.approx(trained.recipe.learning_rate)
        rate[()] = float("inf")
    before = checkpoint.read_bytes()
    line = r"^the loss of epoch 2 is not finite; the earlier epochs are kept in .*$"
    with pytest.raises(RunError, match=line):
        train_model(replace(trained, epochs=5), tiny)
    run = RunFolder(trained.run_dir).read()
    assert run
    assert len(run.history) == 1
    assert math.isfinite(run.history[0].val_loss)
    assert {path.name for path in trained.run_dir.iterdir()} == {
        ".lock",
        "run.json",
        "tensorboard",
        checkpoint.name,
    }
    assert checkpoint.read_bytes() == before


def test_ctrl_c_and_a_kill_lose_no_finished_epoch(
    tiny: Dataset,
    command: Callable[..., Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = ("--model", "first", "--epochs", str(ENDLESS), "--runs-dir", str(tmp_path))
    config = Config("first", epochs=ENDLESS, runs_dir=tmp_path)

    def press_ctrl_c(*_: object, **__: object) -> None:
        if finished_epochs(config.run_dir) == 2:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "on_train_batch_end", press_ctrl_c)
        result = command("train", *options)
    assert result.exit_code == 130, result.output
    assert result.stderr.splitlines()[-1] == (
        f"Stopped; 2 of {ENDLESS} epochs are kept in {config.run_dir}, "
        "and the same command without --fresh resumes after them."
    )

    process = start("train", *options)
    kill_after_an_epoch(process, config.run_dir)
    output, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert "resuming after epoch 2\n" in output

    epochs = finished_epochs(config.run_dir) + 1
    run = train_model(replace(config, epochs=epochs), tiny)
    assert len(run.history) == epochs
    assert run.history[-1].loss < run.history[0].loss
    # The optimizer has counted every epoch's steps once: no epoch was lost or taken twice.
    [checkpoint] = config.run_dir.glob("*.h5")
    with h5py.File(checkpoint) as arrays:
        steps = steps_per_epoch(config.recipe, tiny)
        assert int(arrays["optimizer/vars/0"][()]) == epochs * steps
    assert {path.name for path in config.run_dir.iterdir()} == {
        ".lock",
        checkpoint.name,
        "run.json",
        "tensorboard",
    }
