"""An inference request: its JSON, and the form of answer that it asks for."""

import json
import math
import reprlib
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, JsonValue, StrictBool, ValidationError

from models.bundle import first_reason
from models.record import CLASSES, IMAGE_SIZE, INPUT, OUTPUT
from serving.errors import BadRequestError, TooLargeError
from serving.protocol import HEADER_LENGTH

PIXELS, ENCODED = "UINT8", "BYTES"  # the datatypes of images
IMAGE_SHAPE = (IMAGE_SIZE, IMAGE_SIZE, 3)
OTHER_ELEMENTS = 1000  # lists, objects and commas of a request besides its pixels

Parameters = Annotated[
    dict[str, JsonValue], BeforeValidator(lambda sent: {} if sent is None else sent)
]

Short = Annotated[str, Field(max_length=1000)]  # answers repeat it

Kind = TypeVar("Kind", bound=BaseModel)


class InputTensor(BaseModel):
    """A tensor of the request: `data`, row by row, nested or flat, or else binary data."""

    name: Short
    datatype: Short
    # Bounded, like the lists below, so that a million wrong elements do not each get an error.
    shape: Annotated[list[int], Field(max_length=4)]
    parameters: Parameters = {}
    data: JsonValue = None


class RequestedOutput(BaseModel):
    """An output that the request names."""

    name: Literal["probabilities"]
    parameters: Parameters = {}


class InferenceRequest(BaseModel):
    """The JSON of a request; null counts as left out."""

    id: Short | None = None
    parameters: Parameters = {}
    inputs: Annotated[list[InputTensor], Field(max_length=16)]
    outputs: Annotated[list[RequestedOutput], Field(max_length=1)] | None = None


class IndexRequest(BaseModel):
    """The JSON of a request for the repository's index."""

    ready: StrictBool | None = None


@dataclass(frozen=True)
class OutputForm:
    """How the request wants the probabilities."""

    binary: bool  # after the JSON, or in it
    classes: int  # how many, the likeliest, as texts; 0 for all, as numbers


def read_request(
    body: bytes, header_length: str | None, max_images: int
) -> tuple[InferenceRequest, bytes]:
    """Return the request's JSON and the binary data after it.

    A length of 0 says that there is no JSON: the body is the pixels.

    Raises:
        BadRequestError: the header is not a length within the body, or the JSON is invalid.
        TooLargeError: the JSON has more elements than `max_images` images.
    """
    length = str(len(body)) if header_length is None else header_length
    if not length.isdecimal() or len(length) > 20 or int(length) > len(body):
        raise BadRequestError(
            f"{HEADER_LENGTH} is {length[:20]!r}; it is how many of the body's {len(body)} bytes "
            "are JSON. Leave it out where all are."
        )
    if body and int(length) == 0:
        return _of_pixels(len(body)), body
    asked = _validate(InferenceRequest, body[: int(length)], max_images)
    for tensor in (*asked.inputs, *(asked.outputs or ())):
        if "shared_memory_region" in tensor.parameters:
            raise BadRequestError(
                f"{tensor.name} is said to be in shared memory, which is not read or written here; "
                "send and receive it in the bodies."
            )
    return asked, body[int(length) :]


def _of_pixels(size: int) -> InferenceRequest:
    count, rest = divmod(size, math.prod(IMAGE_SHAPE))
    if rest:
        raise BadRequestError(
            f"The body's {size} bytes are pixels, as {HEADER_LENGTH} is 0, and an image has "
            f"{math.prod(IMAGE_SHAPE)} of them. Send image files as {ENCODED}, after JSON."
        )
    tensor = InputTensor(
        name=INPUT,
        datatype=PIXELS,
        shape=[count, *IMAGE_SHAPE],
        parameters={"binary_data_size": size},
    )
    # As Triton does, whose clients read such an answer as binary data.
    return InferenceRequest(inputs=[tensor], parameters={"binary_data_output": True})


def read_index_request(body: bytes) -> bool:
    """Return whether the request is for ready models only; the body may be empty.

    Raises:
        BadRequestError: the JSON is invalid.
        TooLargeError: it has more elements than any such request.
    """
    return bool(_validate(IndexRequest, body or b"{}", max_images=0).ready)


def _validate(kind: type[Kind], content: bytes, max_images: int) -> Kind:
    # PowerShell 5.1 and Notepad write UTF-8 with a BOM, or UTF-16.
    if (encoding := json.detect_encoding(content)) != "utf-8":
        try:
            content = content.decode(encoding).encode()
        except UnicodeError as error:
            raise BadRequestError(
                f"The request's JSON looks like {encoding.upper()}, and is not: {error}. Send it "
                "as UTF-8."
            ) from error
    # Parsing takes far more time and memory for a list or a number than for a byte of text.
    height, width, channels = IMAGE_SHAPE
    lists = 1 + height + height * width  # of an image, nested
    if (
        content.count(b"[") + content.count(b"{") > max_images * lists + OTHER_ELEMENTS
        or content.count(b",") > max_images * height * width * channels + OTHER_ELEMENTS
    ):
        raise TooLargeError(
            f"The request's JSON has more elements than {max_images} images have pixels."
            if max_images
            else "The request's JSON has more elements than any such request."
        )
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise BadRequestError(
            f"The request is not the Open Inference Protocol's: {first_reason(error, 'the body')}."
        ) from error


def read_output(asked: InferenceRequest) -> OutputForm:
    """Return how the request wants the probabilities.

    Raises:
        BadRequestError: a parameter for it is invalid.
    """
    binary = flag(asked.parameters, "binary_data_output")
    classes: JsonValue = 0
    for output in asked.outputs or ():
        binary = flag(output.parameters, "binary_data", default=binary)
        if (asked_for := output.parameters.get("classification")) is not None:
            classes = asked_for
    if (
        isinstance(classes, bool)
        or not isinstance(classes, int | float)
        or classes not in range(len(CLASSES) + 1)
    ):
        raise BadRequestError(
            f"classification of {OUTPUT} is {reprlib.repr(classes)}; it is a whole number from 0 "
            f"(all classes, as numbers) to {len(CLASSES)}."
        )
    return OutputForm(binary, int(classes))


def flag(parameters: Parameters, name: str, *, default: bool = False) -> bool:
    """Return whether a parameter is true.

    Raises:
        BadRequestError: it is neither true nor false, nor a text that says so.
    """
    value = parameters.get(name)
    if value is None:
        return default
    text = str(value).lower() if isinstance(value, bool | str) else ""
    if text not in {"true", "false"}:
        raise BadRequestError(
            f"The parameter {name} is {reprlib.repr(value)}; it must be 'true' or 'false'."
        )
    return text == "true"
