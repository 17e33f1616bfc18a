"""Measure exported versions again, using only their files: no run folder, no TensorFlow."""

from pathlib import Path

import click
import onnxruntime

from models.bundle import (
    INT8_MODEL_FILE,
    MODEL_FILE,
    RECORD_FILE,
    BundleError,
    read_model,
    read_record,
)
from models.record import Record
from serving.errors import StartError
from serving.inference.classifier import start_session
from serving.inference.providers import CPU
from training.data import Dataset
from training.files import write_text
from training.measure.evaluate import measure, score_training


def remeasure(folder: Path, dataset: Dataset) -> Record:
    """Measure each file of a version, and rewrite its record.

    The record may lack any measurement. What it says of the training stays.

    Raises:
        BundleError: a file is missing or does not match the record, or the record is not valid.
    """
    record = read_record(folder)
    classes = len(record.classes)
    onnx_bytes = read_served(folder / MODEL_FILE, classes, record.sha256)
    found = {**dict(record), **dict(measure(onnx_bytes, dataset))}
    if record.history:  # else which images it was trained on is not known
        training, validation = score_training(onnx_bytes, dataset)
        found |= {"evaluated_train": training, "evaluated_validation": validation}
    if record.dataset is None and record.classes == list(dataset.classes):
        found["dataset"] = dataset.record()
    if record.int8:
        int8 = read_served(folder / INT8_MODEL_FILE, classes, record.int8.sha256)
        found["int8"] = {**dict(record.int8), **dict(measure(int8, dataset))}
    record = Record.model_validate(found)
    write_text(folder / RECORD_FILE, record.model_dump_json(indent=2) + "\n")
    click.echo(f"{record.name} version {record.version}: test accuracy {record.test_accuracy:.2%}")
    return record


def read_served(path: Path, classes: int, sha256: str | None = None) -> bytes:
    """Return the content of an ONNX file for so many classes; `sha256` is its record's, if any.

    Raises:
        BundleError: it cannot be read, its SHA-256 differs, or the service could not load it.
    """
    content = read_model(path, sha256)
    try:
        start_session(path, content, classes, onnxruntime.SessionOptions(), [CPU], [{}])
    except StartError as error:
        raise BundleError(str(error)) from error
    return content
