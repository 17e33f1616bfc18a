"""Find training images that version 1 of a model has memorized, and version 2 has not."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from models.bundle import MODEL_FILE, read_model, read_record
from models.measurements import rounded
from training.bundled import of_images
from training.data import Dataset
from training.files import check_writable, replaced
from training.measure.predict import Probabilities, predict


@dataclass(frozen=True)
class Memorized:
    """A training image: its label and both versions' answers (classes) and confidences."""

    index: int  # among the images to train on, from 0
    label: str
    answer_1: str
    confidence_1: float
    answer_2: str
    confidence_2: float


def memorized(folder: Path, dataset: Dataset) -> list[Memorized]:
    """Return the images whose given label version 1 in `folder` answers, and version 2 does not.

    Those with version 1's highest confidence come first; of equal ones, those with version 2's.

    Raises:
        BundleError: a version is missing, damaged, or of other images.
    """
    labels = dataset.train.labels
    (answers_1, confidences_1), (answers_2, confidences_2) = (
        (probabilities.argmax(1), probabilities.max(1))
        for probabilities in (_predict(folder / version, dataset) for version in ("1", "2"))
    )
    [found] = np.nonzero((answers_1 == labels) & (answers_2 != labels))
    order = np.lexsort((-confidences_2[found], -confidences_1[found]))  # by the last one first
    return [
        Memorized(
            int(i),
            dataset.classes[labels[i]],
            *(dataset.classes[answers_1[i]], rounded(confidences_1[i])),
            *(dataset.classes[answers_2[i]], rounded(confidences_2[i])),
        )
        for i in found[order]
    ]


def write_images(found: Iterable[Memorized], dataset: Dataset, folder: Path) -> None:
    """Write each image's pixels as <index>.png; create the folder if it is missing.

    Raises:
        WriteError: the folder, or a file in it, cannot be written.
    """
    check_writable(folder)
    for image in found:
        with replaced(folder / f"{image.index}.png") as unfinished:
            Image.fromarray(dataset.train.images[image.index]).save(unfinished)


def _predict(folder: Path, dataset: Dataset) -> Probabilities:
    record = read_record(folder)
    of_images([folder], dataset)  # refuses a version of other images
    return predict(read_model(folder / MODEL_FILE, record.sha256), dataset.train.images)
