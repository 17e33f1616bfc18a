"""Atomic, durable writes: afterwards a file holds all of the new content, or all of the old."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import portalocker

from models.locks import lock
from training import TrainingError

LOCK_FILE = ".lock"


class WriteError(TrainingError):
    """A file cannot be written. Its previous content is kept."""


class InUseError(TrainingError):
    """Another process holds a folder's lock."""


def write_text(path: Path, text: str) -> None:
    """Write a file as UTF-8, whatever the locale; see `replaced`."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file; see `replaced`."""
    with replaced(path) as unfinished:
        unfinished.write_bytes(content)


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield a temporary path for new content that replaces the file at the end.

    After a kill, a full disk or a power loss, the file has the old or the new content.

    Raises:
        WriteError: the file cannot be written.
    """
    unfinished = path.with_name(f".part-{path.name}")  # Keras requires the file's extension
    try:
        try:
            yield unfinished
            with unfinished.open("rb+") as file:
                os.fsync(file.fileno())
            unfinished.replace(path)
            sync_folder(path.parent)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror}") from error


def check_writable(folder: Path) -> None:
    """Create a folder, and check that it is writable before hours of work.

    Raises:
        WriteError: the folder is not writable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink(missing_ok=True)  # another process may have checked at the same time
    except OSError as error:
        raise WriteError(f"cannot write to {folder}: {error.strerror}") from error


@contextmanager
def locked(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Lock a folder against other training processes; create it if it is missing; see `lock`.

    The lock is released when the process ends, however it ends; the lock file stays.

    Raises:
        WriteError: the folder is not writable.
        InUseError: another process holds the lock, and `wait` is false.
    """
    check_writable(folder)
    with (folder / LOCK_FILE).open("a") as file:
        try:
            lock(file, wait=wait)
        except portalocker.AlreadyLocked as error:
            raise InUseError(
                f"another training process is writing to {folder}; wait until it ends, or choose "
                "another folder with --runs-dir"
            ) from error
        yield


def sync_folder(folder: Path) -> None:
    """Flush a folder's renames to disk, if the system can.

    Windows cannot, nor can some file systems (CIFS, VirtualBox's, FUSE).
    """
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
                raise
        finally:
            os.close(descriptor)
