"""Reads each request's body, within time and size limits, before a view sees it."""

import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import IO

import gevent
from flask import Flask, g, request

from serving.errors import (
    BadRequestError,
    NoRoomError,
    ServingError,
    SlowRequestError,
    TooLargeError,
)
from serving.settings import Settings

IN_MEMORY = 2**16  # bytes; a larger body is kept in a temporary file
CHUNKED_PIECE = 2**12  # bytes read at a time from a chunked body, whose chunks may be one byte

logger = logging.getLogger(__name__)


def buffer_bodies(app: Flask, settings: Settings) -> None:
    """Read every request's body in its own greenlet, so that slow clients block no others.

    A request with a `g.refusal` gets it once its body is read: a client that still sends when the
    connection is closed loses the answer.
    """
    slow = f"The body took more than {settings.client_timeout} seconds. Send the request again."

    @app.before_request
    def read_body() -> None:
        # A client that pipelines requests must not starve the others.
        gevent.sleep(0)
        chunked = "Transfer-Encoding" in request.headers
        if chunked or request.content_length:
            try:
                read(CHUNKED_PIECE if chunked else IN_MEMORY)
            except ServingError:
                if "refusal" not in g:
                    raise
            finally:
                g.started = time.perf_counter()  # uploading is not the service's time
        if "refusal" in g:
            raise g.refusal

    def read(size: int) -> None:
        if (request.content_length or 0) > settings.read_limit:
            raise _too_large(settings)
        received = _pieces(size, settings)
        is_refused = "refusal" in g or request.routing_exception
        g.body = body = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
        with gevent.Timeout(settings.client_timeout, SlowRequestError(slow)):
            if is_refused or (request.content_length or 0) > settings.max_body:
                _drain(received)
            else:
                _keep(body, received, settings.max_body)
        body.seek(0)
        request.environ["wsgi.input"] = body

    @app.teardown_request
    def close_body(_: BaseException | None) -> None:
        if "body" in g:
            g.body.close()


def _pieces(size: int, settings: Settings) -> Iterator[bytes]:
    stream = request.environ["wsgi.input"]
    received = 0
    while received <= settings.read_limit:
        try:
            piece = stream.read(size)
        except ServingError:  # it timed out
            raise
        except Exception as error:  # each server raises its own
            raise BadRequestError(
                "The body ends early or in a broken chunk. Send it whole."
            ) from error
        if not piece:
            break
        received += len(piece)
        yield piece
        if received == request.content_length:
            break
        gevent.sleep(0)  # a large body must not starve other requests
    if received > settings.max_body:
        raise _too_large(settings)


def _too_large(settings: Settings) -> TooLargeError:
    return TooLargeError(
        f"The request is too large: at most {settings.max_body / 2**20:g} MiB in at most "
        f"{settings.max_images} files are accepted. Send fewer or smaller images."
    )


def _keep(body: IO[bytes], received: Iterator[bytes], most: int) -> None:
    """Write what is received, up to `most` bytes: a longer body is refused at its end."""
    try:
        for piece in received:
            if body.tell() + len(piece) <= most:
                body.write(piece)
                body.flush()  # else a full disk would show up only later, unhandled
    except OSError as error:
        logger.exception("no temporary file for a body of more than %d bytes", IN_MEMORY)
        with suppress(OSError):  # close() retries the failed write
            body.close()
        _drain(received)
        raise NoRoomError(
            "The service has no room for so large a request. Send a smaller one, or this one later."
        ) from error


def _drain(received: Iterator[bytes]) -> None:
    """Read it all, so that the client reads the answer."""
    for _ in received:
        pass
