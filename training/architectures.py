"""The article's three networks, as it writes them.

Input [batch, 32, 32, 3], float32, raw pixel values 0-255; output [batch, 10], float32, logits.

The article's softmax stands in the loss and in the exported graph instead: unscaled pixels start
training with a saturated softmax, and only the TensorFlow backend looks behind it for the logits.
Measured with torch on the softmax's output: the loss stays at 14.5 and the accuracy at 10 %.
"""

from collections.abc import Callable
from dataclasses import dataclass

import keras
from keras import layers

from models.record import Article


@dataclass(frozen=True)
class Architecture:
    """A network of the article's, with the figures that the article gives for it."""

    title: str
    build: Callable[[], keras.Sequential]
    article: Article


def first() -> keras.Sequential:
    """Build the article's first model: 1,116,170 parameters."""
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            _conv(32, 3),
            layers.MaxPooling2D(),
            _conv(64, 3),
            layers.MaxPooling2D(),
            _conv(64, 3),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(1024, activation="relu"),
            _logits(),
        ],
        name="first",
    )


def second() -> keras.Sequential:
    """Build the article's second model: 4,361,738 parameters."""
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            _conv(32, 5),
            _conv(64, 5),
            layers.MaxPooling2D(),
            _conv(64, 5),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(1024, activation="relu"),
            _logits(),
        ],
        name="second",
    )


def final() -> keras.Sequential:
    """Build the article's final model: 6,417,034 parameters, 256 of them not trainable."""
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
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
            _logits(),
        ],
        name="final",
    )


def _conv(filters: int, kernel_size: int) -> layers.Conv2D:
    return layers.Conv2D(filters, kernel_size, padding="same", activation="relu")


def _logits() -> layers.Dense:
    # In mixed precision too: a bfloat16 has too few digits for a loss near 0.
    return layers.Dense(10, dtype="float32")


def describe(model: keras.Model) -> str:
    """Return the layers in a line, as the article lists them."""
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
    "first": Architecture(
        title="First model",
        build=first,
        article=Article(
            test_accuracy=0.6181,
            train_accuracy=0.9280,
            validation_accuracy=0.6234,
            train_loss=0.2145,
            validation_loss=2.5192,
        ),
    ),
    "second": Architecture(
        title="Second model",
        build=second,
        article=Article(
            # The text once says 71.01 %; the run behind it measured this.
            test_accuracy=0.5976,
            train_accuracy=0.9600,
            validation_accuracy=0.5963,
            train_loss=0.1392,
            validation_loss=3.5975,
        ),
    ),
    "final": Architecture(
        title="Final model",
        build=final,
        article=Article(
            test_accuracy=0.8038,
            train_accuracy=0.8937,
            validation_accuracy=0.8100,
            train_loss=0.3068,
            validation_loss=0.6187,
        ),
    ),
}
