"""What a bundled model is: its classes, its ONNX contract, its files and the format of its record.

`training` writes these, `serving` reads them; both import them from here and from nowhere else.
"""

from functools import cached_property
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, computed_field, model_validator

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
IMAGE_SIZE = 32  # pixels, both sides

# The ONNX contract: `image`, uint8 [batch, 32, 32, 3] RGB -> `probabilities`, float32 [batch, 10].
INPUT = "image"
OUTPUT = "probabilities"
BATCH = "batch"

# The files of models/<name>/<version>/.
MODEL_FILE = "model.onnx"
INT8_MODEL_FILE = "model.int8.onnx"  # the same model in int8 arithmetic; not every version has it
RECORD_FILE = "metadata.json"
CURVES_FILE = "curves.png"
RELIABILITY_FILE = "reliability.png"


def version_folders(models_dir: Path, name: str = "*") -> list[Path]:
    """Return the folders <name>/<version>/ of one model, or of all.

    Left out are those that are unfinished or set aside: their name, or their model's, starts with a
    dot; and a disk's lost+found.

    Raises:
        OSError: one of these folders cannot be read.
    """
    if not models_dir.is_dir():
        return []
    models = models_dir.iterdir() if name == "*" else [models_dir / name]
    return [
        version
        for model in models
        if not model.name.startswith(".") and model.name != "lost+found" and model.is_dir()
        for version in model.iterdir()
        if version.name.isdecimal() and version.is_dir()
    ]


class Memorization(BaseModel):
    """What the network says after an epoch about training images, some with random labels.

    All are fractions of the images that stand in the name, without dropout or augmentation.
    """

    clean: float | None  # of those with their true label; null where there are none
    noisy: float | None  # of those with a random label: that label
    restored: float | None  # of the same images: their true class


class Epoch(BaseModel):
    """One finished epoch: means over its training batches, and over the validation set after it.

    A loss is what the recipe minimizes, with its label smoothing and penalties. Accuracies are
    fractions.
    """

    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    seconds: float
    memorization: Memorization | None = None  # where labels were replaced by random ones


class Score(BaseModel):
    """Mean cross-entropy and top-1 accuracy, a fraction, of finished weights on a set."""

    loss: float
    accuracy: float


class ReliabilityBin(BaseModel):
    """The images whose top-1 confidence lies in one equal-width bin; means are null if none do."""

    confidence: float | None  # mean
    accuracy: float | None
    count: int


class Coverage(BaseModel):
    """What remains when answers below a confidence threshold are left out.

    The accuracy, a fraction, is null where no answer is left.
    """

    threshold: float  # least top-1 confidence
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
    """Share of test images whose top-1 class stays the same when the image is changed."""

    images: int  # the first of the test set
    mirrored: float  # left to right
    # By 2 pixels over a reflected border, in one direction per image: image i left, right, up,
    # down for i mod 4 = 0, 1, 2, 3.
    shifted: float


class Noise(BaseModel):
    """A model's predictions for images of uniform noise, which belong to no class."""

    most_common_class: str
    share: float  # of the images classified as it
    confidence: float  # mean over the images, of the answer given


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
    commit: str | None  # ends in `-dirty` where the code was changed since; null if not known
    device: str
    libraries: dict[str, str]


class Extension(BaseModel):
    """A bundled version from whose weights a longer training started, with a new optimizer."""

    after: int  # epochs that the version had finished
    planned: int  # epochs that its learning rate was scheduled for


class Provenance(BaseModel):
    """Where a version comes from."""

    command: str  # of the training, to the planned epochs; `extensions` has the finished ones
    commit: str | None  # of the code that exported it, as in a part
    parts: list[Part]  # of the training; empty if it ended before they were recorded
    extensions: list[Extension] = []  # in their order; none is the usual case


class Measured(BaseModel):
    """Measurements of one exported file on the 10,000 test images and on noise."""

    test_loss: float  # mean cross-entropy
    confusion_matrix: list[list[int]]  # [true class][predicted class]
    noise: Noise | None = None
    # None in the record of a model that was exported before they were measured;
    # `python -m training evaluate` fills them in.
    calibration: Calibration | None = None
    stability: Stability | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        size = len(CLASSES)
        if [len(row) for row in self.confusion_matrix] != [size] * size:
            raise ValueError(f"confusion_matrix is not {size} by {size}")
        return self

    @computed_field
    @cached_property  # the service reads it for each image
    def test_accuracy(self) -> float:
        """Top-1 accuracy on the whole test set."""
        correct = sum(self.confusion_matrix[i][i] for i in range(len(CLASSES)))
        return correct / sum(map(sum, self.confusion_matrix))

    @computed_field
    @property
    def class_accuracy(self) -> dict[str, float]:
        """Test accuracy by true class."""
        return {
            name: row[i] / sum(row)
            for i, (name, row) in enumerate(zip(CLASSES, self.confusion_matrix, strict=True))
        }


class Int8(Measured):
    """The int8 file: how many training images calibrated it, and its measurements."""

    sha256: str
    calibration_images: int


class Record(Measured):
    """The format of metadata.json: what was trained, how, and with what result.

    Figures that follow from others (the last epoch's, the gap, the accuracies from the confusion
    matrix) are written for readers of the file but never read back: they are derived again.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    title: str
    version: int
    layers: str
    parameters: int
    non_trainable_parameters: int
    recipe: str
    seed: int
    epochs: int  # requested; `epochs_completed` counts the finished ones
    precision: str  # Keras' dtype policy in training; the exported file is float32
    history: list[Epoch]
    # Of the exported file on plain images: no dropout, no augmentation, no label smoothing.
    evaluated_train: Score
    evaluated_validation: Score
    # The file divides its logits by this; fitted on the validation set. None: not scaled.
    temperature: float | None = None
    article: Article
    classes: list[str]
    sha256: str  # of model.onnx
    dataset_md5: dict[str, str]
    libraries: dict[str, str]
    export_libraries: dict[str, str]
    backend: str
    device: str
    date: str  # of the export, ISO 8601
    provenance: Provenance | None = None  # None: exported before it was recorded
    int8: Int8 | None = None

    @model_validator(mode="after")
    def _check_history_and_classes(self) -> Self:
        if not self.history:
            raise ValueError("history holds no finished epoch")
        if tuple(self.classes) != CLASSES:
            raise ValueError(f"classes are {self.classes}, not CIFAR-10's {list(CLASSES)}")
        return self

    def of_int8(self) -> Self:
        """Return the record of the int8 file, with that file's checksum and measurements.

        Raises:
            ValueError: there is none.
        """
        if self.int8 is None:
            raise ValueError(f"{self.name} version {self.version} has no int8 file")
        tested = self.int8.model_dump(include={"sha256", *Measured.model_fields})
        return type(self).model_validate(self.model_dump() | tested)

    @property
    def extensions(self) -> list[Extension]:
        """As in its provenance."""
        return self.provenance.extensions if self.provenance else []

    @computed_field
    @property
    def epochs_completed(self) -> int:
        """Number of finished epochs; the bundled weights are the last one's."""
        return len(self.history)

    @computed_field
    @property
    def best_epoch(self) -> int:
        """The epoch, from 1, with the highest validation accuracy."""
        return 1 + max(range(len(self.history)), key=lambda i: self.history[i].val_accuracy)

    @computed_field
    @property
    def train_accuracy(self) -> float:
        """Accuracy of the exported file on the plain training images."""
        return self.evaluated_train.accuracy

    @computed_field
    @property
    def running_train_accuracy(self) -> float:
        """Keras' running mean over the last epoch's training batches: the article's own metric."""
        return self.history[-1].accuracy

    @computed_field
    @property
    def validation_accuracy(self) -> float:
        """Accuracy of the exported file on the validation images."""
        return self.evaluated_validation.accuracy

    @computed_field
    @property
    def generalization_gap(self) -> float:
        """Train minus validation accuracy: how far the model overfits."""
        return self.train_accuracy - self.validation_accuracy

    @computed_field
    @property
    def training_seconds(self) -> float:
        """Wall time of all finished epochs."""
        return sum(epoch.seconds for epoch in self.history)
