"""Images embedded in a response, to show what a model saw."""

import base64
import io

import numpy as np
import numpy.typing as npt
from PIL import Image


def to_data_url(pixels: npt.NDArray[np.uint8]) -> str:
    """Return uint8 [H, W, 3] RGB pixels as a PNG, in a URL for an <img> element."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
