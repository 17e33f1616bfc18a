"""Quantize a float32 ONNX file to int8, with ONNX Runtime's static quantization."""

import io
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from models.record import INPUT
from training.data import Images

CALIBRATION_IMAGES = 512
_BATCH_SIZE = 32


def calibration_images(images: Images) -> Images:
    """Return the first of the training images, which calibrate the ranges of the activations.

    They are whole batches, unless they are fewer than one: ONNX Runtime takes no smaller last one.
    """
    whole = min(len(images), CALIBRATION_IMAGES) // _BATCH_SIZE * _BATCH_SIZE
    return images[: whole or _BATCH_SIZE]


def quantize(onnx_bytes: bytes, images: Images) -> bytes:
    """Return the file with int8 weights and uint8 activations, up to its last layer.

    `images` are `calibration_images`. Weights use 7 of the 8 bits, because sums of products would
    saturate on processors without VNNI. So all processors compute the same results.
    """
    with tempfile.TemporaryDirectory() as folder:
        plain, prepared, quantized = (Path(folder, name) for name in ("plain", "prepared", "int8"))
        plain.write_bytes(onnx_bytes)
        # Fuses a layer's product, its bias and, where it can, batch normalization into one node.
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        model = onnx.load(prepared)
        _fold_scales(model.graph)
        onnx.save(model, prepared)
        nodes = list(model.graph.node)
        last_layer = max(i for i, node in enumerate(nodes) if node.op_type == "Gemm")
        with redirect_stdout(io.StringIO()):  # hides its progress lines
            quantize_static(
                prepared,
                quantized,
                _Images(images),
                # Clips outliers: a few activations of the article's networks are far larger.
                calibrate_method=CalibrationMethod.Percentile,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                reduce_range=True,
                # 8 bits would tie classes' logits and round probabilities to multiples of 1/255.
                nodes_to_exclude=[node.name for node in nodes[last_layer:]],
            )
        return quantized.read_bytes()


def _fold_scales(graph: onnx.GraphProto) -> None:
    """Move batch normalization's scales through a ReLU into the convolution before it.

    A positive factor may stand before or after a ReLU. After it, 8 bits would have to cover the
    scales of all channels at once, which differ by a factor of thousands in `final`.
    """
    weights = {tensor.name: tensor for tensor in graph.initializer}
    made_by = {node.output[0]: node for node in graph.node}
    for mul in [node for node in graph.node if node.op_type == "Mul" and node.input[1] in weights]:
        relu = made_by.get(mul.input[0])
        conv = made_by.get(relu.input[0]) if relu and relu.op_type == "Relu" else None
        scale = numpy_helper.to_array(weights[mul.input[1]]).ravel()
        if not (relu and conv and conv.op_type == "Conv" and (scale > 0).all()):
            continue
        _, kernel, bias = conv.input
        for name, shape in ((kernel, (-1, 1, 1, 1)), (bias, (-1,))):
            scaled = numpy_helper.to_array(weights[name]) * scale.reshape(shape)
            weights[name].CopyFrom(numpy_helper.from_array(scaled, name))
        relu.output[0] = mul.output[0]
        graph.node.remove(mul)
        graph.initializer.remove(weights[mul.input[1]])


class _Images(CalibrationDataReader):  # type: ignore[misc]  # ONNX Runtime is untyped
    def __init__(self, images: npt.NDArray[np.uint8]) -> None:
        self.batches: Iterator[npt.NDArray[np.uint8]] = iter(
            np.split(images, range(_BATCH_SIZE, len(images), _BATCH_SIZE))
        )

    def get_next(self) -> dict[str, Any] | None:
        """Return the next batch, or None after the last."""
        batch = next(self.batches, None)
        return None if batch is None else {INPUT: batch}
