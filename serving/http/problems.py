"""Errors as problem documents, RFC 9457."""

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple

import orjson
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from serving.errors import (
    BadRequestError,
    BrokenImageError,
    HungUpError,
    ImageSizeError,
    ModelError,
    NoRoomError,
    NotFoundError,
    NotReadyError,
    OverloadedError,
    ServingError,
    SlowRequestError,
    TooLargeError,
    UnauthorizedError,
    UnsupportedCodingError,
    UnsupportedTypeError,
)
from serving.http.answers import Problem

CONTENT_TYPE = "application/problem+json"
MAX_DETAIL = 4000  # characters
LONGEST_RETRY = 30  # seconds


class _Answer(NamedTuple):
    """The response to a kind of error; `advice`, which only HTTP needs, follows its message."""

    status: HTTPStatus
    advice: str = ""
    headers: Mapping[str, str] = {}


_ANSWERS: dict[type[ServingError], _Answer] = {
    BadRequestError: _Answer(HTTPStatus.BAD_REQUEST),
    BrokenImageError: _Answer(HTTPStatus.BAD_REQUEST),
    UnauthorizedError: _Answer(HTTPStatus.UNAUTHORIZED, headers={"WWW-Authenticate": "Bearer"}),
    NotFoundError: _Answer(HTTPStatus.NOT_FOUND),
    # Only a client that half-closed its connection reads this.
    HungUpError: _Answer(
        HTTPStatus.REQUEST_TIMEOUT,
        "The connection was closed before the response. Keep it open until then.",
    ),
    SlowRequestError: _Answer(HTTPStatus.REQUEST_TIMEOUT),
    TooLargeError: _Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    UnsupportedTypeError: _Answer(HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    UnsupportedCodingError: _Answer(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, headers={"Accept-Encoding": "gzip, deflate"}
    ),
    ImageSizeError: _Answer(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Omit resize=false to crop and resample its center.",
    ),
    OverloadedError: _Answer(HTTPStatus.SERVICE_UNAVAILABLE),
    ModelError: _Answer(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Another model or version may still work: select it with ?model= and ?version=, or by its "
        "path under /v2.",
    ),
    NoRoomError: _Answer(HTTPStatus.SERVICE_UNAVAILABLE),
    NotReadyError: _Answer(HTTPStatus.SERVICE_UNAVAILABLE),
}
STATUSES = frozenset(answer.status for answer in _ANSWERS.values())


def status_of(error: BaseException) -> HTTPStatus:
    """Return the status of the response to `error`."""
    if isinstance(error, HTTPException):
        return HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    return _answer_to(error).status


def _answer_to(error: BaseException) -> _Answer:
    kinds = (kind for kind in type(error).__mro__ if kind in _ANSWERS)
    return _ANSWERS.get(next(kinds, ServingError), _Answer(HTTPStatus.INTERNAL_SERVER_ERROR))


def problem_document(error: HTTPException | ServingError) -> Problem:
    """Return a problem document, with a human-readable `detail`.

    `error` repeats it for clients of the Open Inference Protocol.
    """
    status = status_of(error)
    if isinstance(error, HTTPException):
        detail = error.description
    else:
        detail = f"{error} {_answer_to(error).advice}".strip()
    if detail and len(detail) > MAX_DETAIL:  # it may quote megabytes of the request
        detail = f"{detail[:MAX_DETAIL]}…"
    return {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "error": detail,
    }


def problem_response(error: HTTPException | ServingError) -> Response:
    """Return the response to an error."""
    headers = _answer_to(error).headers
    if isinstance(error, OverloadedError):
        headers = {"Retry-After": str(min(max(math.ceil(error.seconds), 1), LONGEST_RETRY))}
    if isinstance(error, HTTPException):  # Allow, Retry-After and the like
        headers = {name: value for name, value in error.get_headers() if name != "Content-Type"}
    document = problem_document(error)
    return Response(orjson.dumps(document), document["status"], headers, content_type=CONTENT_TYPE)


def register_error_handlers(app: Flask) -> None:
    """Answer every error with a problem document."""

    @app.errorhandler(NotFound)
    def not_found(error: NotFound) -> Response:
        error.description = (
            f"Nothing found at {request.path}. POST images to /predict; /docs/ lists all routes."
        )
        return problem_response(error)

    @app.errorhandler(MethodNotAllowed)
    def method_not_allowed(error: MethodNotAllowed) -> Response:
        error.description = (
            f"{request.path} does not support {request.method}; "
            f"use {', '.join(sorted(error.valid_methods or ()))}."
        )
        return problem_response(error)

    app.register_error_handler(HTTPException, problem_response)
    app.register_error_handler(ServingError, problem_response)
