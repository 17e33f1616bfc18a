"""What the commands share: options, and one-line errors for failures outside them."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click_default_group import DefaultGroup

from training import SAME_COMMAND, StoppedError, TrainingError
from training.networks.recipes import ARTICLE, RECIPES

BACKENDS = ("tensorflow", "jax", "torch")  # Keras' backends that can train
PRECISIONS = ("float32", "mixed_bfloat16")  # Keras' names; weights are float32 in both

OPTIONS = {
    "models": click.option(
        "--model",
        "models",
        multiple=True,
        type=click.Choice(list(ARTICLE)),
        default=list(ARTICLE),
        help="Model to process; repeat for several.",
    ),
    "recipe": click.option(
        "--recipe",
        type=click.Choice(list(RECIPES)),
        default="article",
        help="`article` overfits; `improved` overfits less.",
    ),
    "epochs": click.option(
        "--epochs", type=click.IntRange(min=1), help="Epochs to train to.  [default: the recipe's]"
    ),
    "seed": click.option(
        "--seed",
        type=click.IntRange(0, 2**31),
        default=0,
        help="Seed of the weights' initialization and of shuffling.",
    ),
    "precision": click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        default="float32",
        help="Arithmetic of training; bfloat16 is faster on a processor that has it.",
    ),
    "data_dir": click.option(
        "--data-dir",
        type=click.Path(path_type=Path),
        help="Folder of the official CIFAR-10 batches.  [default: $CIFAR10_DIR, else a download]",
    ),
    "models_dir": click.option(
        "--models-dir",
        type=click.Path(path_type=Path, file_okay=False),
        default="models",
        help="Where exported models, records and the study are.",
    ),
    "runs_dir": click.option(
        "--runs-dir",
        type=click.Path(path_type=Path, file_okay=False),
        default="runs",
        help="Where checkpoints go, and where a killed run is resumed from.",
    ),
    "fresh": click.option("--fresh", is_flag=True, help="Start over instead of resuming."),
    "extend": click.option(
        "--extend",
        is_flag=True,
        help="Train the bundled version further, to --epochs, without the run folder that made it.",
    ),
    "force": click.option(
        "--force", is_flag=True, help="Replace a bundled version even if it was trained longer."
    ),
}


def options(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the named options."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for name in reversed(names):
            command = OPTIONS[name](command)
        return command

    return decorate


class TrainingGroup(DefaultGroup):
    """Ends with one line if Keras has no backend, and on Ctrl-C outside an epoch."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        backend = os.environ.get("KERAS_BACKEND") or BACKENDS[0]
        if backend not in BACKENDS:
            raise TrainingError(
                f"KERAS_BACKEND is {backend!r}; set it to {', '.join(BACKENDS[:-1])} or "
                f"{BACKENDS[-1]}, or unset it"
            )
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise StoppedError(
                f"Stopped; what was finished before is kept, and {SAME_COMMAND} resumes from it."
            ) from error
        except ModuleNotFoundError as error:
            raise TrainingError(
                f"{error.name} is not installed, and Keras' backend is {backend}; run with "
                "uv run --group training, or set KERAS_BACKEND to a backend that is installed"
            ) from error
