"""Errors as problem documents, RFC 9457."""

from http import HTTPStatus

import orjson
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from serving.errors import HEADERS, STATUSES, ServingError
from serving.http.answers import Problem

CONTENT_TYPE = "application/problem+json"
MAX_DETAIL = 4000  # characters


def status_of(error: BaseException) -> HTTPStatus:
    """Return the status that a request ends with when a view raises `error`."""
    if isinstance(error, HTTPException):
        return HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    for kind in type(error).__mro__:
        if kind in STATUSES:
            return STATUSES[kind]
    return HTTPStatus.INTERNAL_SERVER_ERROR


def problem_document(error: HTTPException | ServingError) -> Problem:
    """Return a problem document, whose `detail` is for people to read.

    `error` repeats it where the Open Inference Protocol's clients look for it.
    """
    status = status_of(error)
    detail = error.description if isinstance(error, HTTPException) else str(error)
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
    if isinstance(error, HTTPException):
        # Allow, Retry-After and the like.
        headers = {name: value for name, value in error.get_headers() if name != "Content-Type"}
    else:
        headers = HEADERS.get(type(error), {})
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
