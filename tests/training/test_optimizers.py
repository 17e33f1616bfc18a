"""Muon on convolution kernels, AdamW on the rest, and no decay of what is not a kernel."""

import keras
import numpy as np
import numpy.typing as npt

from training.networks.optimizers import ConvolutionalMuon

SHAPES = {"rgb": (3, 3, 3, 8), "inner": (3, 3, 8, 16), "dense": (16, 10), "bias": (10,)}
RANDOM = np.random.default_rng(0)


def step(
    weight_decay: float, gradients: dict[str, npt.NDArray[np.float64]]
) -> tuple[dict[str, npt.NDArray[np.float32]], dict[str, npt.NDArray[np.float32]]]:
    """Return the variables before and after a step with a learning rate of 0.1."""
    variables = {
        name: keras.Variable(RANDOM.normal(size=s), name=name) for name, s in SHAPES.items()
    }
    before = {name: variable.numpy() for name, variable in variables.items()}
    ConvolutionalMuon(0.1, weight_decay).apply(
        [keras.ops.convert_to_tensor(gradients[name], "float32") for name in SHAPES],
        list(variables.values()),
    )
    return before, {name: variable.numpy() for name, variable in variables.items()}


def test_the_kernels_of_inner_convolutions_alone_are_orthogonalized() -> None:
    gradients = {name: RANDOM.normal(size=shape) for name, shape in SHAPES.items()}
    inner = gradients["inner"].reshape(-1, 16)
    inner *= np.geomspace(1, 0.1, 16)  # so that its columns have very different lengths
    before, after = step(0.0, gradients)
    for name in ("rgb", "dense", "bias"):  # the first step of Adam has the same size everywhere
        moved = after[name] - before[name]
        np.testing.assert_allclose(moved, -0.1 * np.sign(gradients[name]), rtol=1e-3)
    moved = (after["inner"] - before["inner"]).reshape(-1, 16)
    spread = [np.ptp(np.log(np.linalg.svdvals(of))) for of in (moved, np.sign(inner), inner)]
    # Of the singular values; AdamW's first step has the gradient's signs.
    assert spread[0] < 0.8 * spread[1] < spread[2]
    assert np.vdot(moved, inner) < 0


def test_kernels_alone_decay() -> None:
    before, after = step(0.5, {name: np.zeros(shape) for name, shape in SHAPES.items()})
    for name, weights in before.items():
        kept = 1.0 if name == "bias" else 1 - 0.1 * 0.5
        np.testing.assert_allclose(after[name], kept * weights, rtol=1e-5)
