"""Request parameters: models that validate queries, forms and JSON, and describe OpenAPI."""

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
    """Parse a boolean in any letter case, since generated clients vary.

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
    Field(description="Version of the models; by default, each model's newest."),
    BeforeValidator(
        lambda sent: str(sent) if type(sent) is int else sent,  # as in responses
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
    """A route's parameters, none by default. Unknown ones are errors, since they may be typos.

    JSON values have the types that OpenAPI shows; in queries and forms, numbers are strings.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @classmethod
    def read(cls, texts: Sent, members: Mapping[str, Any] | None = None, *, also: str = "") -> Self:
        """Parse the parameters in a query and form (`texts`), and in JSON (`members`).

        Raises:
            BadRequestError: one is invalid, or unknown; `also` then ends the message.
        """
        sent = {name: cls._value(name, values) for name, values in texts.lists()}
        for name in sent.keys() & (members or {}).keys():
            raise BadRequestError(f"{name} is in both the query and the JSON; send one.")
        try:
            return cls.model_validate({**sent, **(members or {})})
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0])
            if first["type"] == "extra_forbidden":
                raise BadRequestError(
                    f"Unknown parameter {name!r}; known parameters: "
                    f"{', '.join(cls.model_fields) or 'none'}.{also}"
                ) from error
            expected = first["msg"].replace("Input should", "it must")
            raise BadRequestError(
                f"{name} is {reprlib.repr(first['input'])}; {expected}."
            ) from error

    @classmethod
    def _value(cls, name: str, texts: list[str]) -> Any:
        """Convert a parameter's strings for the model."""
        annotation = cls.model_fields[name].annotation if name in cls.model_fields else None
        if annotation == list[str]:
            return texts
        different = list(dict.fromkeys(texts))
        if len(different) > 1:
            raise BadRequestError(
                f"{name} has several values, {', '.join(map(repr, different))}; send one."
            )
        if annotation in {int | None, float}:
            with suppress(orjson.JSONDecodeError):
                number = orjson.loads(different[0])
                return number if isinstance(number, int | float) else different[0]
        return different[0]


class VersionParameter(Parameters):
    """The parameter of routes about one model."""

    version: Version = None


class ImageParameters(Parameters):
    """Parameters of every route that accepts images."""

    model: Names = Field([], description="Model to run; repeat for several. By default, all.")
    version: Version = None
    resize: Boolean = Field(
        True,
        description="Crop images of other sizes to their center square and resample it to "
        f"{IMAGE_SIZE}×{IMAGE_SIZE}; if false, refuse them.",
    )


class StabilityParameters(ImageParameters):
    """Parameters of /stability."""

    images: Boolean = Field(False, description="Also return the 32×32 images that the models saw.")


class PredictParameters(ImageParameters):
    """Parameters of /predict."""

    top_k: int | None = Field(
        None,
        ge=1,
        description="Return only the k most likely classes, best first, or all of a model with "
        "fewer.",
    )
    min_confidence: float = Field(
        0,
        ge=0,
        le=1,
        description="Below this confidence, the class is null and best_guess has the most likely "
        "one. The record's calibration.coverage gives the share of test images answered and the "
        "accuracy on them, by threshold.",
    )
    partial: Boolean = Field(
        False,
        description="If some images are refused, return a problem for each of them and predictions "
        "for the others.",
    )
    details: Boolean = Field(
        False,
        description="Add to each answer the test accuracy of similar answers, and to each image "
        "whether it looks familiar (with the bundled improved models only).",
    )
    crop: Boolean = Field(
        False,
        description=f"Also return the {IMAGE_SIZE}×{IMAGE_SIZE} image that the models saw.",
    )
