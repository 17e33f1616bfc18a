"""Files that are replaced in one step: whole and on the disk, or as they were before."""

import os
from pathlib import Path

from training import TrainingError


class WriteError(TrainingError):
    """A file cannot be written; the message names it. What it held before is kept."""


def write_text(path: Path, text: str) -> None:
    """Write a file as UTF-8, whatever the locale; see `write_bytes`."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, so that a kill, a full disk or a power loss leaves the old content or the new.

    Raises:
        WriteError: it cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.part")
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise WriteError(f"cannot write {path}: {error.strerror}") from error


def sync_folder(folder: Path) -> None:
    """Put a folder's renames on the disk, where the system can (Windows cannot)."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
