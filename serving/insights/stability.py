"""Label-preserving variants of an image, to see whether a prediction is stable."""

from collections.abc import Mapping
from itertools import product

import numpy as np
import numpy.typing as npt

MAX_SHIFT = 2  # pixels, each way
NOISE = (2, 4, 8)  # standard deviations, in gray levels of 256

_SHIFTS = [
    (down, right)
    for down, right in product(range(-MAX_SHIFT, MAX_SHIFT + 1), repeat=2)
    if (down, right) != (0, 0)
]


def _name(down: int, right: int) -> str:
    ways = []
    if down:
        ways.append(f"{abs(down)} {'down' if down > 0 else 'up'}")
    if right:
        ways.append(f"{abs(right)} {'right' if right > 0 else 'left'}")
    return " and ".join(ways)


NAMES = (  # of an image's variants
    "mirrored",
    *(_name(down, right) for down, right in _SHIFTS),
    *(f"noise of {deviation} gray levels" for deviation in NOISE),
)
COUNT = len(NAMES)


def vary(image: npt.NDArray[np.uint8]) -> Mapping[str, npt.NDArray[np.uint8]]:
    """Return an image's variants by `NAMES`, all uint8 [H, W, 3]: mirrored, shifted, with noise.

    Shifted images are filled by reflection, as in the models' records. The noise is the same in
    each call, so that the same image gets the same answer.
    """
    height, width = image.shape[:2]
    border = ((MAX_SHIFT, MAX_SHIFT), (MAX_SHIFT, MAX_SHIFT), (0, 0))
    wide = np.pad(image, border, mode="reflect")
    variants = [image[:, ::-1]]
    for down, right in _SHIFTS:
        top, left = MAX_SHIFT - down, MAX_SHIFT - right
        variants.append(wide[top : top + height, left : left + width])
    noise = np.random.default_rng(0).normal(size=image.shape)
    for deviation in NOISE:
        variants.append(np.rint(image + deviation * noise).clip(0, 255).astype(np.uint8))
    return dict(zip(NAMES, variants, strict=True))
