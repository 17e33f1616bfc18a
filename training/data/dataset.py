"""What every source of images becomes: pixels and labels in three parts, and their origin."""

import hashlib
import unicodedata
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from models.record import DatasetRecord
from training import TrainingError

Images = npt.NDArray[np.uint8]  # [N, 32, 32, 3], RGB
Labels = npt.NDArray[np.int64]  # [N], places in the class names


class DataError(TrainingError):
    """Images that cannot be used; the message names the file or folder, and says what to do."""


@dataclass(frozen=True)
class Split:
    """One part of a data set: images, uint8 [N, 32, 32, 3] RGB, and their labels, int64 [N]."""

    images: Images
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, places: npt.NDArray[np.int64] | slice) -> "Split":
        """Return the images at these places."""
        return Split(self.images[places], self.labels[places])


@dataclass(frozen=True)
class Task:
    """What a network must know of its data: the number of classes and the scale of the pixels."""

    classes: int
    pixel_mean: tuple[float, ...]  # red, green, blue
    pixel_deviation: tuple[float, ...]
    gray: float  # fills what erasing hides


@dataclass(frozen=True)
class Dataset:
    """The images of some classes, in a part to train on, one for validation and one for testing."""

    name: str
    source: str  # what was read, for the record
    classes: tuple[str, ...]  # in the order of the labels
    train: Split
    validation: Split
    test: Split
    split: str  # how the parts were made, in words
    task: Task
    options: tuple[str, ...] = ()  # of the command that reads it again; empty for CIFAR-10
    md5: dict[str, str] = field(default_factory=dict)  # of CIFAR-10's files

    @property
    def parts(self) -> dict[str, Split]:
        """The three parts by their names in the record."""
        return {"training": self.train, "validation": self.validation, "test": self.test}

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 over each part's pixels, then its labels as little-endian int64."""
        digest = hashlib.sha256()
        for part in self.parts.values():
            digest.update(np.ascontiguousarray(part.images).data)
            digest.update(part.labels.astype("<i8").data)
        return digest.hexdigest()

    @property
    def counts(self) -> dict[str, Labels]:
        """The images of each class, [classes], by the part's name."""
        classes = len(self.classes)
        return {n: np.bincount(part.labels, minlength=classes) for n, part in self.parts.items()}

    def record(self, terms: str | None = None) -> DatasetRecord:
        """Return what a model's record says of the images; `terms` names their licence."""
        duplicates, contradictions = self.repeats
        return DatasetRecord(
            name=self.name,
            source=self.source,
            counts={
                part: dict(zip(self.classes, images.tolist(), strict=True))
                for part, images in self.counts.items()
            },
            split=self.split,
            duplicates=duplicates,
            contradictions=contradictions,
            sha256=self.sha256,
            license=terms,
            md5=self.md5,
        )

    @cached_property
    def repeats(self) -> tuple[int, int]:
        """How many images repeat another's pixels, and how many of those have another label."""
        first: dict[bytes, int] = {}
        repeated = contradicting = 0
        for part in self.parts.values():
            for pixels, label in zip(pixel_hashes(part.images), part.labels.tolist(), strict=True):
                if pixels in first:
                    repeated += 1
                    contradicting += first[pixels] != label
                else:
                    first[pixels] = label
        return repeated, contradicting


def class_name(name: str, place: str) -> str:
    """Return a class name in Unicode form NFC; messages call where it stands `place`.

    Raises:
        DataError: it cannot be shown on one line.
    """
    if not name.strip() or any(unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} for c in name):
        raise DataError(
            f"{place}: {name!r} cannot name a class; use visible characters on one line, in UTF-8"
        )
    return unicodedata.normalize("NFC", name)


def pixel_hashes(images: Images) -> list[bytes]:
    """Return a digest of each image's pixels; images with the same digest are the same."""
    return [hashlib.sha256(np.ascontiguousarray(image).data).digest() for image in images]


def task(classes: int, train: Split) -> Task:
    """Return the task of a data set, with the statistics of its training pixels."""
    count, total, squares = 0, np.zeros(3), np.zeros(3)
    for some in np.array_split(train.images, max(1, len(train) // 1000)):  # a few MB at a time
        pixels = some.reshape(-1, 3).astype(np.float64)
        count += len(pixels)
        total += pixels.sum(0)
        squares += (pixels**2).sum(0)
    mean = total / count
    # At least 1: a channel may be the same everywhere.
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 1.0))
    return Task(
        classes=classes,
        pixel_mean=tuple(np.round(mean, 1).tolist()),
        pixel_deviation=tuple(np.round(deviation, 1).tolist()),
        gray=round(float(mean.mean())),
    )
