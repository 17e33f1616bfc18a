"""Errors as problem documents, RFC 9457."""

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


class _Answer(NamedTuple):
    """How a kind of errors is answered: what its message does not say is said over HTTP alone."""

    status: HTTPStatus
    advice: str = ""
    headers: Mapping[str, str] = {}


_ANSWERS: dict[type[ServingError], _Answer] = {
    BadRequestError: _Answer(HTTPStatus.BAD_REQUEST),
    BrokenImageError: _Answer(HTTPStatus.BAD_REQUEST),
    UnauthorizedError: _Answer(HTTPStatus.UNAUTHORIZED, headers={"WWW-Authenticate": "Bearer"}),
    NotFoundError: _Answer(HTTPStatus.NOT_FOUND),
    # Only a client that has closed its own side of the connection reads it.
    HungUpError: _Answer(
        HTTPStatus.REQUEST_TIMEOUT,
        "The connection was closed before the answer. Keep it open until then.",
    ),
    SlowRequestError: _Answer(HTTPStatus.REQUEST_TIMEOUT),
    TooLargeError: _Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    UnsupportedTypeError: _Answer(HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    UnsupportedCodingError: _Answer(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, headers={"Accept-Encoding": "gzip, deflate"}
    ),
    ImageSizeError: _Answer(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Leave out resize=false to have its center cropped and resampled.",
    ),
    OverloadedError: _Answer(
        HTTPStatus.SERVICE_UNAVAILABLE,
        headers={"Retry-After": "1"},  # seconds
    ),
    ModelError: _Answer(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Another model or version may still answer: ask for it by ?model= and ?version=, or by its "
        "path under /v2.",
    ),
    NoRoomError: _Answer(HTTPStatus.SERVICE_UNAVAILABLE),
    NotReadyError: _Answer(HTTPStatus.SERVICE_UNAVAILABLE),
}
STATUSES = frozenset(answer.status for answer in _ANSWERS.values())


def status_of(error: BaseException) -> HTTPStatus:
    """Return the status that a request ends with when a view raises `error`."""
    if isinstance(error, HTTPException):
        return HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    return _answer_to(error).status


def _answer_to(error: BaseException) -> _Answer:
    kinds = (kind for kind in type(error).__mro__ if kind in _ANSWERS)
    return _ANSWERS.get(next(kinds, ServingError), _Answer(HTTPStatus.INTERNAL_SERVER_ERROR))


def problem_document(error: HTTPException | ServingError) -> Problem:
    """Return a problem document, whose `detail` is for people to read.

    `error` repeats it where the Open Inference Protocol's clients look for it.
    """
    status = status_of(error)
    if isinstance(error, HTTPException):
        detail = error.description
    else:
        detail = f"{error} {_answer_to(error).advice}".strip()
    if detail and len(detail) > MAX_DETAIL:  # what it quotes of the request may be megabytes
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
    if isinstance(error, HTTPException):  # Allow, Retry-After and the like
        headers = {name: value for name, value in error.get_headers() if name != "Content-Type"}
    document = problem_document(error)
    return Response(orjson.dumps(document), document["status"], headers, content_type=CONTENT_TYPE)


def register_error_handlers(app: Flask) -> None:
    """Answer every error with a problem document."""

    @app.errorhandler(NotFound)
    def not_found(error: NotFound) -> Response:
        error.description = (
            f"There is nothing at {request.path}. Images are classified at /predict; "
            "/docs/ describes every address."
        )
        return problem_response(error)

    @app.errorhandler(MethodNotAllowed)
    def method_not_allowed(error: MethodNotAllowed) -> Response:
        error.description = (
            f"{request.path} does not take {request.method}; "
            f"it takes {', '.join(sorted(error.valid_methods or ()))}."
        )
        return problem_response(error)

    app.register_error_handler(HTTPException, problem_response)
    app.register_error_handler(ServingError, problem_response)
