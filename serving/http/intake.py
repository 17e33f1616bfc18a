"""Prepares every request for its route: checks the key, reads and decompresses the body."""

import io
import logging
import re
import select
import socket
import tempfile
import time
import uuid
import zlib
from collections.abc import Collection, Iterator
from contextlib import suppress
from hmac import compare_digest
from itertools import chain
from typing import IO, Any, cast

import flask
import gevent
from flask import Flask
from gevent.monkey import get_original

from serving.errors import (
    BadRequestError,
    NoRoomError,
    ServingError,
    SlowRequestError,
    TooLargeError,
    UnauthorizedError,
    UnsupportedCodingError,
)
from serving.settings import Settings, listed

KEY_HEADER = "X-API-Key"
# Endpoints that need no key: probes, and the pages that explain how to send one.
OPEN = frozenset(
    {
        "health.live",
        "health.ready",
        "inference_protocol.live",
        "inference_protocol.ready",
        "page.docs",
        "page.openapi",
        "page.page",
        "page.swagger_ui.show",
        "static",
    }
)
REQUEST_ID = "X-Request-ID"
_ACCEPTED_ID = re.compile(r"[\x21-\x7e]{1,128}")  # nothing that could forge a log line

IN_MEMORY = 2**16  # bytes; a larger body is kept in a temporary file
CHUNKED_PIECE = 2**12  # bytes read at a time from a chunked body; a chunk may be one byte
CODED_PIECE = 2**14  # bytes decompressed at a time; many tiny gzip members take long
GZIP, ZLIB, BARE = 31, 15, -15  # zlib's window bits, which select the header and trailer

logger = logging.getLogger(__name__)


class Request(flask.Request):
    """A request with its ID, start time and body."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        sent = self.headers.get(REQUEST_ID, "")
        self.id = sent if _ACCEPTED_ID.fullmatch(sent) else str(uuid.uuid4())
        self.started = time.perf_counter()  # or when its body had arrived
        self.body: IO[bytes] | None = None

    def is_abandoned(self) -> bool:
        """Return whether the client has hung up.

        A half-closed connection counts, too, as in nginx, since it looks the same. Always False
        under a server that does not expose its connections.
        """
        connection: socket.socket | None = self.environ.get("gunicorn.socket")
        if connection is None:
            return False
        if connection.fileno() < 0:
            return True
        poll = get_original("select", "poll")()  # gevent's would let other greenlets run
        # It always reports POLLHUP and POLLERR, too.
        poll.register(connection, getattr(select, "POLLRDHUP", 0))
        return bool(poll.poll(0))

    def close(self) -> None:
        """Remove the body."""
        super().close()
        if self.body:
            self.body.close()


def current_request() -> Request:
    """Return the current request."""
    return cast(Request, flask.request)


def take_requests_in(app: Flask, settings: Settings) -> None:
    """Check each request's key, read its body in its own greenlet, and decompress it.

    A refused request's body is read and discarded: a client that is still sending when the
    connection closes loses the response.
    """
    app.request_class = Request
    keys = [key.encode() for key in listed(settings.api_key)]
    open_endpoints = OPEN if settings.metrics_need_key else OPEN | {"health.metrics"}

    @app.before_request
    def take_in() -> None:
        gevent.sleep(0)  # a client that pipelines requests must not starve the others
        request = current_request()
        refusal: Exception | None = request.routing_exception
        if keys and request.endpoint not in open_endpoints:
            refusal = refusal or _check_key(request, keys)
        if request.content_length or "Transfer-Encoding" in request.headers:
            try:
                _read_body(request, settings, keep=refusal is None)
            except ServingError as error:
                refusal = refusal or error
            finally:
                request.started = time.perf_counter()  # without the time of the upload
        if refusal:
            raise refusal
        _decompress_body(request, settings.max_body)


def _check_key(request: Request, keys: Collection[bytes]) -> UnauthorizedError | None:
    """Return the error for a missing or invalid key; CORS preflights need none."""
    if request.method == "OPTIONS":
        return None
    sent = request.headers.get(KEY_HEADER)
    if sent is None:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return UnauthorizedError(
                "This service requires an API key: send it in the header "
                f"'Authorization: Bearer KEY' or '{KEY_HEADER}: KEY'."
            )
        sent = key.strip()
    # Compare with every key, in constant time, so that timing reveals nothing.
    if not sum(compare_digest(sent.encode(), key) for key in keys):
        return UnauthorizedError(
            "Invalid API key. Ask the operator of this service for a valid one."
        )
    return None


def _read_body(request: Request, settings: Settings, *, keep: bool) -> None:
    """Read the whole body and store it, or discard it unless `keep`."""
    length = request.content_length or 0
    if length > settings.read_limit:
        raise _too_large(settings)
    received = _pieces(request, settings)
    slow = f"The body took more than {settings.client_timeout} seconds to arrive. Send it again."
    request.body = body = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
    with gevent.Timeout(settings.client_timeout, SlowRequestError(slow)):
        if keep and length <= settings.max_body:
            _keep(body, received, settings.max_body)
        for _ in received:
            pass
    body.seek(0)
    request.environ["wsgi.input"] = body


def _pieces(request: Request, settings: Settings) -> Iterator[bytes]:
    stream = request.environ["wsgi.input"]
    size = CHUNKED_PIECE if "Transfer-Encoding" in request.headers else IN_MEMORY
    received = 0
    while received <= settings.read_limit:
        try:
            piece = stream.read(size)
        except ServingError:  # it timed out
            raise
        except Exception as error:  # each server raises its own
            raise BadRequestError(
                "The body is truncated or a chunk is malformed. Send the whole body."
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
        f"The request is too large: the limits are {settings.max_body / 2**20:g} MiB and "
        f"{settings.max_images} images. Send fewer or smaller images."
    )


def _keep(body: IO[bytes], received: Iterator[bytes], most: int) -> None:
    """Write the received pieces, up to `most` bytes; a longer body is refused at its end."""
    try:
        for piece in received:
            if body.tell() + len(piece) <= most:
                body.write(piece)
                body.flush()  # else a full disk would raise only later, unhandled
    except OSError as error:
        logger.exception("cannot store a body of more than %d bytes in a temporary file", IN_MEMORY)
        with suppress(OSError):  # close() retries the failed write
            body.close()
        for _ in received:
            pass
        raise NoRoomError(
            "Temporary storage is full; retry later, or send a smaller request."
        ) from error


def _decompress_body(request: Request, limit: int) -> None:
    """Undo the content coding (RFC 9110, 8.4.1); the size limit applies to the result."""
    coding = request.headers.get("Content-Encoding", "identity").lower()
    if coding == "identity":
        return
    if coding not in {"gzip", "x-gzip", "deflate"}:
        raise UnsupportedCodingError(
            f"Unsupported Content-Encoding {coding!r}; use gzip, deflate or none."
        )
    content = _decompress(request.environ["wsgi.input"], coding, limit)
    request.environ["wsgi.input"] = io.BytesIO(content)
    request.environ["CONTENT_LENGTH"] = str(len(content))
    request.environ.pop("HTTP_TRANSFER_ENCODING", None)


def _decompress(body: IO[bytes], coding: str, limit: int) -> bytes:
    pieces = iter(lambda: body.read(CODED_PIECE), b"")
    start = next(pieces, b"")
    window = GZIP if coding != "deflate" else _window_of_deflate(start)
    decoder = zlib.decompressobj(window)
    content = bytearray()
    for piece in chain([start], pieces):
        rest = piece
        while rest:
            if decoder.eof:  # one gzip member may follow another
                decoder = zlib.decompressobj(window)
            try:
                content += decoder.decompress(rest, limit + 1 - len(content))
            except zlib.error as error:
                raise BadRequestError(f"Invalid {coding} body: {error}.") from error
            if len(content) > limit:
                raise TooLargeError(
                    f"The decompressed body exceeds {limit / 2**20:g} MiB. "
                    "Send fewer or smaller images."
                )
            rest = decoder.unused_data
        gevent.sleep(0)
    if start and not decoder.eof:
        raise BadRequestError(f"Truncated {coding} body. Send the whole body.")
    return bytes(content)


def _window_of_deflate(start: bytes) -> int:
    """Return zlib's window bits; some clients send deflate without the header of RFC 1950."""
    named = start[:1] and start[0] & 0x0F == zlib.DEFLATED
    return ZLIB if named and int.from_bytes(start[:2]) % 31 == 0 else BARE
