"""Additions to Keras' optimizers: Muon for convolution kernels, a schedule that starts midway."""

import math
from typing import Any

import keras
from keras import ops

_NOT_KERNELS = ["bias", "gamma", "beta"]


class ConvolutionalMuon(keras.optimizers.Muon):
    """Muon (Jordan et al., 2024) on convolution kernels; AdamW on everything else.

    A kernel [height, width, in, out] is orthogonalized as the matrix [height·width·in, out], as
    Muon's authors do; Keras leaves it to AdamW (keras-team/keras#21885). AdamW also updates
    the first convolution, whose 3 input channels are pixels, and the Dense layers, whose
    orthogonalization would cost `first` more than its forward and backward passes. Weight decay
    is decoupled and excludes biases, gamma and beta.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
        weight_decay: float,
    ) -> None:
        super().__init__(
            learning_rate, weight_decay=weight_decay, adam_weight_decay=weight_decay, ns_steps=3
        )
        self.exclude_from_weight_decay(var_names=_NOT_KERNELS)

    def _should_use_adamw(self, variable: keras.Variable) -> bool:
        return len(variable.shape) != 4 or variable.shape[2] <= 3

    def zeropower_via_newtonschulz5(self, x: Any, steps: int) -> Any:
        """Return approximately the nearest semi-orthogonal matrix, in the shape of `x`."""
        shape = x.shape
        matrix = ops.reshape(x, (-1, shape[-1]))
        return ops.reshape(super().zeropower_via_newtonschulz5(matrix, steps), shape)

    def lr_adjust(self, x: Any) -> Any:
        """Scale an update to AdamW's usual size (Liu et al., 2025, arXiv:2502.16982)."""
        return x * self.rms_rate * math.sqrt(max(math.prod(x.shape[:-1]), x.shape[-1]))


class LaterSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule that skips its first `steps` steps, which an earlier optimizer took."""

    def __init__(
        self, schedule: keras.optimizers.schedules.LearningRateSchedule, steps: int
    ) -> None:
        self.schedule = schedule
        self.steps = steps

    def __call__(self, step: Any) -> Any:
        """Return the learning rate at this optimizer's step."""
        return self.schedule(ops.cast(step, "float32") + self.steps)
