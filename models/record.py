"""A bundled model: its classes, its ONNX contract, its files and the format of its record.

`training` writes them, `serving` reads them; both import the definitions from here.
"""

import re
from functools import cached_property
from statistics import fmean
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    computed_field,
    model_validator,
)

from models import IMAGE_SIZE as IMAGE_SIZE  # noqa: PLC0414  # decoders start without pydantic

# CIFAR-10's classes, in the order of its labels.
CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)

# The ONNX contract: `image`, uint8 [batch, 32, 32, 3] RGB -> `probabilities`, float32
# [batch, number of classes].
INPUT = "image"
OUTPUT = "probabilities"
BATCH = "batch"


def _is_unknown(value: Any) -> bool:
    return value in (None, "", [], {})


_T = TypeVar("_T")
# A field that a record may lack: what was not measured is left out of files and answers.
Known = Annotated[_T, Field(exclude_if=_is_unknown)]


def short_device(device: str) -> str:
    """Return a device's name without TensorFlow's path: CPU:0 for /job:…/task:0/device:CPU:0."""
    return re.sub(r"/job:\S*/device:", "", device)


Device = Annotated[str, AfterValidator(short_device)]  # records before 0.5 have the path


class Memorization(BaseModel):
    """How much of the training images a network has memorized, if some have random labels.

    All are fractions, without dropout or augmentation.
    """

    clean: float | None  # images with true labels answered correctly; null if there are none
    noisy: float | None  # images with random labels answered with that label
    restored: float | None  # images with random labels answered with their true class


class Epoch(BaseModel):
    """One finished epoch: means over its training batches, and over the validation set after it.

    The loss is the one that the recipe minimizes, including label smoothing and penalties.
    Accuracies are fractions.
    """

    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    seconds: float
    memorization: Memorization | None = None  # if labels were replaced by random ones


class Score(BaseModel):
    """Mean cross-entropy and top-1 accuracy (a fraction) of the final weights on a set."""

    loss: float
    accuracy: float


class ReliabilityBin(BaseModel):
    """The images with a top-1 confidence in one equal-width bin; means are null if it is empty."""

    confidence: float | None  # mean
    accuracy: float | None
    count: int


class Coverage(BaseModel):
    """The answers that remain above a confidence threshold.

    The accuracy, a fraction, is null if no answer remains.
    """

    threshold: float  # minimum top-1 confidence
    coverage: float  # share of images at or above it
    accuracy: float | None  # of those images


class Calibration(BaseModel):
    """How well confidence matches accuracy on the test set (Guo et al., 2017)."""

    mean_confidence: float  # top-1
    expected_calibration_error: float  # a fraction, over the reliability bins
    brier_score: float  # mean over images of squared errors summed over classes, 0 to 2
    reliability: list[ReliabilityBin]  # of equal width from confidence 0 to 1
    coverage: list[Coverage]


class Stability(BaseModel):
    """Share of test images that keep their top-1 class when the image changes."""

    images: int  # the first ones of the test set
    mirrored: float  # left to right
    # By 2 pixels over a reflected border, in one direction per image: image i left, right, up,
    # down for i mod 4 = 0, 1, 2, 3.
    shifted: float


class Noise(BaseModel):
    """A model's predictions for images of uniform noise."""

    most_common_class: str
    share: float  # of the images, classified as that class
    confidence: float  # mean top-1 confidence


class Article(BaseModel):
    """The article's own figures for a model, at its last epoch. Accuracies are fractions."""

    test_accuracy: float
    train_accuracy: float
    validation_accuracy: float
    train_loss: float
    validation_loss: float


class Part(BaseModel):
    """Epochs trained by one commit on one machine; a run may be resumed elsewhere."""

    first_epoch: int  # from 1
    last_epoch: int
    commit: str | None  # ends in `-dirty` if the code had changed since; null if unknown
    device: Device
    libraries: dict[str, str]


class DatasetRecord(BaseModel):
    """The images that a model was measured on, and trained on if its record has a history."""

    name: str
    source: str  # what was read
    counts: dict[str, dict[str, int]]  # images by part (training, validation, test) and class
    split: str  # how the parts were made
    duplicates: int  # images that repeat another's pixels
    contradictions: int  # of those, those with another label than the image that they repeat
    sha256: str  # over the pixels and labels of training, validation and test images, in order
    license: Known[str | None] = None
    md5: Known[dict[str, str]] = {}  # of CIFAR-10's official files


class Extension(BaseModel):
    """A bundled version whose weights started a longer training run, with a new optimizer."""

    after: int  # epochs that the version had finished
    planned: int  # epochs that its learning rate schedule was made for


class Provenance(BaseModel):
    """How a version was made."""

    command: str  # of the training, with the planned epochs; `extensions` has the finished ones
    commit: str | None  # of the code that exported it, as in a part
    parts: list[Part]  # of the training; empty if it ended before they were recorded
    extensions: list[Extension] = []  # in order; usually none


class Measured(BaseModel):
    """Measurements of one exported file on the test images and on noise."""

    test_loss: Known[float | None] = None  # mean cross-entropy
    confusion_matrix: Known[list[list[int]]] = []  # [true class][predicted class]
    noise: Known[Noise | None] = None
    calibration: Known[Calibration | None] = None
    stability: Known[Stability | None] = None

    @computed_field(exclude_if=_is_unknown)
    @cached_property  # the service reads it for each image
    def test_accuracy(self) -> float | None:
        """Top-1 accuracy on the whole test set, if it was measured."""
        if not self.confusion_matrix:
            return None
        correct = sum(row[i] for i, row in enumerate(self.confusion_matrix))
        return correct / sum(map(sum, self.confusion_matrix))

    @computed_field(exclude_if=_is_unknown)
    @property
    def balanced_accuracy(self) -> float | None:
        """Mean of the classes' test accuracies, which a large class does not dominate."""
        if not self.confusion_matrix:
            return None
        return fmean(row[i] / sum(row) for i, row in enumerate(self.confusion_matrix))

    @computed_field(exclude_if=_is_unknown)
    @property
    def majority_share(self) -> float | None:
        """Share of the most common class in the test set: the accuracy of always answering it."""
        images = [sum(row) for row in self.confusion_matrix]
        return max(images) / sum(images) if images else None


class Int8(Measured):
    """The int8 file: how many training images calibrated it, and its measurements."""

    sha256: str
    calibration_images: int


class Record(Measured):
    """The format of metadata.json: what was trained, how, and with what result.

    Derived figures (the last epoch's, the gap, the accuracies from the confusion matrix) are
    written for people who read the file. They are never read back, but derived again. The record of
    another program's file (`python -m training record`) lacks what is not known of its training.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    title: str
    version: int
    network: Known[str] = ""  # the architecture: first, second or final
    layers: Known[str] = ""
    parameters: Known[int | None] = None
    non_trainable_parameters: Known[int | None] = None
    recipe: Known[str] = ""
    seed: Known[int | None] = None
    epochs: Known[int | None] = None  # requested; `epochs_completed` counts the finished ones
    precision: Known[str] = ""  # Keras' dtype policy in training; the exported file is float32
    flips: Known[bool | None] = None  # whether it was trained on mirrored images, too
    history: Known[list[Epoch]] = []
    # Of the exported file: no dropout, no augmentation, no label smoothing.
    evaluated_train: Known[Score | None] = None
    evaluated_validation: Known[Score | None] = None
    # The file divides its logits by this; fitted on the validation set. None: not scaled.
    temperature: Known[float | None] = None
    article: Known[Article | None] = None  # None: the article has no such model
    classes: list[str]
    sha256: str  # of model.onnx
    dataset: Known[DatasetRecord | None] = None
    libraries: Known[dict[str, str]] = {}
    export_libraries: Known[dict[str, str]] = {}
    backend: Known[str] = ""
    device: Known[Device] = ""
    date: Known[str] = ""  # of the export, ISO 8601
    provenance: Known[Provenance | None] = None  # None: exported before it was recorded
    int8: Known[Int8 | None] = None

    @model_validator(mode="before")
    @classmethod
    def _check_form(cls, fields: Any) -> Any:
        if isinstance(fields, dict) and "dataset_md5" in fields:
            raise ValueError("it is of release 0.4 or earlier; export the model again")
        return fields

    @model_validator(mode="after")
    def _check_classes(self) -> Self:
        size = len(self.classes)
        for name in self.classes:
            if self.classes.count(name) > 1:
                raise ValueError(f"classes has {name!r} twice")
        files: list[Measured] = [self, self.int8] if self.int8 else [self]
        for matrix in (file.confusion_matrix for file in files if file.confusion_matrix):
            if [len(row) for row in matrix] != [size] * size:
                raise ValueError(f"confusion_matrix is not {size} by {size}, as the classes are")
            if not all(map(sum, matrix)):
                raise ValueError("confusion_matrix has a class without a test image")
        return self

    def of_int8(self) -> Self:
        """Return the record with the checksum and measurements of the int8 file.

        Raises:
            ValueError: there is no int8 file.
        """
        if self.int8 is None:
            raise ValueError(f"{self.name} version {self.version} has no int8 file")
        of_file = {"sha256", *Measured.model_fields}
        return type(self).model_validate(
            self.model_dump(exclude=of_file) | self.int8.model_dump(include=of_file)
        )

    @property
    def extensions(self) -> list[Extension]:
        """The extensions in its provenance."""
        return self.provenance.extensions if self.provenance else []

    @computed_field(exclude_if=_is_unknown)
    @property
    def class_accuracy(self) -> dict[str, float]:
        """Test accuracy by true class, if it was measured."""
        by_class = enumerate(zip(self.classes, self.confusion_matrix, strict=False))
        return {name: row[i] / sum(row) for i, (name, row) in by_class}

    @computed_field(exclude_if=lambda epochs: epochs == 0)
    @property
    def epochs_completed(self) -> int:
        """Number of finished epochs; the bundled weights are from the last one."""
        return len(self.history)

    @computed_field(exclude_if=_is_unknown)
    @property
    def best_epoch(self) -> int | None:
        """The epoch, from 1, with the highest validation accuracy."""
        accuracies = [epoch.val_accuracy for epoch in self.history]
        return 1 + accuracies.index(max(accuracies)) if accuracies else None

    @computed_field(exclude_if=_is_unknown)
    @property
    def train_accuracy(self) -> float | None:
        """Accuracy of the exported file on the training images, without augmentation."""
        return self.evaluated_train.accuracy if self.evaluated_train else None

    @computed_field(exclude_if=_is_unknown)
    @property
    def running_train_accuracy(self) -> float | None:
        """Keras' running mean over the last epoch's training batches: the article's own metric."""
        return self.history[-1].accuracy if self.history else None

    @computed_field(exclude_if=_is_unknown)
    @property
    def validation_accuracy(self) -> float | None:
        """Accuracy of the exported file on the validation images."""
        return self.evaluated_validation.accuracy if self.evaluated_validation else None

    @computed_field(exclude_if=_is_unknown)
    @property
    def generalization_gap(self) -> float | None:
        """Training minus validation accuracy: how much the model overfits."""
        if self.train_accuracy is None or self.validation_accuracy is None:
            return None
        return self.train_accuracy - self.validation_accuracy

    @computed_field(exclude_if=_is_unknown)
    @property
    def training_seconds(self) -> float | None:
        """Wall time of all finished epochs."""
        return sum(epoch.seconds for epoch in self.history) if self.history else None
