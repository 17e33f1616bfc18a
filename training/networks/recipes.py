"""Recipes: hyperparameters and regularization techniques as data."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from models.study import BASELINE

IMAGES = 40_000  # that the lengths of the recipes were chosen for: CIFAR-10's to train on
FACTOR = 4  # that the length changes by at the most for another number of images


@dataclass(frozen=True)
class Recipe:
    """What defines a run, apart from the architecture, the seed, the data and the precision.

    The defaults are Keras' and the article's: Adam at a constant learning rate, no regularization
    beyond the architecture's own.
    """

    name: str
    epochs: int
    batch_size: int = 128  # examples
    optimizer: Literal["adam", "muon"] = "adam"
    learning_rate: float = 1e-3  # at its peak
    warmup_epochs: int = 0  # before the cosine: linear from 0 to the peak
    cosine: bool = False  # decay after the warm-up, to 0 at the last step
    weight_decay: float = 0.0  # muon's: decoupled, kernels only; scaled by the learning rate
    he_initialization: bool = False  # for kernels before a ReLU; otherwise Glorot
    standardization: bool = False  # pixels to zero mean and unit variance per channel, in the graph
    flips_and_shifts: bool = False  # horizontal flips; shifts of up to 4 pixels, reflected border
    flips: bool = True  # among flips_and_shifts; not for images that mean another thing mirrored
    erasing: bool = False  # erases one 8×8 square in every image, filling it with gray
    flat_dropout: float = 0.0  # fraction of activations dropped before the first Dense
    head_dropout: float = 0.0  # fraction of activations dropped before the logits
    label_smoothing: float = 0.0  # fraction of the target spread over all classes
    # Used only by `study`.
    weight_averaging: float = 0.0  # momentum of the moving average that becomes the weights
    mixup: float = 0.0  # alpha of the Beta distribution that each batch's share is drawn from
    dropout: float = 0.0  # fraction of activations dropped after each pool and hidden Dense
    batch_normalization: bool = False  # after each Conv's ReLU, as in the article's final model
    l2: float = 0.0  # weight of the squared kernels in the loss
    input_normalization: bool = False  # pixels to [-1, 1], inside the network
    early_stopping: int | None = None  # patience in epochs, by validation loss; keeps the best
    own_batch_normalization: bool = True  # that of the article's final model
    own_dropout: bool = True  # likewise
    label_noise: float = 0.0  # fraction of training labels replaced by random ones
    training_images: int | None = None  # the first ones, as many of each class; None: all
    width: float = 1.0  # factor of each layer's filters or units, except the logits

    def __post_init__(self) -> None:
        # A run records all of these, so each one must have an effect.
        if self.weight_decay and self.optimizer != "muon":
            raise ValueError(f"{self.name}: weight_decay needs the muon optimizer")
        if self.warmup_epochs and not self.cosine:
            raise ValueError(f"{self.name}: warmup_epochs needs the cosine schedule")

    @property
    def has_soft_targets(self) -> bool:
        """Whether the targets are distributions over the classes instead of single classes."""
        return bool(self.label_smoothing or self.mixup)

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The fields that a run records; it records the number of epochs separately."""
        return {k: value for k, value in asdict(self).items() if k not in {"name", "epochs"}}

    def matches(self, recorded: Mapping[str, Any]) -> bool:
        """Return whether a run's hyperparameters are this recipe's.

        Hyperparameters that are newer than the run had their default values. `validation_split`,
        which the data decide now, was the same for all.
        """
        known = {**Recipe("", 0).hyperparameters, **recorded}
        known.pop("validation_split", None)
        return known == self.hyperparameters

    def epochs_for(self, images: int) -> int:
        """Return the epochs for so many training images.

        They make as many updates as the recipe's length does with `IMAGES`, but are at most
        `FACTOR` times as many as that, and at least a `FACTOR`th.
        """
        epochs = round(self.epochs * IMAGES / images)
        return max(1, self.epochs // FACTOR, min(epochs, self.epochs * FACTOR))


# The article's recipes, reproduced, not tuned.
ARTICLE: Mapping[str, Recipe] = {
    "first": Recipe(name="article", epochs=20),
    "second": Recipe(name="article", epochs=20),
    "final": Recipe(name="article", epochs=30),
}

# Chosen by validation accuracy, in trials of `first` and `final` that were not kept;
# models/ABLATIONS.md measures the ingredients again.
_IMPROVED = Recipe(
    name="improved",
    epochs=200,
    optimizer="muon",
    learning_rate=2e-3,
    warmup_epochs=1,
    cosine=True,
    weight_decay=0.05,
    he_initialization=True,
    standardization=True,
    flips_and_shifts=True,
    erasing=True,
    head_dropout=0.4,
    label_smoothing=0.1,
)
IMPROVED: Mapping[str, Recipe] = {
    "first": _IMPROVED,
    # Nearly all of its weights are in its first Dense.
    "second": replace(_IMPROVED, epochs=170, flat_dropout=0.2, head_dropout=0.5),
    # A peak of 3e-3 was too high, and 2e-3 learned slower than 1.2e-3. It has its own dropout.
    "final": replace(
        _IMPROVED, epochs=60, learning_rate=1.2e-3, weight_decay=0.1, head_dropout=0.0
    ),
}

RECIPES = {"article": ARTICLE, "improved": IMPROVED}
# The version that each recipe makes, in models/<name>/<version>/.
VERSIONS = {"article": 1, "improved": 2}


Changes = Mapping[str, Mapping[str, Any]]  # of a recipe's fields, by the name of the variant


def _variants(recipe: Recipe, changes: Changes) -> dict[str, Recipe]:
    """Return the recipe as the baseline, and its variants, by name."""
    changed = {BASELINE: {}, **changes}
    return {name: replace(recipe, name=name, **of) for name, of in changed.items()}


# Each technique at its textbook strength.
_TECHNIQUES: Changes = {
    "dropout": {"dropout": 0.3},
    "batch-normalization": {"batch_normalization": True},
    "l2": {"l2": 1e-3},
    "flips-and-shifts": {"flips_and_shifts": True},
    "input-normalization": {"input_normalization": True},
    "early-stopping": {"early_stopping": 3},
    "label-smoothing": {"label_smoothing": 0.1},
}
_COMBINED = {"combined": {name: v for of in _TECHNIQUES.values() for name, v in of.items()}}
# Only `final` has these layers.
_WITHOUT_LAYERS: Changes = {
    "without-batch-norm": {"own_batch_normalization": False},
    "without-dropout": {"own_dropout": False},
    "without-both": {"own_batch_normalization": False, "own_dropout": False},
}
_SIZES = (20_000, 10_000, 5_000, 2_500, 1_000)
_AUGMENTED = {"flips_and_shifts": True}


def _ablations(rate: float) -> Changes:
    """Return one change each to the improved recipe with this learning rate."""
    return {
        "adam": {"optimizer": "adam", "learning_rate": 1e-3, "weight_decay": 0.0},
        "half-learning-rate": {"learning_rate": rate / 2},
        "double-learning-rate": {"learning_rate": 2 * rate},
        "no-weight-decay": {"weight_decay": 0.0},
        "no-flips-and-shifts": {"flips_and_shifts": False},
        "no-erasing": {"erasing": False},
        "no-label-smoothing": {"label_smoothing": 0.0},
        "mixup": {"mixup": 0.2},
        "averaged-weights": {"weight_averaging": 0.999},
        "no-dropout": {"flat_dropout": 0.0, "head_dropout": 0.0, "own_dropout": False},
        "dropout-after-pools": {"flat_dropout": 0.0, "head_dropout": 0.0, "dropout": 0.3},
    }


# Each recipe's variants by model.
TECHNIQUES = {m: _variants(recipe, {**_TECHNIQUES, **_COMBINED}) for m, recipe in ARTICLE.items()}
TECHNIQUES["final"] |= _variants(ARTICLE["final"], _WITHOUT_LAYERS)
ABLATIONS = {
    m: _variants(recipe, _ablations(recipe.learning_rate)) for m, recipe in IMPROVED.items()
}
# Three experiments on what a network can learn, each with the article's recipe.
_EXPERIMENTS: Mapping[str, Changes] = {
    "random-labels": {f"random-{share}": {"label_noise": share / 100} for share in (20, 50, 100)},
    "less-data": {
        **{f"{size}-images": {"training_images": size} for size in _SIZES},
        "flips-and-shifts": _AUGMENTED,
        **{f"{size}-flips-and-shifts": {**_AUGMENTED, "training_images": size} for size in _SIZES},
    },
    "width": {f"width-{width:g}": {"width": width} for width in (0.25, 0.5, 2, 4)},
}
EXPERIMENTS = {
    name: {model: _variants(recipe, changes) for model, recipe in ARTICLE.items()}
    for name, changes in _EXPERIMENTS.items()
}
# `final` has its own dropout where these would put it.
del TECHNIQUES["final"]["dropout"]
del ABLATIONS["final"]["dropout-after-pools"]
# Keras does not average the statistics of its batch normalization.
del ABLATIONS["final"]["averaged-weights"]
