"""What is measured of a network or of an exported file, as records and studies hold it."""

from functools import cached_property
from statistics import fmean
from typing import Annotated, Any, SupportsFloat, TypeVar

from pydantic import BaseModel, Field, computed_field


def is_unknown(value: Any) -> bool:
    """Return whether a field was not measured."""
    return value in (None, "", [], {})


def rounded(fraction: SupportsFloat) -> float:
    """Round a probability or a share; further digits differ between processors."""
    return round(float(fraction), 6)


_T = TypeVar("_T")
# A field that a record may lack: what was not measured is left out of files and answers.
Known = Annotated[_T, Field(exclude_if=is_unknown)]


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


class Measured(BaseModel):
    """Measurements of one exported file on the test images and on noise."""

    test_loss: Known[float | None] = None  # mean cross-entropy
    confusion_matrix: Known[list[list[int]]] = []  # [true class][predicted class]
    noise: Known[Noise | None] = None
    calibration: Known[Calibration | None] = None
    stability: Known[Stability | None] = None

    @computed_field(exclude_if=is_unknown)
    @cached_property  # the service reads it for each image
    def test_accuracy(self) -> float | None:
        """Top-1 accuracy on the whole test set, if it was measured."""
        if not self.confusion_matrix:
            return None
        correct = sum(row[i] for i, row in enumerate(self.confusion_matrix))
        return rounded(correct / sum(map(sum, self.confusion_matrix)))

    @computed_field(exclude_if=is_unknown)
    @property
    def balanced_accuracy(self) -> float | None:
        """Mean of the classes' test accuracies, which a large class does not dominate."""
        if not self.confusion_matrix:
            return None
        return rounded(fmean(row[i] / sum(row) for i, row in enumerate(self.confusion_matrix)))

    @computed_field(exclude_if=is_unknown)
    @property
    def majority_share(self) -> float | None:
        """Share of the most common class in the test set: the accuracy of always answering it."""
        images = [sum(row) for row in self.confusion_matrix]
        return rounded(max(images) / sum(images)) if images else None
