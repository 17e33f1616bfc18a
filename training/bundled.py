"""Which bundled versions a command is about."""

from collections.abc import Sequence
from pathlib import Path

import click

from models.bundle import RECORD_FILE, BundleError, read_record, version_folders
from models.record import Record
from training.data import Dataset
from training.networks.recipes import ARTICLE


def bundled_versions(names: Sequence[str], models_dir: Path) -> list[Path]:
    """Return the folders of the named models' versions, or of all, oldest version first.

    Raises:
        BundleError: there are none.
    """
    found = [folder for name in names or ["*"] for folder in _recorded(models_dir, name)]
    if not found:
        raise BundleError(
            f"{models_dir} holds no version of {' or '.join(names) or 'any model'}; export one "
            "first: python -m training export, or choose another folder with --models-dir"
        )
    return found


def of_images(folders: Sequence[Path], dataset: Dataset) -> list[Path]:
    """Return the folders of the versions that are of these images; name those that are not.

    Raises:
        BundleError: there is none, or a record is broken.
    """
    found = []
    for folder in folders:
        images = read_record(folder).dataset
        if images is None or images.sha256 == dataset.sha256:
            found.append(folder)
        else:
            click.echo(f"{folder} is left out: it was trained on different images", err=True)
    if not found:
        raise BundleError(
            f"no model was trained on {dataset.name} as it is now; choose other images with "
            "--data-dir, or another folder of models with --models-dir"
        )
    return found


def read_records(models_dir: Path, *, skip_broken: bool = False) -> dict[str, list[Record]]:
    """Return each model's records, oldest version first; the article's models come first.

    Raises:
        BundleError: a record is broken; with `skip_broken`, it is left out with a message instead.
    """
    records = []
    for folder in _recorded(models_dir):
        try:
            records.append(read_record(folder))
        except BundleError as error:
            if not skip_broken:
                raise
            click.echo(f"Skipped: {error}", err=True)
    names = [name for name in ARTICLE if any(r.name == name for r in records)]
    names += sorted({r.name for r in records} - set(names))
    return {
        name: sorted((r for r in records if r.name == name), key=lambda r: r.version)
        for name in names
    }


def improved_models(records: dict[str, list[Record]]) -> dict[str, Record]:
    """Return the records of the improved recipe's versions, by model name."""
    return {r.name: r for of_model in records.values() for r in of_model if r.recipe == "improved"}


def _recorded(models_dir: Path, name: str = "*") -> list[Path]:
    return [
        folder for folder in version_folders(models_dir, name) if (folder / RECORD_FILE).exists()
    ]
