"""The article's three networks, as it writes them.

Input [batch, 32, 32, 3], float32, raw pixel values 0-255; output [batch, 10], class probabilities.
"""

import keras
from keras import layers


def first() -> keras.Sequential:
    """The article's first model: 1,116,170 parameters."""
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
            layers.Dense(10, activation="softmax"),
        ],
        name="first",
    )


def second() -> keras.Sequential:
    """The article's second model: 4,361,738 parameters."""
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
            layers.Dense(10, activation="softmax"),
        ],
        name="second",
    )


def final() -> keras.Sequential:
    """The article's final model: 6,417,034 parameters, 256 of them not trainable."""
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
            layers.Dense(10, activation="softmax"),
        ],
        name="final",
    )


def _conv(filters: int, kernel_size: int) -> layers.Conv2D:
    return layers.Conv2D(filters, kernel_size, padding="same", activation="relu")
