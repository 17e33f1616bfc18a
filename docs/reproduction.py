"""docs/reproduction.md: the command behind every published figure, from the records."""

from pathlib import Path

from models.study import EXPERIMENTS, Result
from training.bundled import read_records
from training.report.results import COMPARISONS, repeats_article
from training.report.tables import Records, reproduction_table

MODELS = Path(__file__).parents[1] / "models"

PAGE = """\
# Reproduction

<!-- Generated from the records by `python -m docs`; edit docs/reproduction.py instead. -->

The command behind each figure of a model. Set `CIFAR10_DIR` to the folder of CIFAR-10's official
batches, or let the command download them.

## The models

[The table](../README.md#the-models), and the cards and plots in [models/](../models):

```sh
{models}
```

In a checkout, add `--models-dir` with a folder of your own to each command, because a version that
was trained longer is not replaced. `--extend` continues from the version that the command above it
bundled.

The recipe is the one in `training/networks/recipes.py` at the commit that trained the model.
`metadata.json` has that commit (if it was recorded), the device and the version of every library.
Version 1 of `first` and `second` has the seed with the median validation accuracy of five; that
rule was fixed before they were trained.

To measure every bundled file on your machine, and fail if an accuracy differs by more than 0.1
points:

```sh
uv run python -m training verify
uv run python -m training verify --precision float32
```

[models/FAMILIARITY.md](../models/FAMILIARITY.md):

```sh
uv run --group training python -m training familiarity
```

### Limits of these figures

- Our targets for version 2's test accuracy were 88.0 % (`first`), 89.0 % (`second`) and 92.0 %
  (`final`). `second` and `final` miss theirs. More epochs have raised all three so far: `first`
  had 87.41 % after 100, `second` 87.82 % after 85 and `final` 89.51 % after 34.
- The recipe was chosen by validation accuracy alone. But we decided how long to train with these
  targets in view, and measured the test accuracy at each extension, so it may be slightly
  optimistic.
- Epochs from before commit 10d0a59 saw the training images in the same order each time, because
  Keras' `fit` shuffles only once when a seed is set under TensorFlow. That affects version 1 of
  `final`, version 2 of `first`, and version 2 of `final` except its last 23 epochs. It costs the
  article's recipe a few points on new images, and the improved recipe nothing that we could
  measure. Train at their commit to repeat them.
- The trials that chose the recipe were not kept. [models/ABLATIONS.md](../models/ABLATIONS.md)
  measures its ingredients again, on `first`:

```sh
{ablations}
```

## Does it reproduce the article?

The article's figures beside ours for the same recipe. Accuracies are in percent, ± is the standard
deviation over n seeds. Training accuracy is the article's own metric here: Keras' running mean over
the last epoch.

{reproduction}

- On new images, the article's runs of `first` and `second` are within half a standard deviation of
  our float32 means.
- Its training accuracy lies outside our five runs: 1.7 points below their mean for `first`, 0.4
  above it for `second`. It is inside the 95 % prediction interval for one more run (±2.3 and ±0.9
  points).
- In bfloat16 with the same seed, `first` differs from float32 by at most 0.7 points, `second` by
  about 3, which is no more than another seed does.

The other seeds of the article's recipe:

```sh
{seeds}
```

## What reduces overfitting

[The table](overfitting.md#what-helps), with the losses in [models/STUDY.md](../models/STUDY.md):

```sh
{study}
```

[Three experiments](overfitting.md#random-labels-less-data-a-larger-network):

```sh
{experiments}
```

## Tables and plots

These commands write all of them, from the records and from the service. With `--check` they only
compare, as CI does:

```sh
uv run --group training python -m training report
uv run python -m docs
```

## The service's speed

[benchmarks/README.md](../benchmarks/README.md) has the command above each table.
"""


def page() -> str:
    """Return the page."""
    records = read_records(MODELS)
    article = COMPARISONS["article"].read_current(MODELS)
    improved = COMPARISONS["improved"].read_current(MODELS)
    return PAGE.format(
        models="\n".join(_models(records)),
        reproduction=reproduction_table(records, article),
        ablations=_study("improved", improved.comparable),
        seeds=_study("article", [r for r in article.results if repeats_article(r)]),
        study=_study("article", article.comparable),
        experiments="\n".join(
            _study(name, COMPARISONS[name].read_current(MODELS).comparable) for name in EXPERIMENTS
        ),
    )


def _models(records: Records) -> list[str]:
    return [
        f"uv run --group training python -m training --model {r.name} --recipe {r.recipe} "
        f"--epochs {planned} --seed {r.seed} --precision {r.precision}"
        f"{' --extend --fresh' if i else ''}"
        f"{f'  # stopped after {finished}' if finished < planned else ''}"
        for of_model in records.values()
        for r in of_model
        if r.epochs is not None  # it was trained here
        for i, (finished, planned) in enumerate(
            [*((e.after, e.planned) for e in r.extensions), (r.epochs_completed, r.epochs)]
        )
    ]


def _study(vary: str, results: list[Result]) -> str:
    """Return a command for each setting; its variants have the same seeds."""
    commands = []
    for setting in dict.fromkeys(result.setting for result in results):
        of_setting = [result for result in results if result.setting == setting]
        variants = COMPARISONS[vary].variants[setting.model]
        found = {result.technique for result in of_setting}
        names = [name for name in variants if name in found]
        commands.append(
            f"uv run --group training python -m training study --model {setting.model} "
            f"--vary {vary} --epochs {setting.epochs} --precision {setting.precision} "
            f"--seeds {len({result.seed for result in of_setting})}"
            + ("" if names == [*variants] else "".join(f" --technique {name}" for name in names))
        )
    return "\n".join(commands)
