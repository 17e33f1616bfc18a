"""Putting a version in place, killed at the worst moment: the version before is never lost."""

import shutil
from pathlib import Path

import pytest

from models.record import Record
from tests.helpers import ROOT
from training.data.cifar10 import SHA256
from training.export.publish import ReplaceError, check_replaceable, publish
from training.files import write_bytes


def test_a_kill_between_the_two_renames_loses_no_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "first" / "1"
    shutil.copytree(ROOT / "models" / "first" / "1", folder)
    before = (folder / "model.onnx").read_bytes()
    record = Record.model_validate_json((folder / "metadata.json").read_bytes())
    rename, write = Path.rename, write_bytes

    def killed_rename(path: Path, target: Path) -> Path:
        if path.name == ".1.unfinished":
            raise KeyboardInterrupt
        return rename(path, target)

    def killed_write(path: Path, content: bytes) -> None:
        write(path, content)
        raise KeyboardInterrupt

    def publish_killed() -> None:
        with pytest.raises(KeyboardInterrupt):
            publish(b"another model", record, tmp_path)

    monkeypatch.setattr(Path, "rename", killed_rename)
    publish_killed()
    assert not folder.exists()
    with pytest.raises(ReplaceError, match="--force"):  # so it is found, and put back
        check_replaceable(folder, 1, SHA256)
    assert (folder / "model.onnx").read_bytes() == before

    publish_killed()
    assert not folder.exists()
    monkeypatch.setattr("training.export.publish.write_bytes", killed_write)
    publish_killed()
    assert (folder / "model.onnx").read_bytes() == before

    monkeypatch.setattr("training.export.publish.write_bytes", write)
    publish_killed()
    assert not folder.exists()
    monkeypatch.setattr(Path, "rename", rename)
    publish(b"another model", record, tmp_path)
    assert (folder / "model.onnx").read_bytes() == b"another model"
    assert [path.name for path in folder.parent.iterdir()] == ["1"]
