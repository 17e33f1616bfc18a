"""The three networks are the article's, and the variants differ from them in what they say."""

import keras
import pytest
from click.testing import CliRunner

from training.__main__ import main
from training.data.cifar10 import TASK
from training.networks.architectures import build, describe
from training.networks.recipes import ABLATIONS, ARTICLE, EXPERIMENTS, IMPROVED, TECHNIQUES, Recipe


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


def test_techniques_are_in_the_network_once() -> None:
    combined = build("first", TECHNIQUES["first"]["combined"], TASK)
    kinds = [type(layer) for layer in combined.layers]
    assert kinds.count(keras.layers.BatchNormalization) == 3
    assert kinds.count(keras.layers.Dropout) == 4
    assert kinds[:3] == [
        keras.layers.RandomFlip,
        keras.layers.RandomTranslation,
        keras.layers.Rescaling,
    ]


@pytest.mark.parametrize("variants", [TECHNIQUES, ABLATIONS], ids=["article", "improved"])
@pytest.mark.parametrize("model", list(ARTICLE))
def test_a_variant_is_one_change_to_its_models_recipe(
    variants: dict[str, dict[str, Recipe]], model: str
) -> None:
    baseline, *changed = variants[model].values()
    assert baseline.hyperparameters in (
        ARTICLE[model].hyperparameters,
        IMPROVED[model].hyperparameters,
    )
    network = describe(build(model, baseline, TASK))
    of_layers = {"dropout", "batch-normalization", "dropout-after-pools", "no-dropout"}
    dropouts = {"first": 2, "second": 3, "final": 1}[model]
    several = {
        "combined": 7,
        "adam": 3,
        "without-both": 2,
        "dropout-after-pools": dropouts,
        "no-dropout": dropouts,
    }
    for recipe in changed:
        before, after = baseline.hyperparameters, recipe.hyperparameters
        fields = [name for name in before if before[name] != after[name]]
        assert len(fields) == several.get(recipe.name, 1), (recipe.name, fields)
        built = describe(build(model, recipe, TASK))
        assert "BatchNorm, BatchNorm" not in built
        assert recipe.name not in of_layers or built != network


def test_layers_of_final_are_left_out() -> None:
    both = [keras.layers.BatchNormalization, keras.layers.Dropout]
    whole = [type(layer) for layer in build("final", ARTICLE["final"], TASK).layers]
    for name, left_out in (
        ("without-batch-norm", both[:1]),
        ("without-dropout", both[1:]),
        ("without-both", both),
    ):
        rest = [type(layer) for layer in build("final", TECHNIQUES["final"][name], TASK).layers]
        assert rest == [kind for kind in whole if kind not in left_out]
        result = CliRunner().invoke(main, ["study", "--model", "first", "--technique", name])
        assert f"article of first has no variant {name}" in result.output


def test_widths_leave_the_logits() -> None:
    widths = EXPERIMENTS["width"]["first"]
    narrow = build("first", widths["width-0.5"], TASK)
    assert [layer.units for layer in narrow.layers[-2:]] == [512, 10]
    assert build("first", widths["width-4"], TASK).layers[0].filters == 128
