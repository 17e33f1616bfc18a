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
        BadRequestError: the models do not take such a tensor.
        TooLargeError: it holds more than `max_images`.
    """
    if [tensor.name for tensor in asked.inputs] != [INPUT]:
        names = ", ".join(repr(tensor.name) for tensor in asked.inputs) or "none"
        raise BadRequestError(f"The inputs are {names}; the model takes one, {INPUT!r}.")
    [tensor] = asked.inputs
    count, rest = (tensor.shape or [0])[0], tuple(tensor.shape[1:])
    if tensor.datatype == PIXELS:
        fits, form = rest == IMAGE_SHAPE, "[N, 32, 32, 3]"
    elif tensor.datatype == ENCODED:
        fits, form = rest in {(), (1,)}, "[N] or [N, 1] of image files"
    else:
        raise BadRequestError(
            f"{INPUT} is declared as {tensor.datatype}; the model takes {PIXELS}, or image files "
            f"as {ENCODED}."
        )
    if not fits or count < 1:
        raise BadRequestError(
            f"{INPUT} has the shape {tensor.shape}; as {tensor.datatype}, the model takes {form}."
        )
    if count > max_images:
        raise TooLargeError(f"{INPUT} holds {count} images; at most {max_images} are accepted.")
    return tensor


def read_pixels(tensor: InputTensor, binary: bytes) -> npt.NDArray[np.uint8]:
    """Return the images of a UINT8 tensor, uint8 [N, 32, 32, 3].

    Raises:
        BadRequestError: the data is not that many whole numbers from 0 to 255.
    """
    size = math.prod(tensor.shape)
    if _is_binary(tensor, binary):
        if len(binary) != size:
            raise BadRequestError(
                f"{len(binary)} bytes follow the JSON; {INPUT} of the shape {tensor.shape} has "
                f"{size}."
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
        f"{INPUT}.data is not {size} whole numbers from 0 to 255, as the shape says."
    )


def read_encoded(tensor: InputTensor, binary: bytes) -> list[Upload]:
    """Return the files of a BYTES tensor.

    In JSON they are base64, since their bytes are not text. Some clients send base64 as binary
    data, too, with or without the parameter content_type; no image looks like it.

    Raises:
        BadRequestError: the data is not that many elements, or a text is not base64.
    """
    count = tensor.shape[0]
    if _is_binary(tensor, binary):
        try:
            found = elements.unpack(binary, count)
        except ValueError as error:
            raise BadRequestError(
                f"{INPUT} has {count} elements by its shape, each of which is 4 bytes of length "
                f"and the image; in the {len(binary)} bytes, {error}."
            ) from error
        found = [
            read_base64(content, f"{INPUT}[{place}]") if name_format(content) == BASE64 else content
            for place, content in enumerate(found)
        ]
    else:
        texts = _flatten(tensor, "base64 texts")
        if texts.size != count:
            raise BadRequestError(f"{INPUT}.data has {texts.size} elements; its shape, {count}.")
        found = [read_base64(text, f"{INPUT}[{place}]") for place, text in enumerate(texts)]
    return [Upload(None, f"{INPUT}[{place}]", content) for place, content in enumerate(found)]


def _is_binary(tensor: InputTensor, binary: bytes) -> bool:
    declared = tensor.parameters.binary_data_size
    if declared is None and not binary:
        return False
    if declared != len(binary):
        raise BadRequestError(
            f"binary_data_size of {INPUT} is {reprlib.repr(declared)}, and {len(binary)} bytes "
            "follow the JSON."
        )
    return True


def _flatten(tensor: InputTensor, what: str) -> npt.NDArray[np.object_]:
    """Return the elements of JSON data, which are flat or nested as the shape says."""
    try:
        # As objects: otherwise NumPy would give each text as much room as the longest.
        data = np.asarray(tensor.data, dtype=object)
    except ValueError as error:  # lists nested too deep
        raise BadRequestError(
            f"{INPUT}.data is not an array; it has {math.prod(tensor.shape)} {what}, nested or "
            "flat."
        ) from error
    if data.ndim > 1 and data.shape != tuple(tensor.shape):
        raise BadRequestError(
            f"{INPUT}.data is nested as {list(data.shape)}, and its shape is {tensor.shape}. Nest "
            "it as its shape says, or send it flat."
        )
    return data.ravel()
