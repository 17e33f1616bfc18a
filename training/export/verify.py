"""Measure bundled versions on this machine, with the service's own sessions."""

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.bundle import Arithmetic, version_folder
from serving.errors import StartError
from serving.inference.classifier import Classifier
from serving.inference.providers import CPU
from serving.inference.registry import load_classifiers
from serving.settings import Settings
from training import TrainingError
from training.bundled import of_images
from training.data import Dataset, Split

TOLERANCE = 0.1  # points of accuracy


class DifferenceError(TrainingError):
    """A version's accuracy here differs from its record."""


@dataclass(frozen=True)
class Verified:
    """One version's measurements."""

    name: str
    version: int
    recorded: float | None  # test accuracies, fractions; None if there is none
    found: float
    # Of a probability, compared with the float32 file on the CPU; None for that file itself.
    largest_difference: float | None
    images_per_second: float
    precision: Arithmetic
    provider: str

    @property
    def differs(self) -> bool:
        """Whether the accuracy differs from the record."""
        return self.recorded is not None and 100 * abs(self.found - self.recorded) > TOLERANCE

    def __str__(self) -> str:
        largest = self.largest_difference
        difference = (
            ""
            if largest is None
            else f"probabilities within {largest:.1e} of float32's on the CPU, "
        )
        return (
            f"{self.name} version {self.version}: "
            f"{'not recorded' if self.recorded is None else f'recorded {self.recorded:.2%}'}, "
            f"found {self.found:.2%}, {difference}"
            f"{self.images_per_second:,.0f} images/s, {self.precision}, {self.provider}"
        )


def verify(settings: Settings, dataset: Dataset) -> list[Verified]:
    """Run the versions of these images that the service would load with these settings.

    Raises:
        TrainingError: the service would not start, or there is no such version.
    """
    reference = settings.model_copy(update={"provider": "cpu", "precision": "float32"})
    try:
        classifiers = load_classifiers(settings)
        same = all((c.precision, c.provider) == ("float32", CPU) for c in classifiers)
        references = classifiers if same else load_classifiers(reference)
    except StartError as error:
        raise TrainingError(str(error)) from error
    pairs = {
        version_folder(settings.models_dir, one.record.name, one.record.version): (one, other)
        for one, other in zip(classifiers, references, strict=True)
    }
    return [_verify(*pairs[folder], dataset.test) for folder in of_images(list(pairs), dataset)]


def _verify(classifier: Classifier, reference: Classifier, test: Split) -> Verified:
    started = time.perf_counter()
    found = _predict(classifier, test)
    seconds = time.perf_counter() - started
    difference = None
    if classifier is not reference:
        difference = float(np.abs(found - _predict(reference, test)).max())
    return Verified(
        name=classifier.record.name,
        version=classifier.record.version,
        recorded=classifier.record.test_accuracy,
        found=float((found.argmax(1) == test.labels).mean()),
        largest_difference=difference,
        images_per_second=len(found) / seconds,
        precision=classifier.precision,
        provider=classifier.provider,
    )


def _predict(classifier: Classifier, test: Split) -> npt.NDArray[np.float32]:
    size = classifier.max_batch
    batches = range(0, len(test.images), size)
    return np.concatenate([classifier.classify(test.images[i : i + size]) for i in batches])
