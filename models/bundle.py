"""The models folder: its versions, their files and their records, checked as they are read.

`serving` and `training` both read it here; `training.export.publish` alone writes it.
"""

import hashlib
from pathlib import Path
from typing import Literal, TypeVar

import click
from pydantic import BaseModel, ValidationError

from models.record import Record

Arithmetic = Literal["float32", "int8"]  # of a file

# The files of models/<name>/<version>/.
MODEL_FILE = "model.onnx"
INT8_MODEL_FILE = "model.int8.onnx"  # the same model in int8 arithmetic; not every version has it
RECORD_FILE = "metadata.json"
CURVES_FILE = "curves.png"
RELIABILITY_FILE = "reliability.png"

_Form = TypeVar("_Form", bound=BaseModel)


class BundleError(click.ClickException):
    """A file is missing, has another form, or does not match its record; the message names it."""


def version_folders(models_dir: Path, name: str = "*") -> list[Path]:
    """Return the folders <name>/<version>/ of one model, or of all.

    Unfinished folders and those set aside are left out (their name, or their model's, starts with a
    dot), and so is a disk's lost+found.

    Raises:
        BundleError: one of these folders cannot be read.
    """
    if not models_dir.is_dir():
        return []
    try:
        models = models_dir.iterdir() if name == "*" else [models_dir / name]
        return sorted(
            version
            for model in models
            if not model.name.startswith(".") and model.name != "lost+found" and model.is_dir()
            for version in model.iterdir()
            if version.name.isdecimal() and version.is_dir()
        )
    except OSError as error:
        raise BundleError(f"cannot read {error.filename}: {error.strerror}") from error


def version_folder(models_dir: Path, name: str, version: int) -> Path:
    """Return the folder of a model's version."""
    return models_dir / name / str(version)


def read_record(folder: Path) -> Record:
    """Read the record of models/<name>/<version>/.

    Raises:
        BundleError: it cannot be read, or is not the record of this version.
    """
    path = folder / RECORD_FILE
    record = read_json(path, Record, "restore it, export the model again, or remove its folder")
    if record is None:
        raise BundleError(f"cannot read {path}: No such file or directory")
    if (record.name, str(record.version)) != (folder.parent.name, folder.name):
        raise BundleError(
            f"{path} describes {record.name} version {record.version}, so it is in the wrong folder"
        )
    return record


def read_json(path: Path, form: type[_Form], advice: str) -> _Form | None:
    """Return what a JSON file holds; None if there is no such file.

    Raises:
        BundleError: it cannot be read, or has another form; the message ends with `advice`.
    """
    try:
        return form.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        raise BundleError(f"{path} is not valid ({first_reason(error)}); {advice}") from error


def read_model(path: Path, sha256: str | None = None) -> bytes:
    """Return the content of an ONNX file; `sha256` is its record's, if it has one.

    Raises:
        BundleError: it cannot be read, or its SHA-256 differs.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}") from error
    found = hashlib.sha256(content).hexdigest()
    if sha256 not in (None, found):
        raise BundleError(
            f"{path} does not match the SHA-256 in {RECORD_FILE}: it has {found}, the record has "
            f"{sha256}"
        )
    return content


def first_reason(error: ValidationError, whole: str = "the file") -> str:
    """Return the first validation error, after its field, or after `whole` if it has none."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or whole}: {first['msg']}"
