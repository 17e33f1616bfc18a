"""Write a model, its record and its plots into models/<name>/<version>/, all at once or not."""

import shutil
from pathlib import Path

from models.record import INT8_MODEL_FILE, MODEL_FILE, RECORD_FILE, Record
from training import plots
from training.files import write_bytes, write_text
from training.report import version_plots


def publish(
    onnx_bytes: bytes, record: Record, models_dir: Path, int8_bytes: bytes | None = None
) -> Path:
    """Write the version's folder beside its place and put it there when it is whole.

    An interrupted call leaves the previous model and record as they were; one that is killed
    between the two renames leaves them beside their place, and the next call puts them back.
    """
    folder = models_dir / record.name / str(record.version)
    # Names that start with a dot are no versions to the service.
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    previous = folder.with_name(f".{folder.name}.previous")
    if previous.exists() and not folder.exists():
        previous.rename(folder)  # killed between the two renames below
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    write_bytes(unfinished / MODEL_FILE, onnx_bytes)
    if int8_bytes is not None:
        write_bytes(unfinished / INT8_MODEL_FILE, int8_bytes)
    write_text(unfinished / RECORD_FILE, record.model_dump_json(indent=2) + "\n")
    for name, draw, shown in version_plots(record):
        plots.write(unfinished / name, draw, *shown)
    if folder.exists():
        shutil.rmtree(previous, ignore_errors=True)  # killed before the last line below
        folder.rename(previous)
    unfinished.rename(folder)
    shutil.rmtree(previous, ignore_errors=True)
    return folder
