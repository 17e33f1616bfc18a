"""How a network is trained: the hyperparameters, as data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training run but the architecture, the seed and the data."""

    name: str
    version: int  # the folder models/<name>/<version>/ that this recipe's models go to
    epochs: dict[str, int]  # by architecture
    optimizer: str = "adam"  # with Keras' defaults: learning rate 1e-3, betas 0.9 and 0.999
    batch_size: int = 128  # examples
    validation_split: float = 0.2  # the last fifth of the training set, in the official order


# The article's, reproduced and not tuned.
ARTICLE = Recipe(name="article", version=1, epochs={"first": 20, "second": 20, "final": 30})
