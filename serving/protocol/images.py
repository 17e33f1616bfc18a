"""A request's images: pixels as a UINT8 tensor, or encoded files as the elements of a BYTES one."""

import math
import reprlib
from contextlib import suppress

import numpy as np
import numpy.typing as npt

from models.record import INPUT
from serving.errors import BadRequestError, TooLargeError
from serving.http.json import read_base64
from serving.images.decode import Upload
from serving.images.formats import BASE64, name_format
from serving.protocol import elements
from serving.protocol.requests import (
    ENCODED,
    IMAGE_SHAPE,
    PIXELS,
    InferenceRequest,
    InputTensor,
)


def read_tensor(asked: InferenceRequest, max_images: int) -> InputTensor:
    """Return the request's one tensor, after checking its datatype and shape.

    Raises:
        BadRequestError: the models do not accept it.
        TooLargeError: it holds more than `max_images`.
    """
    if [tensor.name for tensor in asked.inputs] != [INPUT]:
        names = ", ".join(repr(tensor.name) for tensor in asked.inputs) or "none"
        raise BadRequestError(f"The inputs are {names}; the model takes a single one, {INPUT!r}.")
    [tensor] = asked.inputs
    count, rest = (tensor.shape or [0])[0], tuple(tensor.shape[1:])
    if tensor.datatype == PIXELS:
        fits, form = rest == IMAGE_SHAPE, "[N, 32, 32, 3]"
    elif tensor.datatype == ENCODED:
        fits, form = rest in {(), (1,)}, "[N] or [N, 1] of image files"
    else:
        raise BadRequestError(
            f"{INPUT} has the datatype {tensor.datatype}; send pixels as {PIXELS}, or image files "
            f"as {ENCODED}."
        )
    if not fits or count < 1:
        raise BadRequestError(
            f"{INPUT} has the shape {tensor.shape}; for {tensor.datatype}, it must be {form}."
        )
    if count > max_images:
        raise TooLargeError(f"{INPUT} has {count} images; at most {max_images} are accepted.")
    return tensor


def read_pixels(tensor: InputTensor, binary: bytes) -> npt.NDArray[np.uint8]:
    """Return the images of a UINT8 tensor, uint8 [N, 32, 32, 3].

    Raises:
        BadRequestError: the data is not the right number of integers from 0 to 255.
    """
    size = math.prod(tensor.shape)
    if _is_binary(tensor, binary):
        if len(binary) != size:
            raise BadRequestError(
                f"{len(binary)} bytes follow the JSON; {INPUT} as {tensor.shape} needs {size}."
            )
        return np.frombuffer(binary, np.uint8).reshape(tensor.shape)
    values = _flatten(tensor, "numbers")
    if values.size == size and set(map(type, values)) <= {int, float}:
        with suppress(OverflowError):  # from integers with hundreds of digits
            numbers = values.astype(np.float64)
            pixels = np.nan_to_num(numbers).clip(0, 255).astype(np.uint8)
            if (pixels == numbers).all():
                return pixels.reshape(tensor.shape)
    raise BadRequestError(
        f"{INPUT}.data must be {size} integers from 0 to 255, according to its shape."
    )


def read_encoded(tensor: InputTensor, binary: bytes) -> list[Upload]:
    """Return the files of a BYTES tensor.

    In JSON they are base64, since their bytes are not text. Some clients send base64 as binary
    data, too, with or without the parameter content_type; no image file looks like base64.

    Raises:
        BadRequestError: the data has the wrong number of elements, or one is not base64.
    """
    count = tensor.shape[0]
    if _is_binary(tensor, binary):
        try:
            found = elements.unpack(binary, count)
        except ValueError as error:
            raise BadRequestError(
                f"{INPUT} has {count} elements according to its shape, each 4 bytes of length and "
                f"the image; in the {len(binary)} bytes of binary data, {error}."
            ) from error
        found = [
            read_base64(content, f"{INPUT}[{place}]") if name_format(content) == BASE64 else content
            for place, content in enumerate(found)
        ]
    else:
        texts = _flatten(tensor, "base64 texts")
        if texts.size != count:
            raise BadRequestError(f"{INPUT}.data has {texts.size} elements, not {count}.")
        found = [read_base64(text, f"{INPUT}[{place}]") for place, text in enumerate(texts)]
    return [Upload(None, f"{INPUT}[{place}]", content) for place, content in enumerate(found)]


def _is_binary(tensor: InputTensor, binary: bytes) -> bool:
    declared = tensor.parameters.binary_data_size
    if declared is None and not binary:
        return False
    if declared != len(binary):
        raise BadRequestError(
            f"binary_data_size of {INPUT} is {reprlib.repr(declared)}, but {len(binary)} bytes "
            "follow the JSON."
        )
    return True


def _flatten(tensor: InputTensor, what: str) -> npt.NDArray[np.object_]:
    """Return the elements of JSON data, which are flat or nested as the shape says."""
    try:
        # As objects: otherwise NumPy would pad each text to the longest.
        data = np.asarray(tensor.data, dtype=object)
    except ValueError as error:  # lists nested too deep
        raise BadRequestError(
            f"{INPUT}.data is not an array; send {math.prod(tensor.shape)} {what}, nested or flat."
        ) from error
    if data.ndim > 1 and data.shape != tuple(tensor.shape):
        raise BadRequestError(
            f"{INPUT}.data is nested as {list(data.shape)}, but its shape is {tensor.shape}. Nest "
            "it to match, or send it flat."
        )
    return data.ravel()
