"""Write a model, its record and its plots into models/<name>/<version>/, all or nothing."""

import shutil
from pathlib import Path

from models.bundle import (
    INT8_MODEL_FILE,
    MODEL_FILE,
    RECORD_FILE,
    BundleError,
    read_record,
    version_folder,
    version_folders,
)
from models.record import Record
from training import TrainingError
from training.files import check_writable, write_bytes, write_text
from training.report import plots
from training.report.report import version_plots


class ReplaceError(TrainingError):
    """A bundled version was trained longer than its replacement, or on different images."""


def check_replaceable(
    folder: Path, epochs: int, images_sha256: str, *, force: bool = False
) -> None:
    """Check that a version may be published, before hours of work.

    It will be of `epochs` epochs, on the images with this SHA-256.

    Raises:
        WriteError: its folder is not writable.
        ReplaceError: the version there has more epochs or other images, and `force` is not
            set.
    """
    check_writable(folder.parent)
    _recover(folder)
    try:
        known = read_record(folder)
    except BundleError:  # none, or none worth keeping
        return
    images = known.dataset
    other = images and images.sha256 != images_sha256 and f"{images.name!r}"
    if other and not force:
        raise ReplaceError(
            f"{folder} was trained on different images ({other}); use --name or --models-dir to "
            "write elsewhere, or --force to replace it"
        )
    if known.epochs_completed > epochs and not force:
        raise ReplaceError(
            f"{folder} has {known.epochs_completed} epochs, and its replacement only {epochs}; "
            "use --force to replace it, or --models-dir to write elsewhere"
        )


def newest_version(model_dir: Path) -> int:
    """Return the version of a model that answers by default."""
    return max(int(path.name) for path in version_folders(model_dir.parent, model_dir.name))


def publish(
    onnx_bytes: bytes, record: Record, models_dir: Path, int8_bytes: bytes | None = None
) -> Path:
    """Write the version's folder under a temporary name, and rename it when it is complete.

    An interrupted call leaves the previous model and record untouched. If it is killed between the
    two renames, they keep a temporary name until the next call, or the next check_replaceable(),
    puts them back.
    """
    folder = version_folder(models_dir, record.name, record.version)
    # The service ignores folders whose name starts with a dot.
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    previous = _recover(folder)
    shutil.rmtree(unfinished, ignore_errors=True)
    check_writable(unfinished)
    write_bytes(unfinished / MODEL_FILE, onnx_bytes)
    if int8_bytes is not None:
        write_bytes(unfinished / INT8_MODEL_FILE, int8_bytes)
    write_text(unfinished / RECORD_FILE, record.model_dump_json(indent=2) + "\n")
    for name, draw, shown in version_plots(record):
        plots.write(unfinished / name, draw, *shown)
    if folder.exists():
        shutil.rmtree(previous, ignore_errors=True)  # left by a kill before the last line below
        folder.rename(previous)
    unfinished.rename(folder)
    shutil.rmtree(previous, ignore_errors=True)
    return folder


def _recover(folder: Path) -> Path:
    """Put back a version that a kill between the two renames left under its temporary name.

    Return the path where a version waits while another one replaces it.
    """
    previous = folder.with_name(f".{folder.name}.previous")
    if previous.exists() and not folder.exists():
        previous.rename(folder)
    return previous
