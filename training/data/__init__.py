"""Where images come from: CIFAR-10, a folder of image files, or an .npz file."""

from pathlib import Path

from training.data import cifar10, folder, npz
from training.data.dataset import DataError, Dataset, Images, Labels, Split, Task

__all__ = ["DataError", "Dataset", "Images", "Labels", "Split", "Task", "load"]


def load(
    data_dir: Path | None,
    *,
    classes: str | None = None,
    skip_broken: bool = False,
    cache: Path | None = None,
) -> Dataset:
    """Load what is at `data_dir`; without one, CIFAR-10, which may be downloaded.

    Args:
        data_dir: the place of CIFAR-10's official files, a folder with one folder of images for
            each class, or an .npz file.
        classes: the names of an .npz file's labels, separated by commas.
        skip_broken: leave out files that cannot be read as images, however many there are.
        cache: the folder that keeps the pixels of images that were decoded once.

    Raises:
        DataError: there are none, or they cannot be used.
    """
    place = data_dir.expanduser() if data_dir else None
    is_file = place is not None and not place.is_dir() and place.suffix == ".npz"
    if classes is not None and not is_file:
        raise DataError(
            "--classes names the labels of an .npz file, but --data-dir is not one; a folder's "
            "classes are named after its subfolders"
        )
    if place is None or cifar10.is_at(place):
        return cifar10.load(cifar10.find(place))
    if is_file:
        return npz.load(place, classes)
    if not place.is_dir():
        raise DataError(
            f"{place} is neither a folder nor an .npz file; set --data-dir to one, or to a folder "
            "with a subfolder of images for each class"
        )
    return folder.load(place, skip_broken=skip_broken, cache=cache)
