"""A folder with one sub-folder of image files for each class, perhaps in train/ and test/.

The service's own decoder makes the pixels, so that training sees what the service will see.
"""

import hashlib
import json
import sys
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import click
import numpy as np
import PIL

from models.record import IMAGE_SIZE
from serving.classify.files import decode_files
from serving.images.decode import DecodedImage
from training.data.dataset import DataError, Dataset, Images, Split, class_name, task
from training.data.split import Part, check_counts, divide
from training.files import WriteError, check_writable, replaced

BROKEN_SHARE = 0.01  # of the files; more of them stop the command

_PARTS: Mapping[str, Part] = {
    "train": "train",
    "val": "validation",
    "validation": "validation",
    "test": "test",
}
_OF_SYSTEMS = {"__MACOSX", "Thumbs.db", "desktop.ini", "lost+found"}  # not hidden by a dot

Files = dict[Part, list[tuple[Path, int]]]  # each with its label


def load(root: Path, *, skip_broken: bool, cache: Path | None) -> Dataset:
    """Load a folder; images that are decoded once are kept in the folder `cache`.

    Files that cannot be read as images are named on standard error.

    Raises:
        DataError: the folder has another form, a class has too few images, or more than
            `BROKEN_SHARE` of the files are no images, and `skip_broken` is not set.
    """
    classes, files = find_files(root)
    check_counts((label for of in files.values() for _, label in of), classes, str(root))
    paths = [path for of_part in files.values() for path, _ in of_part]
    images, broken = read(paths, root, cache)
    for name, reason in broken.items():
        click.echo(f"{root / name}: {reason}", err=True)
    if len(broken) > BROKEN_SHARE * len(paths) and not skip_broken:
        raise DataError(
            f"{root}: {len(broken)} of {len(paths)} files are not readable images (listed above); "
            "remove them, or leave them out with --skip-broken"
        )
    given: dict[Part, Split] = {}
    start = 0
    for part, of_part in files.items():
        labels = [label for path, label in of_part if _name(path, root) not in broken]
        end = start + len(labels)
        given[part] = Split(images[start:end], np.array(labels, dtype=np.int64))
        start = end
    parts, how = divide(given, classes, str(root))
    name = root.resolve().name or "images"
    return Dataset(
        name=name,
        source="a folder of image files",
        classes=tuple(classes),
        split=how,
        task=task(len(classes), parts["train"]),
        options=("--data-dir", name),
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
    )


def find_files(root: Path) -> tuple[list[str], Files]:
    """Return the class names, sorted, and each part's files with their labels.

    A folder that is not divided has all of its files in `train`.

    Raises:
        DataError: the folder has another form.
    """
    folders = _folders(root)
    if not folders:
        raise DataError(f"{root} is empty; add a subfolder of images for each class")
    names = [folder.name for folder in folders]
    # `train` alone is also something that travels on rails.
    parts = [folder for folder in folders if folder.name in _PARTS]
    if parts != folders and not any(entry.is_dir() for f in parts for entry in _entries(f)):
        of_class = _classes(root)
        return list(of_class), {"train": _files(of_class, list(of_class))}
    for wrong in (name for name in names if name not in _PARTS):
        raise DataError(
            f"{root / wrong} is next to train and test, where only validation may be; move it "
            "elsewhere"
        )
    for needed in sorted({"train", "test"} - set(names)):
        raise DataError(
            f"{root} has {' and '.join(names)}, but no {needed}; add it, or put the class folders "
            f"directly into {root} to have them split"
        )
    if {"val", "validation"} <= set(names):
        raise DataError(f"{root} has val and validation; keep one of them")
    by_part = {folder: _classes(folder) for folder in folders}
    classes = sorted({name for of_part in by_part.values() for name in of_part})
    for folder, of_part in by_part.items():
        for lacking in (name for name in classes if name not in of_part):
            raise DataError(
                f"{folder} has no folder {lacking!r}, but another part does; all parts need the "
                "same classes"
            )
    return classes, {_PARTS[f.name]: _files(of_part, classes) for f, of_part in by_part.items()}


def read(paths: Sequence[Path], root: Path, cache: Path | None) -> tuple[Images, dict[str, str]]:
    """Return the images of the files that have one, in order, and what is wrong with the others.

    The reasons are by the files' names within `root`.
    """
    kept = cache / f"{_place(root)}{_fingerprint(paths, root)}.npz" if cache else None
    if kept and (found := _read_kept(kept)):
        return found
    images: list[Any] = []
    broken = {}
    with (
        click.progressbar(
            length=len(paths),
            label=f"Reading {len(paths):,} images from {root}",
            file=sys.stderr,
            hidden=not sys.stderr.isatty(),
        ) as bar,
        closing(decode_files(map(str, paths), resize=True)) as decoded,
    ):
        for path, (_, image) in zip(paths, decoded, strict=True):
            if isinstance(image, DecodedImage):
                images.append(image.pixels)
            else:
                broken[_name(path, root)] = image
            bar.update(1)
    shape = (len(images), IMAGE_SIZE, IMAGE_SIZE, 3)
    pixels = np.array(images, dtype=np.uint8).reshape(shape)
    if kept:
        # Without room for it, the images are decoded again next time.
        with suppress(WriteError):
            _keep(kept, pixels, broken, _place(root))
    return pixels, broken


def _keep(path: Path, pixels: Images, broken: Mapping[str, str], place: str) -> None:
    check_writable(path.parent)
    ours = path.with_name(f"{uuid4()}.npz")  # another training may read the same images
    with replaced(ours) as unfinished:
        np.savez(unfinished, images=pixels, broken=np.array(json.dumps(broken)))
    ours.replace(path)
    for older in path.parent.glob(f"{place}*"):
        if older != path:
            older.unlink(missing_ok=True)


def _read_kept(path: Path) -> tuple[Images, dict[str, str]] | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return arrays["images"], json.loads(str(arrays["broken"]))
    # There is none, or it is damaged.
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _place(root: Path) -> str:
    """Return what names the folder's images, whatever they are now."""
    return hashlib.sha256(bytes(root.resolve())).hexdigest()[:8] + "-"


def _fingerprint(paths: Sequence[Path], root: Path) -> str:
    """Return a digest of what changes when an image does, or when another Pillow reads it."""
    digest = hashlib.sha256(PIL.__version__.encode())
    for path in paths:
        try:
            status = path.stat()
            known = status.st_size, status.st_mtime_ns
        except OSError:
            known = -1, -1
        digest.update(f"\n{known}{_name(path, root)}".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def _name(path: Path, root: Path) -> str:
    return str(path.relative_to(root))


def _classes(folder: Path) -> dict[str, Path]:
    """Return the folders of the classes by the classes' names, sorted.

    Raises:
        DataError: one leads back to `folder`, or two names cannot be told apart.
    """
    found: dict[str, Path] = {}
    for entry in _folders(folder):
        if folder.resolve().is_relative_to(entry.resolve()):
            raise DataError(f"{entry} is a link that leads back to {entry.resolve()}; remove it")
        name = class_name(entry.name, str(entry))
        if name in found:
            raise DataError(_same(found[name], entry))
        found[name] = entry
    by_form = sorted(found, key=lambda name: (name.casefold(), name))
    for one, other in pairwise(by_form):
        if one.casefold() == other.casefold():
            raise DataError(_same(found[one], found[other]))
    return dict(sorted(found.items()))


def _same(one: Path, other: Path) -> str:
    return f"{one} and {other} differ only by case or Unicode form; rename or merge them"


def _files(folders: Mapping[str, Path], classes: Sequence[str]) -> list[tuple[Path, int]]:
    """Return the files in the folders of the classes, with the classes' places.

    Raises:
        DataError: a class has folders.
    """
    files = []
    for label, name in enumerate(classes):
        for entry in _entries(folders[name]):
            if entry.is_dir():
                raise DataError(
                    f"{entry} is a folder inside the class {name!r}; put the images directly into "
                    "the class folder, or set --data-dir to the folder above the classes"
                )
            files.append((entry, label))
    return files


def _folders(folder: Path) -> list[Path]:
    """Return what is in a folder that has nothing but folders.

    Raises:
        DataError: it has a file.
    """
    entries = _entries(folder)
    for entry in entries:
        if not entry.is_dir():
            what = "a link that leads nowhere" if entry.is_symlink() else "a file"
            raise DataError(
                f"{entry} is {what}, but only class folders belong here; move it into one of them, "
                "or elsewhere"
            )
    return entries


def _entries(folder: Path) -> list[Path]:
    try:
        found = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"cannot read {folder}: {error.strerror}") from error
    return [e for e in found if not e.name.startswith(".") and e.name not in _OF_SYSTEMS]
