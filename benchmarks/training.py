"""Compare `training.runs.train` with the article's plain script, in turns; profile a step.

`uv run --group dev python -m benchmarks.training`, with CIFAR10_DIR or a download.
"""

import re
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import click
import keras
import tensorflow as tf
from jax.profiler import ProfileData  # reads TensorFlow's traces, too
from keras import layers

from training.data import Dataset, load
from training.networks.architectures import ARCHITECTURES
from training.networks.recipes import ARTICLE
from training.runs.checkpoints import Plan, RunFolder
from training.runs.train import train

STEPS = {"first": 10, "second": 3, "final": 1}  # in an epoch, before its validation
EPOCHS = 4  # the first one builds the graph and does not count

GRAPH = "StatefulPartitionedCall/"  # prefix, in the profile, of what runs in a step's graph
# The kinds of operations, by their names in the profile; the first match counts.
KINDS = {
    "convolution": r":\w*Conv2D$",  # with its bias and its ReLU
    "its filters' gradient": r":\w*Conv2DBackpropFilter",
    "its input's gradient": r":\w*Conv2DBackpropInput",
    "Dense": r":\w*MatMul$",
    "pools": r":\w*MaxPool",
    "BatchNorm": r"/batch_normalization",
    "Adam": r"/adam",
    "other": r"",
}


def plain(name: str, dataset: Dataset) -> list[float]:
    """Train as the article's script does; return the seconds of each epoch, with validation."""
    hidden = ARCHITECTURES[name].layers()
    model = keras.Sequential([*hidden, layers.Dense(10, activation="softmax")])
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    began: list[float] = []
    ended: list[float] = []
    model.fit(
        dataset.train.images,
        dataset.train.labels,
        batch_size=128,
        epochs=EPOCHS,
        validation_data=(dataset.validation.images, dataset.validation.labels),
        callbacks=[
            keras.callbacks.LambdaCallback(
                on_epoch_begin=lambda *_: began.append(time.perf_counter()),
                on_epoch_end=lambda *_: ended.append(time.perf_counter()),
            )
        ],
    )
    return [end - begin for begin, end in zip(began, ended, strict=True)]


def ours(name: str, dataset: Dataset, precision: str, epochs: int = EPOCHS) -> list[float]:
    """Train with the article's recipe; return the same seconds."""
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(name, ARTICLE[name], epochs, RunFolder(Path(folder)), precision=precision)
        run = train(plan, dataset)
    return [epoch.seconds for epoch in run.history]


def profile(name: str, dataset: Dataset, precision: str) -> tuple[dict[str, float], float]:
    """Return each kind's share of the operations' time, and the share of a step with none.

    Operations overlap, especially the two gradients of a convolution.
    """
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            ours(name, dataset, precision, epochs=1)
        [file] = Path(folder).rglob("*.xplane.pb")
        plane = ProfileData.from_file(str(file)).find_plane_with_name("/host:CPU")
        operations = sorted(
            (event.start_ns / 1e9, event.duration_ns / 1e9, event.name)
            for line in plane.lines
            for event in line.events
            if event.name.startswith(GRAPH)
        )
    # Whole steps: from an Adam operation in the first step, which also builds the graph, to the
    # same operation in the last step, before the validation.
    adam = next(title for _, _, title in operations if re.search(KINDS["Adam"], title))
    first, *_, last = (begin for begin, _, title in operations if title == adam)
    seconds = dict.fromkeys(KINDS, 0.0)
    busy, until = 0.0, first
    for begin, duration, title in operations:
        if first <= begin < last:
            seconds[next(kind for kind in KINDS if re.search(KINDS[kind], title))] += duration
            busy += max(0.0, begin + duration - max(begin, until))
            until = max(until, begin + duration)
    total = sum(seconds.values())
    return {kind: of_one / total for kind, of_one in seconds.items()}, 1 - busy / (last - first)


def compare(dataset: Dataset, rounds: int) -> None:
    """Print a table of the images per second that each network trains on, validation included.

    Each figure is that of the fastest epoch: other load only slows epochs down.
    """
    print(
        "| model | plain script images/s | ours, float32 | ratio | ours, mixed_bfloat16 | ratio |"
    )
    print("|---|---:|---:|---:|---:|---:|", flush=True)
    for name in ARCHITECTURES:
        few = _of(dataset, STEPS[name])
        seconds: list[list[float]] = [[], [], []]
        for _ in range(rounds):  # in turns, since a shared machine's speed drifts
            seconds[0] += plain(name, few)[1:]
            seconds[1] += ours(name, few, "float32")[1:]
            seconds[2] += ours(name, few, "mixed_bfloat16")[1:]
        script, *others = (STEPS[name] * ARTICLE[name].batch_size / min(times) for times in seconds)
        cells = [f"{rate:,.0f} | {rate / script:.2f}" for rate in others]
        print(f"| `{name}` | {script:,.0f} | {' | '.join(cells)} |", flush=True)


def show_profiles(dataset: Dataset) -> None:
    """Print where a step's time goes, as a table."""
    print(f"| model | precision | {' | '.join(KINDS)} | none runs |")
    print(f"|---|---|{'---:|' * (len(KINDS) + 1)}", flush=True)
    for name in ARCHITECTURES:
        for precision in ("float32", "mixed_bfloat16"):
            shares, idle = profile(name, _of(dataset, 4 * STEPS[name]), precision)
            cells = [f"{100 * share:.1f} %" for share in (*shares.values(), idle)]
            print(f"| `{name}` | {precision} | {' | '.join(cells)} |", flush=True)


def _of(dataset: Dataset, steps: int) -> Dataset:
    """Return the images for an epoch of `steps`, and for its validation."""
    size = steps * ARTICLE["first"].batch_size
    return replace(
        dataset,
        train=dataset.train.take(slice(size)),
        validation=dataset.validation.take(slice(size // 4)),
    )


@click.command(context_settings={"show_default": True})
@click.option("--rounds", default=3, help="Turns that each takes.")
@click.option("--profile", "profiled", is_flag=True, help="Profile a step instead.")
def main(rounds: int, profiled: bool) -> None:
    """Measure the images per second of `training.runs.train` and of the article's script."""
    keras.config.disable_interactive_logging()  # no progress bars in the table
    dataset = load(None)
    if profiled:
        show_profiles(dataset)
    else:
        compare(dataset, rounds)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.training")
