"""Occlusion sensitivity: which parts of an image a prediction depends on.

Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", 2014.
"""

import numpy as np
import numpy.typing as npt

from models.record import IMAGE_SIZE

PATCH = 8  # pixels, both sides
STEP = 3  # pixels from one position to the next
GRAY = 128

_STARTS = range(0, IMAGE_SIZE - PATCH + 1, STEP)
POSITIONS = len(_STARTS)  # in each direction
COUNT = POSITIONS**2  # images, each with the patch at another position


def occlude(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return uint8 [COUNT, 32, 32, 3]: the image with a gray patch at each position, row by row."""
    occluded = np.repeat(image[np.newaxis], COUNT, axis=0)
    for index, (top, left) in enumerate((top, left) for top in _STARTS for left in _STARTS):
        occluded[index, top : top + PATCH, left : left + PATCH] = GRAY
    return occluded


def sensitivity(
    whole: npt.NDArray[np.float32], occluded: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Return how much the predicted class's probability drops at each position.

    Takes the probabilities [classes] for the whole image and [COUNT, classes] for the occluded
    ones. The map is float32 [POSITIONS, POSITIONS]; where it is negative, the model is more
    confident without that part.
    """
    predicted = whole.argmax()
    lost: npt.NDArray[np.float32] = whole[predicted] - occluded[:, predicted]
    return lost.reshape(POSITIONS, POSITIONS)
