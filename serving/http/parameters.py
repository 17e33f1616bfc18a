"""Request parameters, from the query or the form; unknown ones are refused."""

import math
from collections.abc import Collection

from werkzeug.datastructures import MultiDict

from serving.errors import BadRequestError

Sent = MultiDict[str, str]


def check_names(sent: Sent, known: Collection[str], *, also: str = "") -> None:
    """Check that every parameter is known; a misspelled one would be ignored silently.

    Raises:
        BadRequestError: naming the known ones, followed by `also`.
    """
    for name in sent:
        if name not in known:
            raise BadRequestError(
                f"There is no parameter {name!r}; known: {', '.join(known) or 'none'}.{also}"
            )


def single(sent: Sent, name: str) -> str | None:
    """Return a parameter's only value, or None if it is absent.

    Raises:
        BadRequestError: it has several.
    """
    values = list(dict.fromkeys(sent.getlist(name)))
    if len(values) > 1:
        raise BadRequestError(f"{name} is sent as {' and as '.join(map(repr, values))}; send one.")
    return values[0] if values else None


def boolean(sent: Sent, name: str) -> bool:
    """Return a boolean parameter, in any letter case, since generated clients vary.

    Raises:
        BadRequestError: it is neither 'true' nor 'false'.
    """
    value = single(sent, name)
    if value is not None and value.lower() not in {"true", "false"}:
        raise BadRequestError(f"{name} is {value!r}; it must be 'true' or 'false'.")
    return value is not None and value.lower() == "true"


def whole_number(sent: Sent, name: str, *, most: int) -> int | None:
    """Return an integer parameter from 1 to `most`, or None if it is absent.

    Raises:
        BadRequestError: it is not such a number.
    """
    value = single(sent, name)
    if value is None:
        return None
    if value not in map(str, range(1, most + 1)):
        raise BadRequestError(f"{name} is {value!r}; it must be a whole number from 1 to {most}.")
    return int(value)


def fraction(sent: Sent, name: str) -> float | None:
    """Return a fraction from 0 to 1, or None if it is absent.

    Raises:
        BadRequestError: it is not such a number.
    """
    value = single(sent, name)
    if value is None:
        return None
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1:
        raise BadRequestError(f"{name} is {value!r}; it must be a number from 0 to 1, such as 0.8.")
    return number
