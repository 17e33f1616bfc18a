"""The files that `python -m serving classify` is given: how they are named, found and decoded."""

import errno
import os
import sys
from pathlib import Path

import pytest
from PIL import Image

from serving.classify import files
from serving.images import process
from serving.images.decode import DecodedImage
from tests.serving.classify import images_in, rows, run


def test_a_linked_folder_is_searched_once(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "linked").symlink_to(folder / "0")
    (tmp_path / "all" / "loop").symlink_to(tmp_path / "all")
    (tmp_path / "all" / "real").mkdir()
    (tmp_path / "all" / "also real").symlink_to(tmp_path / "all" / "real")
    Image.new("RGB", (32, 32)).save(tmp_path / "all" / "real" / "a.png")
    names = sorted(path.name for path in (folder / "0").iterdir())
    expected = [str(tmp_path / "all" / "linked" / name) for name in names]
    expected.append(str(tmp_path / "all" / "real" / "a.png"))
    assert list(files.find_files([str(tmp_path / "all")])) == expected
    assert len(files.match_files(f"{tmp_path}/all/**/a.png")) == 1


def test_files_are_named_in_several_ways(folder: Path, tmp_path: Path) -> None:
    named = [str(folder / "0"), f"{folder}/1/0*", str(folder / "0"), "missing.png"]
    expected = [*map(str, sorted((folder / "0").iterdir())), f'{folder}/1/01, a "drawing".PNG']
    expected += [f'{folder}/1/04, a "drawing".PNG', f'{folder}/1/07, a "drawing".PNG']
    expected.append("missing.png")
    matched = [match for path in named for match in files.match_files(path)]
    assert list(dict.fromkeys(files.find_files(matched))) == expected
    unseen = ["a" * 300 + ".png"]  # too long a name to look up
    assert list(files.find_files(unseen)) == unseen
    odd = tmp_path / "line\nbreak, caf\udce9.png"  # no UTF-8
    Image.new("RGB", (32, 32)).save(odd)
    for separator in (b"\n", b"\r\n", b"\0"):
        paths = [os.fsencode(path) for path in images_in(folder)[:3]]
        assert files.read_list(separator.join([*paths, b""])) == images_in(folder)[:3]
    # A name in a list is no glob, which would match another file.
    Image.new("RGB", (32, 32)).save(tmp_path / "photo1.png")
    listed = run("-", "--model", "first", stdin=bytes(tmp_path / "photo[1].png"), status=1)
    [row] = rows(listed.stdout)
    assert row["error"] == "No such file or directory."
    listed = run("-", "--model", "first", stdin=os.fsencode(odd) + b"\0")
    [row] = rows(listed.stdout)
    assert row["file"] == f"{tmp_path}/line\\nbreak, caf\\udce9.png"
    assert rows(run("-", "--model", "first").stdout) == []  # an empty list


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_list_is_read_in_the_encoding_that_it_begins_with(encoding: str) -> None:
    # As PowerShell and Notepad write it; Python writes a mark with two of these names.
    mark = "\ufeff" if encoding in {"utf-16-le", "utf-16-be"} else ""
    names = ["a.png", "Bilder/é 東京.png"]
    content = f"{mark}{names[0]}\r\n{names[1]}\r\n".encode(encoding)
    assert files.read_list(content) == names
    if mark:
        with pytest.raises(files.ListError, match=r"UTF-8.*-0"):
            files.read_list(content[2:])
        with pytest.raises(files.ListError, match="is not"):
            files.read_list(content[:-1])


def test_nul_separates_where_it_is_asked_for_or_likely() -> None:
    assert files.read_list(b"a.png\0b\nc.png\0") == ["a.png", "b\nc.png"]
    assert files.read_list(b"a\0b\r\0", null=True) == ["a", "b\r"]
    assert files.read_list(b"a\nb", null=True) == ["a\nb"]
    with pytest.raises(files.ListError, match="-0"):
        files.read_list(b"a\0b.png\0")


def test_a_folder_in_a_list_is_searched_where_it_is_asked_for(folder: Path) -> None:
    listed = f"{folder / '0'}\n".encode("utf-16")
    [row] = rows(run("-", "--model", "first", stdin=listed, status=1).stdout)
    assert "--folders" in row["error"]
    found = rows(run("-", "--folders", "--model", "first", stdin=listed).stdout)
    assert len(found) == len(list((folder / "0").iterdir()))
    wrong = run("-", stdin=listed[2:], status=1)  # as cmd /u writes it, without a mark
    assert wrong.stdout == ""
    assert "UTF-16" in wrong.stderr


def test_no_semaphore_is_needed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system whose /dev/shm is full, read-only or missing has none."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("multiprocessing.synchronize.SemLock.__init__", refuse)
    paths = images_in(folder)
    assert [path for path, _ in files.decode_files(paths, resize=False)] == paths


# A decoder that hangs or crashes on files that are called so.
MISBEHAVE = """
import os, signal
from serving.images import worker

def misbehave(path):
    if path.endswith("/hangs"):
        signal.pause()
    if path.endswith("/crashes"):
        os.kill(os.getpid(), signal.SIGKILL)
    return read_file(path)

read_file, worker.read_file = worker.read_file, misbehave
worker.main()
"""


@pytest.mark.parametrize("resize", [False, True])
def test_files_that_hang_or_crash_a_decoder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, resize: bool
) -> None:
    # No such file is known: images.decode() bounds its work. That they get an end is tested all
    # the same, since the next flaw in a C library will not announce itself.
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-c", MISBEHAVE))
    monkeypatch.setattr(files, "DEADLINE", 2.0)
    paths = images_in(folder)
    paths.insert(20, "hangs")
    paths.insert(25, "crashes")
    found = list(files.decode_files(paths, resize=resize))
    assert [path for path, _ in found] == paths
    errors = {path: image for path, image in found if not isinstance(image, DecodedImage)}
    assert "more than 2 seconds" in str(errors["hangs"])
    assert "crashed its decoder" in str(errors["crashes"])
    assert len(errors) == 3  # and the broken one
