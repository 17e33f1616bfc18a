"""Train a bundled version further without its run folder, from its exported weights.

The file has no optimizer state, so the optimizer starts fresh. The learning rate continues: it
follows the longer run's schedule from the epoch at which the version ended.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from models.bundle import MODEL_FILE, RECORD_FILE, read_record
from models.record import Extension, Record
from training import TrainingError
from training.data import Dataset, Images
from training.measure.predict import predict_keras, predict_with_logits
from training.measure.remeasure import read_served
from training.networks.architectures import build
from training.runs.checkpoints import Plan
from training.runs.train import compile_model

_IMAGES = 1000  # to measure BatchNorm's inputs and to compare the network with the file
_TOLERANCE = 1e-3  # largest difference in a logit, relative to the largest logit above 1


class ExtendError(TrainingError):
    """A bundled version cannot be trained further."""


def extend(folder: Path, plan: Plan, dataset: Dataset) -> None:
    """Write a run to the plan's folder that continues the version in `folder`.

    Raises:
        ExtendError: there is no such version, it already has that many epochs or was trained with
            other images, another seed or precision, or its file does not match the recipe's
            architecture.
        BundleError: its file does not match its record.
    """
    if not (folder / RECORD_FILE).exists():
        raise ExtendError(f"{folder} holds no version to extend; train without --extend")
    record = read_record(folder)
    if not record.history:
        raise ExtendError(f"how {folder} was trained is not recorded; train without --extend")
    if record.dataset is None or record.dataset.sha256 != dataset.sha256:
        raise ExtendError(
            f"{folder} was not trained on {dataset.name} as it is now; extend it on its own images"
        )
    for option in ("seed", "precision"):
        if (found := getattr(record, option)) != getattr(plan, option):
            raise ExtendError(
                f"{folder} was trained with --{option} {found}; use that to extend it"
            )
    done = record.epochs_completed
    if done >= plan.epochs:
        raise ExtendError(f"{folder} already has {done} epochs; use a larger --epochs to extend it")
    onnx_bytes = read_served(folder / MODEL_FILE, len(record.classes), record.sha256)
    network = build(plan.model, plan.recipe, dataset.task)
    images = dataset.train.images[:_IMAGES]
    try:
        _set_weights(network, onnx.load_from_string(onnx_bytes), images)
    except (StopIteration, ValueError) as error:
        raise ExtendError(
            f"{folder / MODEL_FILE} does not match the {plan.recipe.name} recipe's architecture"
        ) from error
    _check_same_logits(network, onnx_bytes, record, images)
    run = plan.begin(
        dataset, backend=record.backend, device=record.device, libraries=record.libraries
    )
    run.history = record.history
    run.parts = record.provenance.parts if record.provenance else []
    planned = record.epochs or plan.epochs
    run.extensions = [*record.extensions, Extension(after=done, planned=planned)]
    model = compile_model(plan, dataset, trained=done)
    model.set_weights(network.get_weights())
    model.optimizer.build(model.trainable_variables)
    with plan.folder.lock():
        plan.folder.clear()
        plan.folder.save(run, model)


def _set_weights(network: keras.Model, file: onnx.ModelProto, images: Images) -> None:
    """Copy the file's weights into a network.

    The file stores a BatchNorm as a scale and an offset. Its mean and variance are measured again,
    on images without augmentation; gamma and beta are set so that the results stay the same.
    """
    tensors = _tensors(file.graph)
    activations = keras.ops.cast(images, "float32")
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            scale, offset = next(tensors).reshape(-1), next(tensors).reshape(-1)
            values = keras.ops.convert_to_numpy(activations)
            mean = values.mean((0, 1, 2), dtype=np.float64)
            variance = values.var((0, 1, 2), dtype=np.float64)
            gamma = scale * np.sqrt(variance + layer.epsilon)
            layer.set_weights([gamma, offset + mean * scale, mean, variance])
        elif isinstance(layer, keras.layers.Conv2D):
            layer.set_weights([next(tensors).transpose(2, 3, 1, 0), next(tensors)])
        elif isinstance(layer, keras.layers.Dense):
            layer.set_weights([next(tensors), next(tensors)])
        activations = layer(activations, training=False)


def _tensors(graph: onnx.GraphProto) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the weights in the order in which they are used, without the preprocessing's."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    network = itertools.dropwhile(lambda node: node.op_type not in {"Conv", "MatMul"}, graph.node)
    for node in network:
        if node.op_type in {"Conv", "MatMul", "Mul", "Add"}:
            for name in filter(weights.__contains__, node.input):
                yield numpy_helper.to_array(weights[name])


def _check_same_logits(
    network: keras.Model, onnx_bytes: bytes, record: Record, images: Images
) -> None:
    found = predict_keras(network, images)
    expected = predict_with_logits(onnx_bytes, images)[1] * (record.temperature or 1)
    difference = float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))
    if not difference < _TOLERANCE:
        raise ExtendError(
            f"{record.name} version {record.version}: the network and the file differ by "
            f"{difference:.1e} in a logit; the limit is {_TOLERANCE:.0e}"
        )
