"""The three networks are the article's."""

import pytest

from training.data.cifar10 import TASK
from training.networks.architectures import build, describe
from training.networks.recipes import ARTICLE, IMPROVED


@pytest.mark.parametrize(
    ("name", "parameters", "not_trainable", "layers"),
    [
        (
            "first",
            1_116_170,
            0,
            "Conv 32 3×3, Pool, Conv 64 3×3, Pool, Conv 64 3×3, Pool, Flatten, "
            "Dense 1024 ReLU, Dense 10",
        ),
        (
            "second",
            4_361_738,
            0,
            "Conv 32 5×5, Conv 64 5×5, Pool, Conv 64 5×5, Pool, Flatten, Dense 1024 ReLU, Dense 10",
        ),
        (
            "final",
            6_417_034,
            256,
            "Conv 128 3×3, Conv 128 3×3, BatchNorm, Pool, Dropout 0.3, Conv 256 3×3, "
            "Conv 256 3×3, Pool, Dropout 0.3, Conv 512 3×3, Pool, Dropout 0.3, Flatten, "
            "Dense 512 ReLU, Dropout 0.3, Dense 10",
        ),
    ],
)
def test_layers_and_parameters(name: str, parameters: int, not_trainable: int, layers: str) -> None:
    model = build(name, ARTICLE[name], TASK)
    assert model.count_params() == parameters
    assert build(name, IMPROVED[name], TASK).count_params() == parameters
    assert sum(weight.value.shape.num_elements() for weight in model.non_trainable_weights) == (
        not_trainable
    )
    assert describe(model) == layers
    assert all(
        layer.activation.__name__ == "relu" and layer.padding == "same" and layer.strides == (1, 1)
        for layer in model.layers
        if hasattr(layer, "padding") and hasattr(layer, "activation")
    )
