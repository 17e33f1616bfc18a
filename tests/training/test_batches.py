"""The order of the training images, as a network sees them."""

from typing import Any

import keras
import numpy as np

from training.runs.batches import Batches
from training.runs.strategy import ALONE

EPOCHS = 4
IMAGES = np.arange(20, dtype=np.uint8).reshape(-1, 1)  # of one pixel, the image's index
TRAINED = 16  # the others are for validation


class Recorder(keras.layers.Layer):
    """Keeps the images that pass through it in training."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def call(self, images: Any, training: bool = False) -> Any:
        if training:
            self.seen += [int(pixel) for pixel in keras.ops.convert_to_numpy(images).ravel()]
        return images


def orders(seed: int) -> list[list[int]]:
    """Return the order of the training images in each epoch."""
    keras.utils.set_random_seed(seed)
    recorder = Recorder()
    model = keras.Sequential([recorder, keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    size = 6  # so the last batch is smaller
    model.fit(
        Batches(IMAGES[:TRAINED], IMAGES[:TRAINED], size, ALONE, shuffle=True),
        validation_data=Batches(IMAGES[TRAINED:], IMAGES[TRAINED:], size, ALONE, shuffle=False),
        epochs=EPOCHS,
        shuffle=False,
        verbose=0,
    )
    return np.reshape(recorder.seen, (EPOCHS, TRAINED)).tolist()


def test_each_epoch_takes_the_training_images_in_an_order_of_its_own() -> None:
    found = orders(seed=0)
    assert all(sorted(order) == list(range(TRAINED)) for order in found)
    assert len({tuple(order) for order in found}) == EPOCHS
    assert orders(seed=0) == found
    assert orders(seed=1) != found


def test_mixup_blends_an_image_and_its_target_in_the_same_shares() -> None:
    keras.utils.set_random_seed(0)
    targets = np.eye(len(IMAGES), dtype=np.float32)
    batches = Batches(IMAGES, targets, len(IMAGES), ALONE, shuffle=True, mixup=0.2)
    images, blended = batches[0]
    assert images.dtype == np.float32
    np.testing.assert_allclose(blended.sum(axis=1), 1, rtol=1e-6)
    assert (np.count_nonzero(blended, axis=1) == 2).all()
    np.testing.assert_allclose(images, blended @ IMAGES, rtol=1e-5)
