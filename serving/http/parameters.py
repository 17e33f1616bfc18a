"""Request parameters as models, which check the query, forms and JSON, and feed OpenAPI."""

import reprlib
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any, Self

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError
from werkzeug.datastructures import MultiDict

from models.record import IMAGE_SIZE
from serving.errors import BadRequestError

Sent = MultiDict[str, str]


def as_boolean(sent: object) -> object:
    """Take a text for what it says in any letter case, since generated clients vary.

    Raises:
        PydanticCustomError: it is neither true nor false.
    """
    text = str(sent).lower() if isinstance(sent, bool | str) else ""
    if text not in {"true", "false"}:
        raise PydanticCustomError("boolean", "it must be 'true' or 'false'")
    return text == "true"


Boolean = Annotated[bool, BeforeValidator(as_boolean)]
Version = Annotated[
    str | None,
    Field(description="Without it, each model's newest answers."),
    BeforeValidator(
        lambda sent: str(sent) if type(sent) is int else sent,  # as answers have it
        json_schema_input_type=str | int | None,
    ),
]
Names = Annotated[
    list[str],
    BeforeValidator(
        lambda sent: [sent] if isinstance(sent, str) else sent,
        json_schema_input_type=list[str] | str,
    ),
]


class Parameters(BaseModel):
    """The parameters of a route that takes none. Unknown ones, which may be misspelled, are errors.

    JSON has the types that OpenAPI shows; in the query and in forms, numbers are texts.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @classmethod
    def read(cls, texts: Sent, members: Mapping[str, Any] | None = None, *, also: str = "") -> Self:
        """Return the parameters in a query, with a form's fields, and in members of JSON.

        Raises:
            BadRequestError: one is unknown, `also` ending the message, or not what it must be.
        """
        sent = {name: cls._value(name, values) for name, values in texts.lists()}
        for name in sent.keys() & (members or {}).keys():
            raise BadRequestError(f"{name} is in the query and in the JSON; send one.")
        try:
            return cls.model_validate({**sent, **(members or {})})
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0])
            if first["type"] == "extra_forbidden":
                raise BadRequestError(
                    f"There is no parameter {name!r}; known: "
                    f"{', '.join(cls.model_fields) or 'none'}.{also}"
                ) from error
            expected = first["msg"].replace("Input should", "it must")
            raise BadRequestError(
                f"{name} is {reprlib.repr(first['input'])}; {expected}."
            ) from error

    @classmethod
    def _value(cls, name: str, texts: list[str]) -> Any:
        """Return what a parameter's texts mean to the model."""
        annotation = cls.model_fields[name].annotation if name in cls.model_fields else None
        if annotation == list[str]:
            return texts
        different = list(dict.fromkeys(texts))
        if len(different) > 1:
            raise BadRequestError(
                f"{name} is sent as {' and as '.join(map(repr, different))}; send one."
            )
        if annotation in {int | None, float}:
            with suppress(orjson.JSONDecodeError):
                number = orjson.loads(different[0])
                return number if isinstance(number, int | float) else different[0]
        return different[0]


class VersionParameter(Parameters):
    """Which version."""

    version: Version = None


class ImageParameters(Parameters):
    """What every route takes that takes images."""

    model: Names = Field([], description="A model to ask; repeat for several. Without it, all.")
    version: Version = None
    resize: Boolean = Field(
        True,
        description="Of an image of another size, crop the center square and resample it to "
        f"{IMAGE_SIZE}×{IMAGE_SIZE}, or refuse it.",
    )


class StabilityParameters(ImageParameters):
    """What /stability takes."""

    images: Boolean = Field(
        False, description="Return the images of 32×32 that the models saw, too."
    )


class PredictParameters(ImageParameters):
    """What /predict takes."""

    top_k: int | None = Field(
        None,
        ge=1,
        description="Answer with so many classes, the likeliest first; with all of a model that "
        "has fewer.",
    )
    min_confidence: float = Field(
        0,
        ge=0,
        le=1,
        description="A model that is less confident answers with the class null and a best_guess. "
        "The record's calibration.coverage has the share of test images that it answers, and its "
        "accuracy on them, by threshold.",
    )
    partial: Boolean = Field(
        False,
        description="Answer an image that is refused with its problem, and the others with "
        "predictions.",
    )
    details: Boolean = Field(
        False,
        description="Add to each answer the test accuracy of answers like it, and to each image "
        "whether it looks familiar, if the bundled improved models answer.",
    )
    crop: Boolean = Field(
        False,
        description=f"Return the image of {IMAGE_SIZE}×{IMAGE_SIZE} that the models saw, too.",
    )
