"""All measurements in a record, from an exported file's probabilities and the labels."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import onnxruntime

from models.record import (
    CLASSES,
    IMAGE_SIZE,
    INPUT,
    OUTPUT,
    Calibration,
    Coverage,
    Measured,
    Noise,
    ReliabilityBin,
    Score,
    Stability,
)
from training.data import Split

if TYPE_CHECKING:
    import keras

BATCH_SIZE = 250  # images
RELIABILITY_BINS = 15  # of equal width
THRESHOLDS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
SHIFT = 2  # pixels
STABILITY_IMAGES = 2000  # the first of the test set; a standard error below 1.2 points

Probabilities = npt.NDArray[np.float32]  # [N, 10]
Images = npt.NDArray[np.uint8]  # [N, 32, 32, 3], RGB
Labels = npt.NDArray[np.uint8]  # [N]


def predict(onnx_bytes: bytes, images: Images, output: str = OUTPUT) -> Probabilities:
    """Return a file's probabilities, or another output of its graph, float32 [N, 10]."""
    options = onnxruntime.SessionOptions()
    # Threads that spin while they wait would take cores from a training that runs alongside.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(onnx_bytes, options, providers=["CPUExecutionProvider"])
    batches = [
        session.run([output], {INPUT: images[start : start + BATCH_SIZE]})[0]
        for start in range(0, len(images), BATCH_SIZE)
    ]
    return np.concatenate(batches)


def predict_keras(model: "keras.Model", images: Images) -> Probabilities:
    """Return a network's probabilities."""
    # Imported here because evaluating exported files does not need it.
    import keras  # noqa: PLC0415

    logits = model.predict(images.astype("float32"), batch_size=BATCH_SIZE, verbose=0)
    probabilities: Probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    return probabilities


def measure(onnx_bytes: bytes, test: Split) -> Measured:
    """Run a file on the test images, plain, mirrored and shifted, and on noise."""
    probabilities = predict(onnx_bytes, test.images)
    images = test.images[:STABILITY_IMAGES]
    answers = probabilities[:STABILITY_IMAGES].argmax(1)
    return Measured(
        test_loss=score(probabilities, test.labels).loss,
        confusion_matrix=confusion_matrix(probabilities, test.labels),
        calibration=calibration(probabilities, test.labels),
        stability=Stability(
            images=len(images),
            mirrored=_same(answers, predict(onnx_bytes, images[:, :, ::-1])),
            shifted=_same(answers, predict(onnx_bytes, shifted(images))),
        ),
        noise=on_noise(onnx_bytes),
    )


def score(probabilities: Probabilities, labels: Labels) -> Score:
    """Return the mean cross-entropy and the top-1 accuracy."""
    of_label = probabilities[np.arange(len(labels)), labels]
    # Clipped as in Keras, so that a probability rounded to 0 does not make the mean infinite.
    loss = -np.log(np.clip(of_label, 1e-7, 1), dtype=np.float64).mean()
    return Score(loss=float(loss), accuracy=float((probabilities.argmax(1) == labels).mean()))


def confusion_matrix(probabilities: Probabilities, labels: Labels) -> list[list[int]]:
    """Return counts [true class][predicted class]."""
    counts = np.zeros((len(CLASSES), len(CLASSES)), dtype=np.int64)
    np.add.at(counts, (labels, probabilities.argmax(1)), 1)
    rows: list[list[int]] = counts.tolist()
    return rows


def calibration(probabilities: Probabilities, labels: Labels) -> Calibration:
    """Return how well the top-1 confidences match the accuracy."""
    confidence = probabilities.max(1).astype(np.float64)
    right = probabilities.argmax(1) == labels
    # Intervals are closed above, as in Guo et al.: a confidence of 1 falls in the last.
    place = np.clip(np.ceil(confidence * RELIABILITY_BINS).astype(int) - 1, 0, RELIABILITY_BINS - 1)
    bins = [_bin(confidence[place == i], right[place == i]) for i in range(RELIABILITY_BINS)]
    gaps = [b.count * abs(b.confidence - b.accuracy) for b in bins if b.count]  # type: ignore[operator]  # numbers where there is an image
    errors = probabilities.astype(np.float64) - np.eye(len(CLASSES))[labels]
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


def on_noise(onnx_bytes: bytes) -> Noise:
    """Run the model on 1,000 images of uniform noise."""
    shape = (1000, IMAGE_SIZE, IMAGE_SIZE, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    probabilities = predict(onnx_bytes, images)
    counts = np.bincount(probabilities.argmax(1), minlength=len(CLASSES))
    return Noise(
        most_common_class=CLASSES[counts.argmax()],
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
