"""What the commands share: options, and one-line errors."""

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from serving.options import OpenGroup
from training import SAME_COMMAND, StoppedError, TrainingError
from training.networks.recipes import ARTICLE, RECIPES
from training.report.results import COMPARISONS, VARIANTS

if TYPE_CHECKING:
    from training.data import Dataset

BACKENDS = ("tensorflow", "jax", "torch")  # Keras' backends that can train
# The settings in a keras.json, with the values that the commands use.
KERAS_DEFAULTS = {
    "backend": BACKENDS[0],
    "epsilon": 1e-7,
    "floatx": "float32",
    "image_data_format": "channels_last",
}
PRECISIONS = ("float32", "mixed_bfloat16")  # Keras' names; weights are float32 in both

Command = Callable[..., None]
Decorator = Callable[[Command], Command]


def check_name(_: click.Context, __: click.Parameter, name: str | None) -> str | None:
    """Refuse a name that cannot be a model's folder."""
    if name is not None and not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name, re.ASCII):
        raise click.BadParameter(
            f"{name!r} cannot name a model; use letters, digits, dots, dashes and underscores, "
            "starting with a letter or a digit"
        )
    return name


_flag = partial(click.option, is_flag=True)
_count = partial(click.option, type=click.IntRange(min=1))
_folder = partial(click.option, type=click.Path(path_type=Path, file_okay=False))


def _choice(option: str, *name: str, of: Iterable[str], **attributes: Any) -> Decorator:
    return click.option(option, *name, type=click.Choice(list(of)), **attributes)


OPTIONS: Mapping[str, Decorator] = {
    "models": _choice(
        *("--model", "models"),
        of=ARTICLE,
        multiple=True,
        default=list(ARTICLE),
        help="Model to use; repeat for several.",
    ),
    "names": click.option(
        *("--model", "names"),
        multiple=True,
        help="Model to process; repeat for several.  [default: all in the folder]",
    ),
    "name": click.option(
        "--name",
        callback=check_name,
        help="Name of the model in the models folder, which can hold a network several times.  "
        "[default: the network's]",
    ),
    "no_flips": _flag(
        "--no-flips",
        help="Do not mirror images in training, as the improved recipe does; for digits, letters "
        "and other images whose meaning mirroring changes.",
    ),
    "model": _choice("--model", of=ARTICLE, default="first", help="Model to train."),
    "techniques": _choice(
        *("--technique", "techniques"),
        of=VARIANTS,
        multiple=True,
        help="A variant to train; repeat for several.  [default: all]",
    ),
    "seeds": _count(
        "--seeds", default=1, help="How many seeds to train each variant with: 0, 1, 2 and so on."
    ),
    "vary": _choice(
        "--vary",
        of=COMPARISONS,
        default="article",
        help="What to vary: a recipe's ingredients, or one property of the article's recipe.",
    ),
    "version": _count("--version", default=1, help="Version number."),
    "title": click.option("--title", help="Title on the page.  [default: the name]"),
    "provider": _choice(
        "--provider",
        of=("auto", "cpu", "cuda"),
        default="auto",
        help="What runs the models; auto uses CUDA if it works.",
    ),
    "served_precision": _choice(
        "--precision",
        of=("auto", "float32", "int8"),
        default="auto",
        help="Arithmetic of the models; auto is int8 on the CPU, as in the service.",
    ),
    "recipe": _choice(
        "--recipe",
        of=RECIPES,
        default="article",
        help="`article` overfits; `improved` overfits less.",
    ),
    "epochs": _count(
        "--epochs",
        help="Epochs to train to.  [default: the recipe's, more of them for fewer images]",
    ),
    "seed": click.option(
        "--seed",
        type=click.IntRange(0, 2**31),
        default=0,
        help="Seed of the weights' initialization and of shuffling.",
    ),
    "precision": _choice(
        "--precision",
        of=PRECISIONS,
        default="float32",
        help="Arithmetic of training; bfloat16 is faster on a processor that has it.",
    ),
    "data_dir": click.option(
        "--data-dir",
        type=click.Path(path_type=Path),
        help="Folder with a subfolder of images for each class, optionally in train/ and test/; "
        "an .npz file; or the official CIFAR-10 batches.  [default: $CIFAR10_DIR, else a download]",
    ),
    "classes": click.option(
        "--classes", help="Names of an .npz file's labels from 0, separated by commas."
    ),
    "skip_broken": _flag(
        "--skip-broken",
        help="Leave out files that are not readable images, even if they are more than 1 %.",
    ),
    "terms": click.option("--license", "terms", help="License of the images, for the record."),
    "models_dir": _folder(
        "--models-dir", default="models", help="Folder of exported models, records and studies."
    ),
    "runs_dir": _folder(
        "--runs-dir",
        default="runs",
        help="Folder of checkpoints, from which a killed run resumes, and of decoded images.",
    ),
    "fresh": _flag("--fresh", help="Start over instead of resuming."),
    "tensorboard": click.option(
        "--tensorboard/--no-tensorboard",
        default=True,
        help="Write event files for TensorBoard; only the TensorFlow backend does.",
    ),
    "extend": _flag(
        "--extend",
        help="Train the bundled version for more epochs, up to --epochs; needs no run folder.",
    ),
    "force": _flag(
        "--force", help="Replace a bundled version that was trained longer, or on different images."
    ),
}


class Source(NamedTuple):
    """Where a command's images come from; the runs folder keeps those that were decoded once."""

    data_dir: Path | None
    classes: str | None
    skip_broken: bool
    runs_dir: Path

    def load(self) -> "Dataset":
        """Load the images; see `training.data.load`."""
        # Imported here because --help does not need it.
        from training import data  # noqa: PLC0415

        return data.load(
            self.data_dir,
            classes=self.classes,
            skip_broken=self.skip_broken,
            cache=self.runs_dir / ".images",
        )


def options(*names: str) -> Decorator:
    """Give a command the named options."""

    def decorate(command: Command) -> Command:
        for name in reversed(names):
            command = OPTIONS[name](command)
        return command

    return decorate


def data_options(command: Command) -> Command:
    """Give a command the options of its images, as their `source`."""

    @options(*Source._fields)
    @wraps(command)
    def with_source(**given: Any) -> None:
        command(source=Source(*map(given.pop, Source._fields)), **given)

    return with_source


def config_options(*names: str) -> Decorator:
    """Give a command the options of its images and of what it trains, these among them.

    It takes their `source`, and a Config for each model as `configs`.
    """

    def decorate(command: Command) -> Command:
        @data_options
        @options("models", "recipe", *names, "name", "no_flips", "models_dir")
        @wraps(command)
        def with_configs(
            *,
            source: Source,
            models: Sequence[str],
            recipe: str,
            name: str | None,
            no_flips: bool,
            **others: Any,
        ) -> None:
            # Imported here because --help does not need it.
            from training.config import Config  # noqa: PLC0415

            if name and len(models) > 1:
                raise click.UsageError("--name names one model; choose it with --model")
            if name in ARTICLE and name not in models:
                raise click.UsageError(f"--name {name} is another network's; choose another name")
            chosen = {of: others.pop(of) for of in (*names, "models_dir")}
            chosen |= {"runs_dir": source.runs_dir, "name": name, "flips": not no_flips}
            configs = [Config(model, recipe, **chosen) for model in models]
            command(source=source, configs=configs, **others)

        return with_configs

    return decorate


class TrainingGroup(OpenGroup):
    """Ends with one line if Keras' backend is missing, and on Ctrl-C outside an epoch."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        backend = os.environ.get("KERAS_BACKEND") or BACKENDS[0]
        if backend not in BACKENDS:
            raise TrainingError(
                f"KERAS_BACKEND is {backend!r}; set it to {', '.join(BACKENDS[:-1])} or "
                f"{BACKENDS[-1]}, or unset it"
            )
        # Keras imports Matplotlib, which fails with a notebook's backend outside of the notebook's
        # environment. Set here and not on import, because a notebook may import this.
        os.environ["MPLBACKEND"] = "agg"
        _ignore_keras_file(backend)
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise StoppedError(
                f"Stopped; finished work is kept, and {SAME_COMMAND} resumes after it."
            ) from error
        except ModuleNotFoundError as error:
            raise TrainingError(
                f"{error.name} is not installed (Keras' backend is {backend}); run with "
                "uv run --group training, or set KERAS_BACKEND to an installed backend"
            ) from error


def _ignore_keras_file(backend: str) -> None:
    """Keep Keras from reading keras.json, which may be another project's; print what it sets."""
    home = os.environ.get("KERAS_HOME") or "~/.keras"
    path = Path(home, "keras.json").expanduser()
    try:
        found = dict(json.loads(path.read_bytes()))
    except (OSError, TypeError, ValueError):
        found = {}
    ignored = [
        f"{name} {value}"
        for name, value in found.items()
        if value not in (KERAS_DEFAULTS.get(name, value), backend)
    ]
    if ignored:
        click.echo(
            f"{path} sets {', '.join(ignored)}; this command ignores that and runs Keras with "
            f"{backend} (KERAS_BACKEND), float32 and channels_last",
            err=True,
        )
    os.environ["KERAS_HOME"] = os.devnull  # a folder without any file
