"""CIFAR-10 (Krizhevsky, 2009): find the official batches, verify them, load them."""

import hashlib
import http.client
import os
import pickle
import shlex
import shutil
import tempfile
import urllib.request
from pathlib import Path

import click
import numpy as np

from models.record import CLASSES
from models.study import CIFAR10
from training.data.dataset import DataError, Dataset, Split, Task

ARCHIVE_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
ARCHIVE = "cifar-10-python.tar.gz"
URL = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}"
FOLDER = "cifar-10-batches-py"

TRAIN_MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
}
TEST_MD5 = {"test_batch": "40351d587109b95175f43aff81a1287e"}
MD5 = TRAIN_MD5 | TEST_MD5

SHA256 = "199cf1510374d290717601e589aebcbe313f67539358d04d3ce64029b7e2b549"  # as a Dataset's
TASK = Task(
    classes=len(CLASSES),
    pixel_mean=(125.3, 123.0, 113.9),
    pixel_deviation=(63.0, 62.1, 66.7),
    gray=120.0,  # about the mean
)


def find(data_dir: Path | None) -> Path:
    """Return the folder of official batches: `data_dir`, else $CIFAR10_DIR, else a download.

    `data_dir` may also be that folder's parent, or the archive beside it. A download is kept in the
    user's cache.

    Raises:
        DataError: the download failed, or the archive is not unpacked.
    """
    if data_dir is None and (from_environment := os.environ.get("CIFAR10_DIR")):
        data_dir = Path(from_environment)
    if data_dir is not None:
        return _batches(data_dir.expanduser())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    folder = cache / FOLDER
    if not folder.is_dir():
        try:
            cache.mkdir(parents=True, exist_ok=True)
            _download(folder)
        except (OSError, http.client.HTTPException, DataError) as error:
            raise DataError(
                f"cannot download CIFAR-10 from {URL} into {cache} ({error}); set --data-dir or "
                f"CIFAR10_DIR to a folder that holds the official {FOLDER}"
            ) from error
    return folder


def _download(folder: Path) -> None:
    """Download the archive and unpack the batches into `folder`, all of them or none.

    `keras.utils.get_file` does the same, but `verify` runs without Keras.
    """
    with tempfile.TemporaryDirectory(dir=folder.parent) as parent:
        archive = Path(parent, ARCHIVE)
        with urllib.request.urlopen(URL, timeout=60) as response, archive.open("wb") as file:
            label = f"Downloading CIFAR-10 from {URL}"
            with click.progressbar(length=response.length or 0, label=label) as progress:
                while block := response.read(2**20):
                    file.write(block)
                    progress.update(len(block))
        with archive.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != ARCHIVE_SHA256:
            raise DataError(
                f"received {archive.stat().st_size:,} bytes with SHA-256 {found} instead of "
                f"{ARCHIVE_SHA256}"
            )
        shutil.unpack_archive(archive, parent, filter="data")
        try:
            Path(parent, FOLDER).rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster
                raise


def _batches(place: Path) -> Path:
    parent = place.parent if place.is_file() else place
    if (parent / FOLDER).is_dir():
        return parent / FOLDER
    archive = place if place.is_file() else place / ARCHIVE
    if archive.is_file():
        raise DataError(
            f"{archive} is not unpacked; unpack it, then run the same command again: "
            f"{shlex.join(['tar', '-xf', str(archive), '-C', str(parent)])}"
        )
    return place


def is_at(place: Path) -> bool:
    """Return whether a place is that of CIFAR-10: its folder, its archive, or their parent."""
    return place.name in {FOLDER, ARCHIVE} or any(
        (place / name).exists() for name in (FOLDER, ARCHIVE, "batches.meta", *MD5)
    )


def load(folder: Path) -> Dataset:
    """Load all six batches, each verified against its official MD5 before it is unpickled.

    Raises:
        DataError: a file is missing, truncated or altered.
    """
    official = _load_split(folder, TRAIN_MD5)
    at = len(official) * 4 // 5
    return Dataset(
        name=CIFAR10,
        source="the official batches (Krizhevsky, 2009)",
        classes=CLASSES,
        train=official.take(slice(at)),
        validation=official.take(slice(at, None)),
        test=load_test(folder),
        split="the official test images, and for validation the last fifth of the others, in "
        "their order",
        task=TASK,
        md5=MD5,
    )


def load_test(folder: Path) -> Split:
    """Load only the 10,000 test images, verified like those of `load`."""
    return _load_split(folder, TEST_MD5)


def _load_split(folder: Path, md5_by_file: dict[str, str]) -> Split:
    batches = [_load_batch(folder / file, md5) for file, md5 in md5_by_file.items()]
    return Split(
        images=np.concatenate([batch.images for batch in batches]),
        labels=np.concatenate([batch.labels for batch in batches]),
    )


def _load_batch(path: Path, md5: str) -> Split:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot read {path} ({error.strerror}); set --data-dir or CIFAR10_DIR to the folder "
            "of the official CIFAR-10 batches"
        ) from error
    # Unpickling runs code, so only the official bytes may reach pickle.
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise DataError(
            f"{path} is not the official CIFAR-10 file: its MD5 is {found}, not {md5} "
            f"({len(content):,} bytes); download it again from {URL}"
        )
    batch = pickle.loads(content, encoding="bytes")
    # Each row holds the red, then the green, then the blue plane.
    images = batch[b"data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return Split(
        images=np.ascontiguousarray(images), labels=np.array(batch[b"labels"], dtype=np.int64)
    )
