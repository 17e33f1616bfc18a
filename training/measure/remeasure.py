"""Measure exported versions again, from their files alone: no run folder, no TensorFlow."""

import hashlib
import json
from pathlib import Path

import click
import onnxruntime
from pydantic import ValidationError

from models.record import INT8_MODEL_FILE, MODEL_FILE, RECORD_FILE, Record
from serving.errors import StartError
from serving.inference.classifier import start_session
from serving.inference.providers import CPU
from training import TrainingError, first_reason
from training.data.cifar10 import Cifar10
from training.files import write_text
from training.measure.evaluate import measure, score_training
from training.networks.recipes import Recipe


class BundleError(TrainingError):
    """A version's folder lacks a file, or holds one that its record does not describe."""


def remeasure(folder: Path, cifar10: Cifar10) -> Record:
    """Measure each file of a version, and rewrite its record.

    The record may be of an earlier form that lacks some of these fields. What it says of training
    stays.

    Raises:
        BundleError: a file is missing or is not the one that the record describes, or the record
            lacks what cannot be measured.
    """
    path = folder / RECORD_FILE
    try:
        known = json.loads(path.read_bytes())
        onnx_bytes = read_file(folder / MODEL_FILE, known["sha256"])
        training, validation = score_training(onnx_bytes, cifar10.train, Recipe.validation_split)
        known |= {"evaluated_train": training, "evaluated_validation": validation}
        known |= measure(onnx_bytes, cifar10.test).model_dump()
        if known.get("int8"):
            int8 = read_file(folder / INT8_MODEL_FILE, known["int8"]["sha256"])
            known["int8"] |= measure(int8, cifar10.test).model_dump()
        record = Record.model_validate(known)
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}") from error
    except (KeyError, TypeError, ValueError) as error:
        reason = (
            first_reason(error) if isinstance(error, ValidationError) else "no JSON of that form"
        )
        raise BundleError(
            f"{path} is not a model's record ({reason}); restore it, or export the model again"
        ) from error
    write_text(path, record.model_dump_json(indent=2) + "\n")
    click.echo(f"{record.name} version {record.version}: test accuracy {record.test_accuracy:.2%}")
    return record


def read_file(path: Path, sha256: str) -> bytes:
    """Return the content of a version's ONNX file.

    Raises:
        BundleError: it cannot be read, its SHA-256 is another, or the service could not load it.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise BundleError(f"{path} is not the file that {RECORD_FILE} beside it is of")
    try:
        start_session(path, content, onnxruntime.SessionOptions(), [CPU], [{}])
    except StartError as error:
        raise BundleError(str(error)) from error
    return content
