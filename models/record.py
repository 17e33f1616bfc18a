"""A bundled model: its classes, its ONNX contract, its files and the format of its record.

`training` writes them, `serving` reads them; both import the definitions from here.
"""

import re
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, computed_field, model_validator

from models import IMAGE_SIZE as IMAGE_SIZE  # noqa: PLC0414  # decoders start without pydantic
from models.measurements import Epoch, Known, Measured, Score, is_unknown, rounded

# CIFAR-10's classes, in the order of its labels.
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

# The ONNX contract: `image`, uint8 [batch, 32, 32, 3] RGB -> `probabilities`, float32
# [batch, number of classes].
INPUT = "image"
OUTPUT = "probabilities"
BATCH = "batch"


def short_device(device: str) -> str:
    """Return a device's name without TensorFlow's path: CPU:0 for /job:…/task:0/device:CPU:0."""
    return re.sub(r"/job:\S*/device:", "", device)


Device = Annotated[str, AfterValidator(short_device)]  # records before 0.5 have the path


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

    @computed_field(exclude_if=is_unknown)
    @property
    def class_accuracy(self) -> dict[str, float]:
        """Test accuracy by true class, if it was measured."""
        by_class = enumerate(zip(self.classes, self.confusion_matrix, strict=False))
        return {name: rounded(row[i] / sum(row)) for i, (name, row) in by_class}

    @computed_field(exclude_if=lambda epochs: epochs == 0)
    @property
    def epochs_completed(self) -> int:
        """Number of finished epochs; the bundled weights are from the last one."""
        return len(self.history)

    @computed_field(exclude_if=is_unknown)
    @property
    def best_epoch(self) -> int | None:
        """The epoch, from 1, with the highest validation accuracy."""
        accuracies = [epoch.val_accuracy for epoch in self.history]
        return 1 + accuracies.index(max(accuracies)) if accuracies else None

    @computed_field(exclude_if=is_unknown)
    @property
    def train_accuracy(self) -> float | None:
        """Accuracy of the exported file on the training images, without augmentation."""
        return rounded(self.evaluated_train.accuracy) if self.evaluated_train else None

    @computed_field(exclude_if=is_unknown)
    @property
    def running_train_accuracy(self) -> float | None:
        """Keras' running mean over the last epoch's training batches: the article's own metric."""
        return self.history[-1].accuracy if self.history else None

    @computed_field(exclude_if=is_unknown)
    @property
    def validation_accuracy(self) -> float | None:
        """Accuracy of the exported file on the validation images."""
        found = self.evaluated_validation
        return rounded(found.accuracy) if found else None

    @computed_field(exclude_if=is_unknown)
    @property
    def generalization_gap(self) -> float | None:
        """Training minus validation accuracy: how much the model overfits."""
        if self.train_accuracy is None or self.validation_accuracy is None:
            return None
        return self.train_accuracy - self.validation_accuracy

    @computed_field(exclude_if=is_unknown)
    @property
    def training_seconds(self) -> float | None:
        """Wall time of all finished epochs."""
        return sum(epoch.seconds for epoch in self.history) if self.history else None
