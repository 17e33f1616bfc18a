"""Measure exported versions again, using only their files: no run folder, no TensorFlow."""

import json
from pathlib import Path

import click
import onnxruntime
from pydantic import ValidationError

from models.bundle import (
    INT8_MODEL_FILE,
    MODEL_FILE,
    RECORD_FILE,
    BundleError,
    first_reason,
    read_model,
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

    The record may be an older one that lacks some of the fields. Its fields about training stay.

    Raises:
        BundleError: a file is missing or does not match the record, or the record lacks fields that
            cannot be measured.
    """
    path = folder / RECORD_FILE
    try:
        known = json.loads(path.read_bytes())
        classes = len(known["classes"])
        onnx_bytes = read_served(folder / MODEL_FILE, classes, known["sha256"])
        if known.get("history"):  # else which images it was trained on is not known
            training, validation = score_training(onnx_bytes, dataset)
            known |= {"evaluated_train": training, "evaluated_validation": validation}
        known |= measure(onnx_bytes, dataset).model_dump()
        if "dataset" not in known and known["classes"] == list(dataset.classes):
            known["dataset"] = dataset.record()
        if known.get("int8"):
            int8 = read_served(folder / INT8_MODEL_FILE, classes, known["int8"]["sha256"])
            known["int8"] |= measure(int8, dataset).model_dump()
        record = Record.model_validate(known)
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}") from error
    except (KeyError, TypeError, ValueError) as error:
        reason = first_reason(error) if isinstance(error, ValidationError) else "malformed JSON"
        raise BundleError(
            f"{path} is not valid ({reason}); restore it, or export the model again"
        ) from error
    write_text(path, record.model_dump_json(indent=2) + "\n")
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
