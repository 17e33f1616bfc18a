"""What every request passes before a route sees it: its key, its body, its content coding."""

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
CHUNKED_PIECE = 2**12  # bytes read at a time from a chunked body, whose chunks may be one byte
CODED_PIECE = 2**14  # bytes decompressed at a time, so that tiny gzip members block no others
GZIP, ZLIB, BARE = 31, 15, -15  # zlib's window bits, which select the header and trailer

logger = logging.getLogger(__name__)


class Request(flask.Request):
    """A request, with what the service itself notes of it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        sent = self.headers.get(REQUEST_ID, "")
        self.id = sent if _ACCEPTED_ID.fullmatch(sent) else str(uuid.uuid4())
        self.started = time.perf_counter()  # when the body was there
        self.body: IO[bytes] | None = None

    def is_abandoned(self) -> bool:
        """Return whether the client has hung up.

        A client that ends its side of the connection alone counts, too, as it does for nginx: the
        two look the same. Where a server does not show its connections, no client hangs up.
        """
        connection: socket.socket | None = self.environ.get("gunicorn.socket")
        if connection is None:
            return False
        if connection.fileno() < 0:
            return True
        poll = get_original("select", "poll")()  # gevent's would let other greenlets run
        # With POLLHUP and POLLERR, always.
        poll.register(connection, getattr(select, "POLLRDHUP", 0))
        return bool(poll.poll(0))

    def close(self) -> None:
        """Remove the body."""
        super().close()
        if self.body:
            self.body.close()


def current_request() -> Request:
    """Return the request that is being answered."""
    return cast(Request, flask.request)


def take_requests_in(app: Flask, settings: Settings) -> None:
    """Check each request's key, read its body in its own greenlet, and decompress it.

    A refused request's body is read, too, and not kept: a client that still sends when the
    connection is closed loses the answer.
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
                request.started = time.perf_counter()  # uploading is not the service's time
        if refusal:
            raise refusal
        _decompress_body(request, settings.max_body)


def _check_key(request: Request, keys: Collection[bytes]) -> UnauthorizedError | None:
    """Return why a request may not pass; CORS preflights carry no key."""
    if request.method == "OPTIONS":
        return None
    sent = request.headers.get(KEY_HEADER)
    if sent is None:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return UnauthorizedError(
                "This service asks for an API key: send it as the header "
                f"'Authorization: Bearer KEY' or '{KEY_HEADER}: KEY'."
            )
        sent = key.strip()
    # Compare with every key, in constant time, so that timing reveals nothing.
    if not sum(compare_digest(sent.encode(), key) for key in keys):
        return UnauthorizedError("The API key that was sent is not one of this service's.")
    return None


def _read_body(request: Request, settings: Settings, *, keep: bool) -> None:
    """Replace the stream of a body by all of it, or read and drop what is not to `keep`."""
    length = request.content_length or 0
    if length > settings.read_limit:
        raise _too_large(settings)
    received = _pieces(request, settings)
    slow = f"The body took more than {settings.client_timeout} seconds. Send the request again."
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
        for _ in received:
            pass
        raise NoRoomError(
            "The service has no room for so large a request. Send a smaller one, or this one later."
        ) from error


def _decompress_body(request: Request, limit: int) -> None:
    """Undo the content coding, RFC 9110 8.4.1; the size limit applies to the result."""
    coding = request.headers.get("Content-Encoding", "identity").lower()
    if coding == "identity":
        return
    if coding not in {"gzip", "x-gzip", "deflate"}:
        raise UnsupportedCodingError(
            f"The body is encoded as {coding!r}; send it as gzip, deflate or as it is."
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
                raise BadRequestError(
                    f"The body is declared as {coding}, and is not or is broken: {error}."
                ) from error
            if len(content) > limit:
                raise TooLargeError(
                    f"The body has more than {limit / 2**20:g} MiB once it is decompressed. "
                    "Send fewer or smaller images."
                )
            rest = decoder.unused_data
        gevent.sleep(0)
    if start and not decoder.eof:
        raise BadRequestError(f"The body's {coding} data end early. Send the whole body.")
    return bytes(content)


def _window_of_deflate(start: bytes) -> int:
    """Return zlib's window bits; some clients send deflate without the header of RFC 1950."""
    named = start[:1] and start[0] & 0x0F == zlib.DEFLATED
    return ZLIB if named and int.from_bytes(start[:2]) % 31 == 0 else BARE
