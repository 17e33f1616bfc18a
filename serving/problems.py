"""Errors as problem details, RFC 9457."""

import json
from http import HTTPStatus

from flask import Response
from werkzeug.exceptions import HTTPException

CONTENT_TYPE = "application/problem+json"


def problem_body(status: HTTPStatus, detail: str | None) -> bytes:
    """Return the JSON document; `detail` tells a person what is wrong and what to do.

    `error` is where the Open Inference Protocol's clients look for it.
    """
    document = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "error": detail,
    }
    return json.dumps(document, ensure_ascii=False).encode()


def problem_response(error: HTTPException) -> Response:
    """Return Flask's answer to an HTTP error."""
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    # Allow, Retry-After and the like.
    headers = [(name, value) for name, value in error.get_headers() if name != "Content-Type"]
    return Response(
        problem_body(status, error.description), status, headers, content_type=CONTENT_TYPE
    )
