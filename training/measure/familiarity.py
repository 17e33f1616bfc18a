"""Measure how well cheap scores separate CIFAR-10's test images from images of other things.

Each score is higher for images that resemble the training data: the largest logit (Hendrycks et
al., 2022), the negative energy (Liu et al., 2020), the negative entropy and the largest probability
(Hendrycks and Gimpel, 2017) of one model, and the agreement of the improved models
(Lakshminarayanan et al., 2017).
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp, softmax
from scipy.stats import entropy
from sklearn.metrics import roc_auc_score

from models.bundle import INT8_MODEL_FILE, MODEL_FILE, BundleError, version_folder
from models.familiarity import (
    FAMILIAR_SHARE,
    FAMILIARITY_FILE,
    REQUIRED_AUROC,
    MeasuredFamiliarity,
    ScoreQuality,
    Threshold,
    agreement,
)
from training.bundled import improved_models, read_records
from training.data import Dataset, Images
from training.files import write_text
from training.measure.predict import predict, predict_with_logits
from training.measure.remeasure import read_served

Scores = npt.NDArray[np.float32]  # [N]


def measure_familiarity(
    models_dir: Path, dataset: Dataset, unfamiliar: Mapping[str, Images]
) -> MeasuredFamiliarity:
    """Measure every score of the bundled improved models, and write them to `models_dir`.

    Raises:
        BundleError: there are no improved models, or a record is broken.
        BundleError: a file is missing or does not match its record.
    """
    sets = {"validation": dataset.validation.images, "test": dataset.test.images, **unfamiliar}
    records = {
        name: record
        for name, record in sorted(improved_models(read_records(models_dir)).items())
        if tuple(record.classes) == dataset.classes
    }
    if not records:
        raise BundleError(
            f"{models_dir} holds no version of the improved recipe with the classes of "
            f"{dataset.name}; choose another folder with --models-dir"
        )
    float32 = {
        name: read_served(
            version_folder(models_dir, record.name, record.version) / MODEL_FILE,
            len(record.classes),
            record.sha256,
        )
        for name, record in records.items()
    }
    logits = {
        name: {kind: predict_with_logits(onnx_bytes, images)[1] for kind, images in sets.items()}
        for name, onnx_bytes in float32.items()
    }
    qualities = [
        _quality(score, name, {kind: compute(of_kind[kind]) for kind in sets})
        for name, of_kind in logits.items()
        for score, compute in _SCORES.items()
    ]
    agreements = {
        kind: agreement([softmax(of_kind[kind], axis=1) for of_kind in logits.values()])
        for kind in sets
    }
    qualities.append(_quality("agreement", "all", agreements))
    useful = qualities[-1].mean_auroc >= REQUIRED_AUROC
    int8 = {
        name: read_served(
            version_folder(models_dir, record.name, record.version) / INT8_MODEL_FILE,
            len(record.classes),
            record.int8.sha256,
        )
        for name, record in records.items()
        if record.int8
    }
    of_int8 = {
        kind: agreement([predict(onnx_bytes, images) for onnx_bytes in int8.values()])
        for kind, images in sets.items()
        if int8.keys() == records.keys()
    }
    familiarity = MeasuredFamiliarity(
        **dict(_threshold(float32, agreements, useful=useful)),
        test_images=len(sets["test"]),
        unfamiliar_images={kind: len(images) for kind, images in unfamiliar.items()},
        qualities=qualities,
        int8=_threshold(int8, of_int8, useful=useful) if of_int8 else None,
    )
    write_text(models_dir / FAMILIARITY_FILE, familiarity.model_dump_json(indent=1) + "\n")
    return familiarity


def _threshold(
    files: Mapping[str, bytes], agreements: Mapping[str, Scores], *, useful: bool
) -> Threshold:
    models = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    if not useful:
        return Threshold(models=models, threshold=None)
    threshold = float(np.quantile(agreements["validation"], 1 - FAMILIAR_SHARE))
    below = {
        kind: float((of_kind < threshold).mean())
        for kind, of_kind in agreements.items()
        if kind != "validation"
    }
    return Threshold(models=models, threshold=threshold, below_threshold=below)


def _quality(score: str, model: str, scores: Mapping[str, Scores]) -> ScoreQuality:
    test = scores["test"]
    auroc = {
        kind: float(
            roc_auc_score(
                np.repeat([1, 0], [len(test), len(others)]), np.concatenate([test, others])
            )
        )
        for kind, others in scores.items()
        if kind not in {"validation", "test"}
    }
    return ScoreQuality(
        score=score, model=model, auroc=auroc, mean_auroc=sum(auroc.values()) / len(auroc)
    )


_SCORES: Mapping[str, Callable[[npt.NDArray[np.float32]], Scores]] = {  # of logits [N, 10]
    "largest logit": lambda logits: logits.max(axis=1),
    "negative energy": lambda logits: logsumexp(logits, axis=1),
    "negative entropy": lambda logits: -entropy(softmax(logits, axis=1), axis=1),
    "largest probability": lambda logits: softmax(logits, axis=1).max(axis=1),
}
