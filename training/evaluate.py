"""An exported model and labelled images to its loss and confusion matrix."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnxruntime

from models.record import CLASSES, INPUT, OUTPUT
from training.data import Split

BATCH_SIZE = 250  # images


@dataclass(frozen=True)
class Evaluation:
    """Mean cross-entropy, and counts [true class, predicted class], int64 [10, 10]."""

    loss: float
    confusion_matrix: npt.NDArray[np.int64]


def evaluate(onnx_bytes: bytes, split: Split) -> Evaluation:
    """Run the exported model over a whole split."""
    probabilities = predict(onnx_bytes, split.images)
    of_label = probabilities[np.arange(len(split.labels)), split.labels]
    confusion_matrix = np.zeros((len(CLASSES), len(CLASSES)), dtype=np.int64)
    np.add.at(confusion_matrix, (split.labels, probabilities.argmax(1)), 1)
    # Keras clips likewise, so that a probability rounded to 0 does not make the mean infinite.
    loss = -np.log(np.clip(of_label, 1e-7, 1)).mean()
    return Evaluation(loss=float(loss), confusion_matrix=confusion_matrix)


def predict(onnx_bytes: bytes, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return probabilities, float32 [N, 10], of images, uint8 [N, 32, 32, 3]."""
    session = onnxruntime.InferenceSession(onnx_bytes, providers=["CPUExecutionProvider"])
    batches = [
        session.run([OUTPUT], {INPUT: images[start : start + BATCH_SIZE]})[0]
        for start in range(0, len(images), BATCH_SIZE)
    ]
    return np.concatenate(batches)
