"""Temperature scaling (Guo et al., 2017) of an exported file. Needs onnx, not TensorFlow."""

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from training.data import Labels, Split
from training.measure.predict import find_softmax, predict_with_logits

_RANGE = (0.05, 20.0)  # of the temperatures searched


def calibrate(onnx_bytes: bytes, validation: Split) -> tuple[bytes, float]:
    """Return the file with its logits divided by the best temperature, and the temperature.

    The best temperature minimizes the cross-entropy on the validation set. It never changes the
    order of an image's classes.

    Raises:
        GraphError: the file does not end in one softmax.
    """
    model = onnx.load_from_string(onnx_bytes)
    softmax = find_softmax(model.graph)
    _, logits = predict_with_logits(onnx_bytes, validation.images)
    temperature = fit(logits, validation.labels)
    divisor, calibrated = "temperature", "calibrated_logits"
    model.graph.initializer.append(
        numpy_helper.from_array(np.array(temperature, dtype=np.float32), divisor)
    )
    place = list(model.graph.node).index(softmax)
    divide = helper.make_node("Div", [softmax.input[0], divisor], [calibrated], name=calibrated)
    softmax.input[0] = calibrated
    model.graph.node.insert(place, divide)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(), temperature


def fit(logits: npt.NDArray[np.float32], labels: Labels) -> float:
    """Return the temperature that minimizes the cross-entropy of logits, [N, classes], for labels.

    The cross-entropy is convex in 1 / temperature, so bisection on its slope finds the minimum.
    """
    z = logits.astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    of_label = z[np.arange(len(labels)), labels]
    low, high = np.log(_RANGE)
    for _ in range(50):
        middle = (low + high) / 2
        weights = np.exp(z / np.exp(middle))
        expected = (weights * z).sum(axis=1) / weights.sum(axis=1)
        # The derivative with respect to 1 / temperature; positive if 1 / temperature is too large.
        if (expected - of_label).mean() > 0:
            low = middle
        else:
            high = middle
    return float(np.exp((low + high) / 2))
