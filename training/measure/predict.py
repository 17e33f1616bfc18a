"""Run an exported file or a Keras network on images."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import onnxruntime

from models.record import INPUT, OUTPUT
from training import TrainingError
from training.data import Images

if TYPE_CHECKING:
    import keras
    import onnx

BATCH_SIZE = 250  # images

Probabilities = npt.NDArray[np.float32]  # [N, classes]
Logits = npt.NDArray[np.float32]  # [N, classes]


class GraphError(TrainingError):
    """A file's graph does not end in a single softmax."""


def predict(onnx_bytes: bytes, images: Images) -> Probabilities:
    """Return a file's probabilities."""
    [probabilities] = _run(onnx_bytes, images, [OUTPUT])
    return probabilities


def predict_with_logits(onnx_bytes: bytes, images: Images) -> tuple[Probabilities, Logits]:
    """Return the probabilities and the logits that a file computes.

    If the file does not end in a single softmax, the logits are the logarithms of the
    probabilities, which loses the smallest ones.
    """
    # Imported here because training does not need it.
    import onnx  # noqa: PLC0415

    model = onnx.load_from_string(onnx_bytes)
    try:
        [logits] = find_softmax(model.graph).input
    except GraphError:
        found = predict(onnx_bytes, images)
        return found, np.log(np.maximum(found, np.finfo(np.float32).tiny))
    model.graph.output.append(
        onnx.helper.make_tensor_value_info(logits, onnx.TensorProto.FLOAT, None)
    )
    probabilities, of_softmax = _run(model.SerializeToString(), images, [OUTPUT, logits])
    return probabilities, of_softmax


def predict_keras(model: "keras.Model", images: Images) -> Logits:
    """Return a network's logits."""
    # Imported here because exported files do not need it.
    import keras  # noqa: PLC0415

    logits = model.predict(images.astype("float32"), batch_size=BATCH_SIZE, verbose=0)
    found: Logits = keras.ops.convert_to_numpy(logits)
    return found


def find_softmax(graph: "onnx.GraphProto") -> "onnx.NodeProto":
    """Return the node that computes the probabilities.

    Raises:
        GraphError: it is not a single softmax.
    """
    nodes = [node for node in graph.node if node.op_type == "Softmax" and OUTPUT in node.output]
    if len(nodes) != 1:
        raise GraphError(f"{graph.name}: {OUTPUT} is not the output of a Softmax")
    return nodes[0]


def _run(onnx_bytes: bytes, images: Images, outputs: list[str]) -> list[npt.NDArray[np.float32]]:
    options = onnxruntime.SessionOptions()
    # Threads that spin while they wait would take cores from a training run beside this one.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(onnx_bytes, options, providers=["CPUExecutionProvider"])
    batches = [
        session.run(outputs, {INPUT: images[start : start + BATCH_SIZE]})
        for start in range(0, len(images), BATCH_SIZE)
    ]
    return [np.concatenate(of_output) for of_output in zip(*batches, strict=True)]
