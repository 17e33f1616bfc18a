"""The article's three networks, with a recipe's regularization techniques added.

Input [batch, 32, 32, 3], float32, raw pixel values 0-255; output [batch, classes], float32, logits.

The softmax is part of the loss and of the exported graph, not a layer as in the article. As a layer
it would saturate on unscaled pixels from the first step, and only the TensorFlow backend recovers
its logits. With torch, the loss then stays at 14.5 and the accuracy at 10 %.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import keras
from keras import layers

from models.record import IMAGE_SIZE, Article
from training.data import Task
from training.networks.recipes import Recipe

SHIFT = 4 / IMAGE_SIZE  # 4 pixels, as a share of the image
ERASED = (8 / IMAGE_SIZE) ** 2  # a square of 8×8 pixels, as a share of the image


@dataclass(frozen=True)
class Architecture:
    """One of the article's networks, with the figures that the article reports."""

    title: str
    layers: Callable[[], list[keras.Layer]]
    # Test, training and validation accuracy; training and validation loss.
    figures: tuple[float, float, float, float, float]

    @property
    def article(self) -> Article:
        """The figures by their names."""
        return Article(**dict(zip(Article.model_fields, self.figures, strict=True)))


def first() -> list[keras.Layer]:
    """Return the layers of the article's first model before its logits."""
    return [
        _conv(32, 3),
        layers.MaxPooling2D(),
        _conv(64, 3),
        layers.MaxPooling2D(),
        _conv(64, 3),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(1024, activation="relu"),
    ]


def second() -> list[keras.Layer]:
    """Return the layers of the article's second model before its logits."""
    return [
        _conv(32, 5),
        _conv(64, 5),
        layers.MaxPooling2D(),
        _conv(64, 5),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(1024, activation="relu"),
    ]


def final() -> list[keras.Layer]:
    """Return the layers of the article's final model before its logits."""
    return [
        _conv(128, 3),
        _conv(128, 3),
        layers.BatchNormalization(),
        layers.MaxPooling2D(),
        layers.Dropout(0.3),
        _conv(256, 3),
        _conv(256, 3),
        layers.MaxPooling2D(),
        layers.Dropout(0.3),
        _conv(512, 3),
        layers.MaxPooling2D(),
        layers.Dropout(0.3),
        layers.Flatten(),
        layers.Dense(512, activation="relu"),
        layers.Dropout(0.3),
    ]


def _conv(filters: int, kernel_size: int) -> layers.Conv2D:
    return layers.Conv2D(filters, kernel_size, padding="same", activation="relu")


def build(name: str, recipe: Recipe, task: Task) -> keras.Sequential:
    """Build a network for a recipe; the article's recipe changes none of its layers."""
    kept = {
        layers.BatchNormalization: recipe.own_batch_normalization,
        layers.Dropout: recipe.own_dropout,
    }
    article = [layer for layer in ARCHITECTURES[name].layers() if kept.get(type(layer), True)]
    # float32 in mixed precision too: bfloat16 is too coarse for a loss near 0.
    article.append(layers.Dense(task.classes, dtype="float32"))
    network: list[keras.Layer] = [
        keras.Input((IMAGE_SIZE, IMAGE_SIZE, 3)),
        *_preprocessing(recipe, task),
    ]
    for layer, following in itertools.pairwise([*article, None]):
        is_conv = isinstance(layer, layers.Conv2D)
        is_hidden_dense = isinstance(layer, layers.Dense) and following is not None
        if is_conv:
            layer.filters = round(recipe.width * layer.filters)
        elif is_hidden_dense:
            layer.units = round(recipe.width * layer.units)
        if recipe.head_dropout and following is None:
            network.append(layers.Dropout(recipe.head_dropout))
        network.append(layer)
        if recipe.flat_dropout and isinstance(layer, layers.Flatten):
            network.append(layers.Dropout(recipe.flat_dropout))
        if recipe.l2 and isinstance(layer, layers.Conv2D | layers.Dense):
            layer.kernel_regularizer = keras.regularizers.L2(recipe.l2)
        if recipe.he_initialization and (is_conv or is_hidden_dense):  # before a ReLU
            layer.kernel_initializer = keras.initializers.HeNormal()
        normalized = isinstance(following, layers.BatchNormalization)
        if recipe.batch_normalization and is_conv and not normalized:
            network.append(layers.BatchNormalization())
        drops = is_hidden_dense or isinstance(layer, layers.MaxPooling2D)
        if recipe.dropout and drops and not isinstance(following, layers.Dropout):
            network.append(layers.Dropout(recipe.dropout))
    return keras.Sequential(network, name=name)


def _preprocessing(recipe: Recipe, task: Task) -> list[keras.Layer]:
    found: list[keras.Layer] = []
    # float32 in mixed precision too: bfloat16 is too coarse for coordinates and pixels.
    exact = {"dtype": "float32"}
    if recipe.flips_and_shifts and recipe.flips:
        found.append(layers.RandomFlip("horizontal", **exact))
    if recipe.flips_and_shifts:
        # Nearest neighbor, so that shifts are by whole pixels.
        how = {"fill_mode": "reflect", "interpolation": "nearest"}
        found.append(layers.RandomTranslation(SHIFT, SHIFT, **how, **exact))
    if recipe.erasing:
        area = (ERASED, ERASED)
        found.append(layers.RandomErasing((1.0, 1.0), area, fill_value=task.gray, **exact))
    if recipe.input_normalization:
        found.append(layers.Rescaling(1 / 127.5, offset=-1, **exact))
    if recipe.standardization:
        # Not Normalization: tf2onnx would turn its mean and variance into inputs of the graph.
        scales = [1 / deviation for deviation in task.pixel_deviation]
        pairs = zip(task.pixel_mean, task.pixel_deviation, strict=True)
        offsets = [-mean / deviation for mean, deviation in pairs]
        found.append(layers.Rescaling(scales, offsets, **exact))
    return found


def describe(model: keras.Model) -> str:
    """Return a network's layers on one line, in the article's notation."""
    return ", ".join(_describe_layer(layer) for layer in model.layers)


def _describe_layer(layer: keras.Layer) -> str:
    match layer:
        case layers.Conv2D():
            height, width = layer.kernel_size
            return f"Conv {layer.filters} {height}×{width}"
        case layers.Dense(units=units, activation=keras.activations.relu):
            return f"Dense {units} ReLU"
        case layers.Dense(units=units):
            return f"Dense {units}"
        case layers.Dropout(rate=rate):
            return f"Dropout {rate:g}"
        case layers.MaxPooling2D():
            return "Pool"
        case layers.BatchNormalization():
            return "BatchNorm"
        case _:
            return type(layer).__name__


ARCHITECTURES = {
    "first": Architecture("First model", first, (0.6181, 0.9280, 0.6234, 0.2145, 2.5192)),
    # The article's text says 71.01 % in one place; its notebook measured this.
    "second": Architecture("Second model", second, (0.5976, 0.9600, 0.5963, 0.1392, 3.5975)),
    "final": Architecture("Final model", final, (0.8038, 0.8937, 0.8100, 0.3068, 0.6187)),
}
