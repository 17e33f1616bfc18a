"""The batches of an epoch, for one process or for each of several workers."""

import math
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from training import WorkerError
from training.runs.strategy import SingleProcess


class Batches(keras.utils.PyDataset):
    """This worker's shard of each batch: images, float32 [shard, 32, 32, 3], and their targets.

    `shuffle` draws a new order for each epoch; processes with the same seed draw the same one.
    `fit` can shuffle arrays itself, but under TensorFlow it repeats one order in every epoch once a
    seed is set (Keras 3.15). The last batch is truncated to a size that splits evenly over the
    devices.

    `mixup` blends each image and its one-hot target with another one of the batch. The share is
    drawn once per batch from Beta(mixup, mixup) (Zhang et al., 2018, arXiv:1710.09412); 0 turns it
    off.

    An epoch has `examples` of them, by default each image once; if there are fewer images, each
    comes several times, in a new order each time.

    Raises:
        WorkerError: a whole batch cannot be split evenly over the devices.
    """

    def __init__(
        self,
        images: npt.NDArray[np.uint8],
        targets: npt.NDArray[Any],
        batch_size: int,
        strategy: SingleProcess,
        *,
        shuffle: bool,
        mixup: float = 0.0,
        examples: int | None = None,
    ) -> None:
        super().__init__()
        if batch_size % strategy.devices:
            raise WorkerError(
                f"batches of {batch_size} cannot be shared by {strategy.devices} devices"
            )
        self.images = images
        self.targets = targets
        self.batch_size = batch_size
        self.strategy = strategy
        self.shuffle = shuffle
        self.mixup = mixup
        examples = examples or len(images)
        self.size = examples - examples % batch_size % strategy.devices
        self.on_epoch_end()

    def __len__(self) -> int:
        return math.ceil(self.size / self.batch_size)

    def __getitem__(self, index: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any]]:
        batch = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        shard = np.split(batch, self.strategy.workers)[self.strategy.worker]
        images, targets = self.images[shard].astype(np.float32), self.targets[shard]
        if self.mixup:
            share = np.random.beta(self.mixup, self.mixup)
            # The order is random, so the opposite image in the batch is a random other one.
            images = share * images + (1 - share) * images[::-1]
            targets = share * targets + (1 - share) * targets[::-1]
        return images, targets

    def on_epoch_end(self) -> None:
        """Shuffle for the next epoch."""
        images = len(self.images)
        orders = [
            np.random.permutation(images) if self.shuffle else np.arange(images)
            for _ in range(math.ceil(self.size / images))
        ]
        self.order = np.concatenate(orders)[: self.size]
