"""An inference request: its JSON, and the form of output that it asks for."""

import math
import reprlib
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StrictBool,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from models.bundle import first_reason
from models.record import IMAGE_SIZE, INPUT, OUTPUT
from serving.errors import BadRequestError
from serving.http.json import read_json
from serving.http.parameters import as_boolean
from serving.protocol import HEADER_LENGTH

PIXELS, ENCODED = "UINT8", "BYTES"  # the datatypes of images
IMAGE_SHAPE = (IMAGE_SIZE, IMAGE_SIZE, 3)

Kind = TypeVar("Kind", bound=BaseModel)

Short = Annotated[str, Field(max_length=1000)]  # answers repeat it
Flag = Annotated[
    bool | None,
    BeforeValidator(lambda sent: None if sent is None else as_boolean(sent)),
]
Resize = Annotated[
    Flag,
    Field(
        description="Crop files of other sizes to their center and resample them (the default); "
        "if false, refuse them."
    ),
]


def _not_boolean(sent: object) -> object:
    if isinstance(sent, bool | str):  # which Pydantic would convert
        raise PydanticCustomError("integer", "it must be an integer")
    return sent


class Extensible(BaseModel):
    """Parameters; unknown ones are ignored, and null counts as none."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"type": ["object", "null"]})

    @model_validator(mode="before")
    @classmethod
    def _from_null(cls, sent: object) -> object:
        return {} if sent is None else sent


class InputParameters(Extensible):
    """How an input is sent."""

    binary_data_size: JsonValue = Field(None, description="Bytes of its data after the JSON.")
    resize: Resize = None


class InputTensor(BaseModel):
    """An input tensor: `data` in row-major order, nested or flat, or binary data."""

    name: Annotated[Short, Field(json_schema_extra={"enum": [INPUT]})]
    datatype: Annotated[
        Short,
        Field(
            description=f"{PIXELS} for pixels, {ENCODED} for files.",
            json_schema_extra={"enum": [PIXELS, ENCODED]},
        ),
    ]
    # Bounded, like the lists below, so that a million wrong elements do not each get an error.
    shape: Annotated[
        list[int],
        Field(
            max_length=4,
            description=f"[N, {IMAGE_SIZE}, {IMAGE_SIZE}, 3] for pixels, [N] or [N, 1] for files.",
        ),
    ]
    parameters: InputParameters = InputParameters()
    data: JsonValue = Field(
        None, description="Pixels, 0 to 255, row-major, nested or flat; or each file as base64."
    )


class OutputParameters(Extensible):
    """The form of an output."""

    binary_data: Flag = None
    classification: Annotated[
        int | None,
        Field(
            ge=0,
            description="Return only the k most likely classes, best first, as strings: "
            "value:index:label.",
        ),
        BeforeValidator(_not_boolean),
    ] = None


class RequestedOutput(BaseModel):
    """A requested output."""

    name: Literal["probabilities"]
    parameters: OutputParameters = OutputParameters()


class RequestParameters(Extensible):
    """Parameters of all inputs and outputs."""

    binary_data_output: Flag = None
    resize: Resize = None


class InferenceRequest(BaseModel):
    """The JSON of a request; null counts as omitted."""

    id: Short | None = None
    parameters: RequestParameters = RequestParameters()
    inputs: Annotated[list[InputTensor], Field(max_length=16)]
    outputs: Annotated[list[RequestedOutput], Field(max_length=1)] | None = None


class IndexRequest(BaseModel):
    """The JSON of a request for the repository's index."""

    ready: StrictBool | None = None


@dataclass(frozen=True)
class OutputForm:
    """The requested form of the probabilities."""

    binary: bool  # after the JSON, or in it
    classes: int  # how many of the most likely, as strings; 0 for all, as numbers


def read_request(
    body: bytes, header_length: str | None, max_images: int
) -> tuple[InferenceRequest, bytes]:
    """Return the request's JSON and the binary data after it.

    A length of 0 means that there is no JSON and the body is all pixels.

    Raises:
        BadRequestError: the header is not a length within the body, or the JSON is invalid.
        TooLargeError: the JSON has more elements than `max_images` images.
    """
    length = str(len(body)) if header_length is None else header_length
    if not length.isdecimal() or len(length) > 20 or int(length) > len(body):
        raise BadRequestError(
            f"{HEADER_LENGTH} is {length[:20]!r}; it must be the length of the JSON within the "
            f"body's {len(body)} bytes. Omit it if the body is all JSON."
        )
    if body and int(length) == 0:
        return _of_pixels(len(body)), body
    asked = _validate(InferenceRequest, body[: int(length)], max_images)
    for tensor in (*asked.inputs, *(asked.outputs or ())):
        if "shared_memory_region" in (tensor.parameters.model_extra or {}):
            raise BadRequestError(
                f"Shared memory is not supported; send and receive {tensor.name} in the bodies."
            )
    return asked, body[int(length) :]


def _of_pixels(size: int) -> InferenceRequest:
    count, rest = divmod(size, math.prod(IMAGE_SHAPE))
    if rest:
        raise BadRequestError(
            f"The body must be pixels, since {HEADER_LENGTH} is 0, but {size} bytes are not a "
            f"multiple of {math.prod(IMAGE_SHAPE)}. Send image files as {ENCODED}, after JSON."
        )
    tensor = InputTensor(
        name=INPUT,
        datatype=PIXELS,
        shape=[count, *IMAGE_SHAPE],
        parameters=InputParameters(binary_data_size=size),
    )
    # As in Triton, whose clients expect a binary response.
    return InferenceRequest(inputs=[tensor], parameters=RequestParameters(binary_data_output=True))


def read_index_request(body: bytes) -> bool:
    """Return whether the request asks for ready models only; the body may be empty.

    Raises:
        BadRequestError: the JSON is invalid.
        TooLargeError: it has too many elements.
    """
    return bool(_validate(IndexRequest, body or b"{}", max_images=0).ready)


def _validate(kind: type[Kind], content: bytes, max_images: int) -> Kind:
    height, width, channels = IMAGE_SHAPE
    content = read_json(
        content,
        f"The request's JSON has more elements than {max_images} images have pixels."
        if max_images
        else "The request's JSON has too many elements.",
        lists=max_images * (1 + height + height * width),  # of images, nested
        commas=max_images * height * width * channels,
    )
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise BadRequestError(
            f"Invalid Open Inference Protocol request: {first_reason(error, 'the body')}."
        ) from error


def read_output(asked: InferenceRequest, classes: int) -> OutputForm:
    """Return the requested form of the probabilities, of a model with `classes` classes.

    Raises:
        BadRequestError: the request asks for more classes.
    """
    of_output = asked.outputs[0].parameters if asked.outputs else OutputParameters()
    count = of_output.classification or 0
    if count > classes:
        raise BadRequestError(
            f"classification of {OUTPUT} is {reprlib.repr(count)}; it must be an integer from 0 "
            f"(all classes, as numbers) to {classes}."
        )
    return OutputForm(first_of(of_output.binary_data, asked.parameters.binary_data_output), count)


def first_of(*flags: bool | None, default: bool = False) -> bool:
    """Return the first flag that was sent."""
    return next((flag for flag in flags if flag is not None), default)
