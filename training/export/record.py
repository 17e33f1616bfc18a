"""Bundle an ONNX file from another program, with a record of what is measured here."""

import hashlib
from pathlib import Path

import click
import numpy as np

from models.bundle import BundleError
from models.record import Record
from serving.inference.classifier import one_line
from training.data import Dataset, Images
from training.export.publish import ReplaceError, publish
from training.files import check_writable, locked
from training.measure.evaluate import measure
from training.measure.predict import BATCH_SIZE, predict
from training.measure.remeasure import read_served


def check_new(folder: Path, *, force: bool = False) -> None:
    """Check that a version may be written into `folder`.

    Raises:
        WriteError: the folder is not writable.
        ReplaceError: there is a version already, and `force` is not set.
    """
    check_writable(folder.parents[1])
    if folder.exists() and not force:
        raise ReplaceError(
            f"{folder} already exists; choose another --version, or replace it with --force"
        )


def record_file(
    path: Path, dataset: Dataset, name: str, version: int, *, title: str, models_dir: Path
) -> Record:
    """Measure a file on the test images, and bundle it with a record of the results.

    Raises:
        BundleError: the service could not serve the file.
    """
    onnx_bytes = read_served(path, len(dataset.classes))
    _check_probabilities(path, onnx_bytes, dataset.test.images[:BATCH_SIZE])
    record = Record(
        name=name,
        title=title,
        version=version,
        classes=list(dataset.classes),
        sha256=hashlib.sha256(onnx_bytes).hexdigest(),
        dataset=dataset.record(),
        **dict(measure(onnx_bytes, dataset)),
    )
    with locked(models_dir, wait=True):
        folder = publish(onnx_bytes, record, models_dir)
    click.echo(
        f"{name} version {version}: test accuracy {record.test_accuracy:.2%}, written to {folder}"
    )
    return record


def _check_probabilities(path: Path, onnx_bytes: bytes, images: Images) -> None:
    try:
        found = predict(onnx_bytes, images)
    except Exception as error:  # ONNX Runtime's exceptions share no narrower base
        raise BundleError(f"{path} fails on {len(images)} images: {one_line(error)}") from error
    sums = found.sum(1)
    if not (np.all(found >= 0) and np.allclose(sums, 1, atol=1e-3)):
        raise BundleError(
            f"{path} does not return probabilities: its outputs are {found.min():.3g} to "
            f"{found.max():.3g}, and their sums {sums.min():.3g} to {sums.max():.3g} instead of 1; "
            "add a softmax to the graph"
        )
