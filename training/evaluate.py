"""A model's probabilities and true labels to its loss, accuracy and confusion matrix."""

import keras
import numpy as np
import numpy.typing as npt
import onnxruntime

from models.record import CLASSES, IMAGE_SIZE, INPUT, OUTPUT, Noise, Score

BATCH_SIZE = 250  # images


def predict(onnx_bytes: bytes, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return probabilities, float32 [N, 10], of images, uint8 [N, 32, 32, 3]."""
    session = onnxruntime.InferenceSession(onnx_bytes, providers=["CPUExecutionProvider"])
    batches = [
        session.run([OUTPUT], {INPUT: images[start : start + BATCH_SIZE]})[0]
        for start in range(0, len(images), BATCH_SIZE)
    ]
    return np.concatenate(batches)


def predict_keras(model: keras.Model, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return a network's probabilities, float32 [N, 10], of images, uint8 [N, 32, 32, 3]."""
    logits = model.predict(images.astype("float32"), batch_size=BATCH_SIZE, verbose=0)
    probabilities: npt.NDArray[np.float32] = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    return probabilities


def score(probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.uint8]) -> Score:
    """Return the mean cross-entropy and the top-1 accuracy."""
    of_label = probabilities[np.arange(len(labels)), labels]
    # Keras clips likewise, so that a probability rounded to 0 does not make the mean infinite.
    loss = -np.log(np.clip(of_label, 1e-7, 1), dtype=np.float64).mean()
    return Score(loss=float(loss), accuracy=float((probabilities.argmax(1) == labels).mean()))


def confusion_matrix(
    probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.uint8]
) -> list[list[int]]:
    """Return counts [true class][predicted class]."""
    counts = np.zeros((len(CLASSES), len(CLASSES)), dtype=np.int64)
    np.add.at(counts, (labels, probabilities.argmax(1)), 1)
    rows: list[list[int]] = counts.tolist()
    return rows


def on_noise(onnx_bytes: bytes) -> Noise:
    """Run the model on 1,000 pictures of uniform noise."""
    shape = (1000, IMAGE_SIZE, IMAGE_SIZE, 3)
    pictures = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    probabilities = predict(onnx_bytes, pictures)
    counts = np.bincount(probabilities.argmax(1), minlength=len(CLASSES))
    return Noise(
        most_common_class=CLASSES[counts.argmax()],
        share=float(counts.max() / counts.sum()),
        confidence=float(probabilities.max(1).mean()),
    )
