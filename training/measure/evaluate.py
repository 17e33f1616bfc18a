"""All measurements in a record, from an exported file's outputs and the labels."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.measurements import (
    Calibration,
    Coverage,
    Measured,
    Noise,
    ReliabilityBin,
    Score,
    Stability,
)
from models.record import IMAGE_SIZE
from training.data import Dataset, Images, Labels
from training.measure.predict import Logits, Probabilities, predict, predict_with_logits

RELIABILITY_BINS = 15  # of equal width
THRESHOLDS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
SHIFT = 2  # pixels
STABILITY_IMAGES = 2000  # the first ones of the test set; standard error below 1.2 points


def measure(onnx_bytes: bytes, dataset: Dataset) -> Measured:
    """Run a file on the test images, plain, mirrored and shifted, and on noise."""
    test = dataset.test
    probabilities, logits = predict_with_logits(onnx_bytes, test.images)
    images = test.images[:STABILITY_IMAGES]
    answers = probabilities[:STABILITY_IMAGES].argmax(1)
    return Measured(
        test_loss=score(logits, test.labels).loss,
        confusion_matrix=confusion_matrix(probabilities, test.labels),
        calibration=calibration(probabilities, test.labels),
        stability=Stability(
            images=len(images),
            mirrored=_same(answers, predict(onnx_bytes, images[:, :, ::-1])),
            shifted=_same(answers, predict(onnx_bytes, shifted(images))),
        ),
        noise=on_noise(onnx_bytes, dataset.classes),
    )


def score_training(onnx_bytes: bytes, dataset: Dataset) -> tuple[Score, Score]:
    """Run a file on the images to train on and for validation; return its two scores."""
    training, validation = (
        score(predict_with_logits(onnx_bytes, part.images)[1], part.labels)
        for part in (dataset.train, dataset.validation)
    )
    return training, validation


def score(logits: Logits, labels: Labels) -> Score:
    """Return the mean cross-entropy and the top-1 accuracy."""
    z = logits.astype(np.float64)
    losses = np.logaddexp.reduce(z, axis=1) - z[np.arange(len(labels)), labels]
    return Score(loss=float(losses.mean()), accuracy=float((z.argmax(1) == labels).mean()))


def confusion_matrix(probabilities: Probabilities, labels: Labels) -> list[list[int]]:
    """Return counts [true class][predicted class]."""
    classes = probabilities.shape[1]
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (labels, probabilities.argmax(1)), 1)
    rows: list[list[int]] = counts.tolist()
    return rows


def calibration(probabilities: Probabilities, labels: Labels) -> Calibration:
    """Return how well the top-1 confidences match the accuracy."""
    confidence = probabilities.max(1).astype(np.float64)
    right = probabilities.argmax(1) == labels
    # Intervals include their upper bound, as in Guo et al.: a confidence of 1 is in the last one.
    place = np.clip(np.ceil(confidence * RELIABILITY_BINS).astype(int) - 1, 0, RELIABILITY_BINS - 1)
    bins = [_bin(confidence[place == i], right[place == i]) for i in range(RELIABILITY_BINS)]
    gaps = [b.count * abs(b.confidence - b.accuracy) for b in bins if b.count]  # type: ignore[operator]  # numbers where there is an image
    errors = probabilities.astype(np.float64) - np.eye(probabilities.shape[1])[labels]
    return Calibration(
        mean_confidence=float(confidence.mean()),
        expected_calibration_error=sum(gaps) / len(labels),
        brier_score=float((errors**2).sum(1).mean()),
        reliability=bins,
        coverage=[_coverage(threshold, confidence, right) for threshold in THRESHOLDS],
    )


def shifted(images: Images) -> Images:
    """Return each image shifted by `SHIFT` pixels over a reflected border.

    Image i goes left, right, up, down for i mod 4 = 0, 1, 2, 3.
    """
    border = ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0))
    padded = np.pad(images, border, mode="reflect")
    moved = np.empty_like(images)
    for i, (down, right) in enumerate(((0, -1), (0, 1), (-1, 0), (1, 0))):
        top, left = SHIFT * (1 - down), SHIFT * (1 - right)
        moved[i::4] = padded[i::4, top : top + IMAGE_SIZE, left : left + IMAGE_SIZE]
    return moved


def on_noise(onnx_bytes: bytes, classes: Sequence[str]) -> Noise:
    """Run the model on 1,000 images of uniform noise."""
    shape = (1000, IMAGE_SIZE, IMAGE_SIZE, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    probabilities = predict(onnx_bytes, images)
    counts = np.bincount(probabilities.argmax(1), minlength=len(classes))
    return Noise(
        most_common_class=classes[int(counts.argmax())],
        share=float(counts.max() / counts.sum()),
        confidence=float(probabilities.max(1).mean()),
    )


def _bin(confidence: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> ReliabilityBin:
    if not len(right):
        return ReliabilityBin(confidence=None, accuracy=None, count=0)
    return ReliabilityBin(
        confidence=float(confidence.mean()), accuracy=float(right.mean()), count=len(right)
    )


def _coverage(
    threshold: float, confidence: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]
) -> Coverage:
    kept = right[confidence >= threshold]
    return Coverage(
        threshold=threshold,
        coverage=len(kept) / len(right),
        accuracy=float(kept.mean()) if len(kept) else None,
    )


def _same(answers: npt.NDArray[np.int64], probabilities: Probabilities) -> float:
    return float((answers == probabilities.argmax(1)).mean())
