"""Requests of the Open Inference Protocol."""

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import requests
import tritonclient.http as triton


def image_input(images: npt.NDArray[np.uint8], *, binary: bool) -> triton.InferInput:
    tensor = triton.InferInput("image", images.shape, "UINT8")
    tensor.set_data_from_numpy(images, binary_data=binary)
    return tensor


def post_binary(url: str, asked: dict[str, Any], content: bytes) -> requests.Response:
    """Send a request whose tensors follow its JSON."""
    header = json.dumps(asked).encode()
    length = {"Inference-Header-Content-Length": str(len(header))}
    return requests.post(url, data=header + content, headers=length)
