"""What a bundled model is: its classes, its ONNX contract, its files and the form of its record.

`training` writes these, `serving` reads them; both import them from here and from nowhere else.
"""

from functools import cached_property
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


class Epoch(BaseModel):
    """One finished epoch: means over its training batches, and over the validation set after it.

    Accuracies are fractions.
    """

    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    seconds: float


class Score(BaseModel):
    """Mean cross-entropy and top-1 accuracy, a fraction, of finished weights on a set."""

    loss: float
    accuracy: float


class Shown(BaseModel):
    """Accuracies, fractions, that stand beside the article's, and the gap between them."""

    train_accuracy: float
    validation_accuracy: float
    gap: float


class Noise(BaseModel):
    """What a model makes of pictures of uniform noise, which belong to no class."""

    most_common_class: str
    share: float  # of the pictures that get it
    confidence: float  # mean over the pictures, of the answer given


class Article(BaseModel):
    """The article's own figures for a model, at its last epoch. Accuracies are fractions."""

    test_accuracy: float
    train_accuracy: float
    validation_accuracy: float
    train_loss: float
    validation_loss: float


class Int8(BaseModel):
    """The file of int8 arithmetic: of how many training images its ranges are, and its test."""

    sha256: str
    calibration_images: int
    test_loss: float
    confusion_matrix: list[list[int]]

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_confusion_matrix(self.confusion_matrix)
        return self

    @computed_field
    @property
    def test_accuracy(self) -> float:
        """Top-1, on the whole test set."""
        return _accuracy(self.confusion_matrix)


class Record(BaseModel):
    """The form of metadata.json: what was trained, how, and what came out.

    Figures that follow from others (the last epoch's, the gap, the accuracies behind the confusion
    matrix) are written for the reader of the file but never read back: they are derived again.
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
    epochs: int  # asked for; `epochs_completed` counts the finished ones
    precision: str  # Keras' dtype policy in training; the exported file is float32
    history: list[Epoch]
    # Of the exported file: no dropout, no augmentation, no label smoothing.
    evaluated_train: Score
    evaluated_validation: Score
    test_loss: float
    noise: Noise
    confusion_matrix: list[list[int]]  # [true class][predicted class], on the test set
    article: Article
    classes: list[str]
    sha256: str  # of model.onnx
    dataset_md5: dict[str, str]
    libraries: dict[str, str]
    export_libraries: dict[str, str]
    backend: str
    device: str
    date: str  # of the export, ISO 8601
    int8: Int8 | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.history:
            raise ValueError("history holds no finished epoch")
        if tuple(self.classes) != CLASSES:
            raise ValueError(f"classes are {self.classes}, not CIFAR-10's {list(CLASSES)}")
        _check_confusion_matrix(self.confusion_matrix)
        return self

    def of_int8(self) -> Self:
        """Return the record of the int8 file: its checksum and test instead of the float32 one's.

        Raises:
            ValueError: there is none.
        """
        if self.int8 is None:
            raise ValueError(f"{self.name} version {self.version} has no int8 file")
        tested = self.int8.model_dump(include={"sha256", "test_loss", "confusion_matrix"})
        return type(self).model_validate(self.model_dump() | tested)

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
    def train_loss(self) -> float:
        """Mean over the last epoch's batches."""
        return self.history[-1].loss

    @computed_field
    @property
    def train_accuracy(self) -> float:
        """Mean over the last epoch's batches, dropout active: the figure that the article plots."""
        return self.history[-1].accuracy

    @computed_field
    @property
    def validation_loss(self) -> float:
        """After the last epoch."""
        return self.history[-1].val_loss

    @computed_field
    @property
    def validation_accuracy(self) -> float:
        """After the last epoch."""
        return self.history[-1].val_accuracy

    @computed_field
    @property
    def generalisation_gap(self) -> float:
        """Train minus validation accuracy in the last epoch, as the article plots them."""
        return self.train_accuracy - self.validation_accuracy

    @computed_field
    @property
    def evaluated_gap(self) -> float:
        """Train minus validation accuracy of the exported file.

        How far the model overfits, also where dropout or augmentation makes training harder than
        the pictures are.
        """
        return self.evaluated_train.accuracy - self.evaluated_validation.accuracy

    @computed_field
    @property
    def shown(self) -> Shown:
        """The figures to set beside the article's.

        The article's recipe: Keras' means over the last epoch, as the article has them. Another
        one, which may train on harder pictures than there are: those of the exported file.
        """
        if self.recipe == "article":
            train, validation = self.train_accuracy, self.validation_accuracy
        else:
            train = self.evaluated_train.accuracy
            validation = self.evaluated_validation.accuracy
        return Shown(train_accuracy=train, validation_accuracy=validation, gap=train - validation)

    @computed_field
    @cached_property  # the service asks for it with each picture
    def test_accuracy(self) -> float:
        """Top-1, on the whole test set, of the exported file."""
        return _accuracy(self.confusion_matrix)

    @computed_field
    @property
    def class_accuracy(self) -> dict[str, float]:
        """Test accuracy by true class."""
        return {
            name: row[i] / sum(row)
            for i, (name, row) in enumerate(zip(CLASSES, self.confusion_matrix, strict=True))
        }

    @computed_field
    @property
    def training_seconds(self) -> float:
        """Wall time of all finished epochs."""
        return sum(epoch.seconds for epoch in self.history)


def _check_confusion_matrix(counts: list[list[int]]) -> None:
    size = len(CLASSES)
    if [len(row) for row in counts] != [size] * size:
        raise ValueError(f"confusion_matrix is not {size} by {size}")


def _accuracy(confusion_matrix: list[list[int]]) -> float:
    correct = sum(confusion_matrix[i][i] for i in range(len(CLASSES)))
    return correct / sum(map(sum, confusion_matrix))
