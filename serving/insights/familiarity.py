"""Whether an image looks like the models' training images, as measured by `training`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.bundle import BundleError
from models.familiarity import MeasuredFamiliarity, agreement, read_familiarity
from models.measurements import rounded
from serving.errors import StartError
from serving.http.answers import Familiarity
from serving.inference.classifier import Classifier


def load_familiarity(models_dir: Path) -> MeasuredFamiliarity | None:
    """Return the measurement of the bundled models; None if there is none.

    Raises:
        StartError: the file is damaged.
    """
    try:
        return read_familiarity(models_dir)
    except BundleError as error:
        raise StartError(str(error)) from error


def familiarity_of(
    measured: MeasuredFamiliarity | None,
    classifiers: Sequence[Classifier],
    probabilities: Sequence[npt.NDArray[np.float32]],
) -> list[Familiarity | None]:
    """Return each image's familiarity, from the models' probabilities [N, classes].

    None for each image unless `classifiers` include all the files that were measured.
    """
    if not probabilities:  # every image was refused
        return []
    answers = {
        classifier.record.sha256: of_model
        for classifier, of_model in zip(classifiers, probabilities, strict=True)
    }
    for files in (measured, measured.int8) if measured else ():
        if files and files.threshold is not None and set(files.models.values()) <= set(answers):
            agreements = agreement([answers[sha256] for sha256 in files.models.values()])
            return [
                {"agreement": rounded(value), "familiar": bool(value >= files.threshold)}
                for value in agreements
            ]
    return [None] * len(probabilities[0])
