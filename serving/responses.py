"""What the service answers, as types, and how it becomes JSON."""

from typing import Any, NotRequired, TypedDict

import numpy as np
import orjson
from flask.json.provider import JSONProvider

from serving.worth import Worth

Answer = TypedDict(
    "Answer",
    {
        "model": str,
        "version": int,
        "class": str | None,  # None where it is less sure than was asked for
        "confidence": float,
        "probabilities": dict[str, float],  # by class
        "test_accuracy": float,
        "best_guess": NotRequired[str],  # where the class is None
        "details": NotRequired[Worth],  # where they were asked for
    },
)
Answer.__doc__ = "A model's answer to an image."


class Prediction(TypedDict):
    """An image and what each model takes it for."""

    filename: str | None  # None for an image that is the request's body
    width: int
    height: int
    models: list[Answer]
    crop: NotRequired[str]  # what the models saw, as a data URL, where it was asked for


class Problem(TypedDict):
    """A problem document, RFC 9457."""

    type: str
    title: str
    status: int
    detail: str | None
    error: str | None


class Refusal(TypedDict):
    """An image that is refused, where the others are answered all the same."""

    filename: str | None
    problem: Problem


class Predictions(TypedDict):
    """The answer of /predict."""

    predictions: list[Prediction | Refusal]


def rounded(fraction: float | np.floating[Any]) -> float:
    """Return a probability or a share; further digits differ from one processor to the next."""
    return round(float(fraction), 6)


class OrjsonProvider(JSONProvider):
    """Flask's JSON by orjson, which is several times as fast."""

    def dumps(self, obj: Any, **_: Any) -> str:
        """Return the JSON text."""
        return orjson.dumps(obj).decode()

    def loads(self, s: str | bytes, **_: Any) -> Any:
        """Return the value of a JSON text."""
        return orjson.loads(s)
