"""Convert a trained Keras model to verified ONNX bytes. Needs the TensorFlow backend."""

import json
from collections.abc import Sequence

import keras
import numpy as np
import numpy.typing as npt
import onnx
import tensorflow as tf
import tf2onnx
from scipy.special import softmax

from models.record import BATCH, IMAGE_SIZE, INPUT, OUTPUT
from training import TrainingError
from training.measure.predict import predict_keras

OPSET = 18
TOLERANCE = 1e-4  # largest difference in a probability between ONNX Runtime and Keras


class ExportError(TrainingError):
    """The exported file and the Keras model compute different results."""


def export(model: keras.Model, name: str, classes: Sequence[str]) -> bytes:
    """Convert a Keras model to the ONNX contract: uint8 pixels in, probabilities out.

    The cast and the softmax are part of the graph, so the file alone defines the preprocessing.
    `tf2onnx.convert.from_keras` fails on Keras 3 models; `from_function` does not.
    """

    def probabilities(image: tf.Tensor) -> tf.Tensor:
        logits = model(tf.cast(image, tf.float32), training=False)
        return tf.identity(tf.nn.softmax(logits), name=OUTPUT)

    signature = tf.TensorSpec((None, IMAGE_SIZE, IMAGE_SIZE, 3), tf.uint8, name=INPUT)
    proto, _ = tf2onnx.convert.from_function(
        tf.function(probabilities, input_signature=[signature]),
        input_signature=[signature],
        opset=OPSET,
    )
    proto.graph.name = name
    # tf2onnx names its output after the function's result; the contract's name replaces it.
    _rename_output(proto.graph, OUTPUT)
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH
    onnx.helper.set_model_props(proto, {"name": name, "classes": json.dumps(classes)})
    onnx.checker.check_model(proto, full_check=True)
    return proto.SerializeToString()  # type: ignore[no-any-return]  # onnx's protobuf is untyped


def verify(
    found: npt.NDArray[np.float32], model: keras.Model, images: npt.NDArray[np.uint8]
) -> None:
    """Raise an error if an exported file's probabilities differ from Keras'.

    `found` holds the file's probabilities, float32 [N, classes], for the `images`.

    Raises:
        ExportError: a probability differs by `TOLERANCE` or more, or a top-1 class differs where
            Keras' two best are not exactly tied.
    """
    expected = softmax(predict_keras(model, images), axis=1)
    difference = float(np.abs(found - expected).max())
    if not difference < TOLERANCE:
        raise ExportError(
            f"{model.name}: ONNX Runtime and Keras differ by {difference:.1e} in a probability; "
            f"the limit is {TOLERANCE:.0e}"
        )
    rows = np.arange(len(images))
    tied = expected[rows, found.argmax(1)] == expected.max(1)
    if not tied.all():
        raise ExportError(
            f"{model.name}: ONNX Runtime and Keras predict different classes for "
            f"{np.count_nonzero(~tied)} of {len(images)} images"
        )


def _rename_output(graph: onnx.GraphProto, name: str) -> None:
    [output] = graph.output
    for node in graph.node:
        node.output[:] = [name if o == output.name else o for o in node.output]
        node.input[:] = [name if i == output.name else i for i in node.input]
    output.name = name
