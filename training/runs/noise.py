"""The training images of a run: fewer images, or random labels, if the recipe says so."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from models.measurements import Memorization
from training.data import Dataset, Labels, Split
from training.measure.predict import predict_keras
from training.networks.recipes import Recipe

if TYPE_CHECKING:
    import keras

MEASURED_IMAGES = 10_000  # the first ones, after each epoch


@dataclass(frozen=True)
class TrainingPart:
    """The images and labels of a run."""

    images: Split  # with the labels that it trains on
    true_labels: Labels
    is_noisy: npt.NDArray[np.bool_]  # [N], where the label was replaced by a random one
    examples: int  # in an epoch; with fewer images, each comes several times

    def memorization(self, model: "keras.Model", images: int | None = None) -> Memorization | None:
        """Measure a network on the first images; return None if all labels are true."""
        if not self.is_noisy.any():
            return None
        some = slice(images or MEASURED_IMAGES)
        noisy, true = self.is_noisy[some], self.true_labels[some]
        answers = predict_keras(model, self.images.images[some]).argmax(1)
        given = answers == self.images.labels[some]
        return Memorization(
            clean=_share(given[~noisy]),
            noisy=_share(given[noisy]),
            restored=_share((answers == true)[noisy]),
        )


def training_part(recipe: Recipe, dataset: Dataset, seed: int) -> TrainingPart:
    """Return the images and labels that a recipe trains on with a seed.

    Random labels are uniform over all classes, so some of them are correct by chance (Zhang et al.,
    2017, arXiv:1611.03530). Fewer images are the first of each class, the same for each seed, and
    an epoch still has as many examples as with all images.
    """
    training, classes = dataset.train, len(dataset.classes)
    examples = len(training)
    if recipe.training_images is not None:
        training = _first(training, recipe.training_images // classes, classes)
    labels = training.labels.copy()
    is_noisy = np.zeros(len(labels), dtype=bool)
    if recipe.label_noise:
        random = np.random.default_rng(seed)
        replaced = random.permutation(len(labels))[: round(recipe.label_noise * len(labels))]
        is_noisy[replaced] = True
        smallest = np.min_scalar_type(classes - 1)  # the type decides which numbers a seed gives
        labels[replaced] = random.integers(classes, size=len(replaced), dtype=smallest)
    return TrainingPart(Split(training.images, labels), training.labels, is_noisy, examples)


def _first(split: Split, of_each_class: int, classes: int) -> Split:
    kept = [np.flatnonzero(split.labels == label)[:of_each_class] for label in range(classes)]
    return split.take(np.sort(np.concatenate(kept)))


def _share(right: npt.NDArray[np.bool_]) -> float | None:
    return float(right.mean()) if len(right) else None
