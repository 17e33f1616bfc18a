"""docs/reproduction.md: the command behind every published figure, from the records."""

import json
from pathlib import Path

from models.record import RECORD_FILE, Record

MODELS = Path(__file__).parents[1] / "models"

PAGE = """\
# Reproduction

<!-- Generated from the records by `python -m docs`; edit docs/reproduction.py instead. -->

Every published figure comes from a record, and every record from one of these commands. Set
`CIFAR10_DIR` to the folder of the official batches, or it is downloaded.

## The models

[The table](../README.md#the-models), the cards and the plots in [models/](../models):

```sh
{models}
```

A recipe is the one in `training/recipes.py` at the time of the export; `metadata.json` has that
time, the device, and every library's version. Version 1 is trained with the seed whose validation
accuracy is the median of those trained, a rule written down before they were; with an even number,
the lower of the middle two.

```sh
uv run python -m training verify
uv run python -m training verify --precision int8
```

measure every bundled file on the test set on your machine, and fail beyond 0.1 points.

## What reduces the overfitting

[The table](../README.md#what-reduces-the-overfitting), with losses and times in
[models/STUDY.md](../models/STUDY.md):

```sh
{study}
```

## The tables and plots

```sh
uv run --group training python -m training report
uv run python -m docs
```

write them all, from the records and from the service. With `--check` they only compare, as CI does.

## The service's speed

[benchmarks/README.md](../benchmarks/README.md) has the command above each table.
"""


def page() -> str:
    """Return the page."""
    return PAGE.format(models="\n".join(_models()), study="\n".join(_study()))


def _models() -> list[str]:
    records = [
        Record.model_validate_json(path.read_bytes()) for path in MODELS.glob(f"*/*/{RECORD_FILE}")
    ]
    return [
        f"uv run --group training python -m training --model {r.name} --recipe {r.recipe} "
        f"--epochs {r.epochs} --seed {r.seed} --precision {r.precision}"
        for r in sorted(records, key=lambda r: (r.parameters, r.version))
    ]


def _study() -> list[str]:
    seeds: dict[tuple[str, int, str], set[int]] = {}
    for result in json.loads((MODELS / "study.json").read_bytes())["results"]:
        setting = result["setting"]
        key = setting["model"], setting["epochs"], setting["precision"]
        seeds.setdefault(key, set()).add(result["seed"])
    return [
        f"uv run --group training python -m training study --model {model} --epochs {epochs} "
        f"--precision {precision} --seeds {max(found) + 1}"
        for (model, epochs, precision), found in seeds.items()
    ]
