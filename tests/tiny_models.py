"""Models of any classes: networks that take the brightness of an image for its class."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from models.record import BATCH, IMAGE_SIZE, INPUT, OUTPUT

CONTRAST = 30.0  # the larger, the more confident; between two of ten classes, it is 0.57


def gray(value: float) -> npt.NDArray[np.uint8]:
    return np.full((IMAGE_SIZE, IMAGE_SIZE, 3), round(value), np.uint8)


def of_class(place: int, classes: int) -> npt.NDArray[np.uint8]:
    """Return an image that `onnx_of(classes)` takes for the class at `place`."""
    return gray(255 * place / (classes - 1))


def onnx_of(classes: int) -> bytes:
    """Return a model by the contract: class k of K is the brightness k / (K - 1)."""
    onnx = pytest.importorskip("onnx", reason="needs the training group")
    make, types, array = onnx.helper, onnx.TensorProto, onnx.numpy_helper.from_array
    brightness = np.linspace(0, 255, classes, dtype=np.float32)
    constants = {
        "axes": np.array([1, 2, 3]),
        "last": np.array([1]),
        "brightness": brightness,
        "scale": np.float32(-CONTRAST / brightness[1] ** 2),
    }
    nodes = [
        make.make_node("Cast", [INPUT], ["float"], to=types.FLOAT),
        make.make_node("ReduceMean", ["float", "axes"], ["mean"], keepdims=0),
        make.make_node("Unsqueeze", ["mean", "last"], ["column"]),
        make.make_node("Sub", ["column", "brightness"], ["difference"]),
        make.make_node("Mul", ["difference", "difference"], ["square"]),
        make.make_node("Mul", ["square", "scale"], ["logits"]),
        make.make_node("Softmax", ["logits"], [OUTPUT], axis=1),
    ]
    shape = [BATCH, IMAGE_SIZE, IMAGE_SIZE, 3]
    graph = make.make_graph(
        nodes,
        "brightness",
        [make.make_tensor_value_info(INPUT, types.UINT8, shape)],
        [make.make_tensor_value_info(OUTPUT, types.FLOAT, [BATCH, classes])],
        [array(np.asarray(value), name) for name, value in constants.items()],
    )
    opset = [make.make_opsetid("", 18)]
    content: bytes = make.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString()
    return content


def write_model(
    models_dir: Path, name: str, classes: list[str], *, content: bytes | None = None, **known: Any
) -> None:
    """Write version 1 of a model of these classes, and what is `known` of it into its record."""
    content = onnx_of(len(classes)) if content is None else content
    folder = models_dir / name / "1"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(content)
    record = {
        "name": name,
        "title": name,
        "version": 1,
        "classes": classes,
        "sha256": hashlib.sha256(content).hexdigest(),
        **known,
    }
    (folder / "metadata.json").write_text(json.dumps(record), "utf-8")
