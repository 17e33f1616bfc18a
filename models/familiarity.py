"""The format of familiarity.json: how well scores detect images outside the training distribution.

`training familiarity` writes it, `serving` reads it; both compute the score with `agreement`.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from models.bundle import read_json

FAMILIARITY_FILE = "familiarity.json"  # in the models folder
REQUIRED_AUROC = 0.85  # mean over the kinds; set before the first measurement
FAMILIAR_SHARE = 0.95  # of the validation images


class ScoreQuality(BaseModel):
    """How well a score of one model, or of all, separates familiar images from others."""

    score: str
    model: str  # `all` for a score of the improved models together
    auroc: dict[str, float]  # by kind of unfamiliar image
    mean_auroc: float  # over the kinds


class Threshold(BaseModel):
    """The agreement that familiar images reach, measured with these files."""

    models: dict[str, str]  # SHA-256 of each measured file, by the model's name
    # The agreement that `FAMILIAR_SHARE` of the validation images reach; None if the mean AUROC
    # is below `REQUIRED_AUROC`.
    threshold: float | None
    # The share of images below the threshold, by kind; `test` are CIFAR-10's.
    below_threshold: dict[str, float] = {}


class MeasuredFamiliarity(Threshold):
    """How well scores separate CIFAR-10's test images from images outside its classes."""

    test_images: int
    unfamiliar_images: dict[str, int]  # by kind
    qualities: list[ScoreQuality]
    int8: Threshold | None = None  # with the same models' int8 files


def read_familiarity(models_dir: Path) -> MeasuredFamiliarity | None:
    """Return the measurement of the bundled models; None if there is none.

    Raises:
        BundleError: the file cannot be read, or has another format.
    """
    advice = "create it again with python -m training familiarity"
    return read_json(models_dir / FAMILIARITY_FILE, MeasuredFamiliarity, advice)


def agreement(probabilities: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Return the negative Jensen-Shannon divergence [N] of models' probabilities [N, classes].

    In nats; 0 if they agree entirely (Lin, 1991).
    """
    each = np.stack(probabilities)
    divergence: npt.NDArray[np.float32] = _entropy(each.mean(axis=0)) - _entropy(each).mean(axis=0)
    return np.minimum(-divergence, 0)  # rounding may push it above 0


def _entropy(probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    smallest = np.finfo(np.float32).tiny
    entropy: npt.NDArray[np.float32] = -(
        probabilities * np.log(np.maximum(probabilities, smallest))
    ).sum(axis=-1)
    return entropy
