"""Content codings, RFC 9110 8.4.1: request bodies are decompressed, long answers compressed."""

import io
import zlib
from itertools import chain
from typing import IO

import gevent
from flask import Flask, Response, request

from serving.errors import BadRequestError, TooLargeError, UnsupportedCodingError
from serving.settings import Settings

MIN_SIZE = 4096  # bytes; shorter responses are sent uncompressed
LEVEL = 1  # the fastest
PIECE = 2**14  # bytes decompressed at a time, so that a body of tiny gzip members blocks no others
# zlib's window bits, which select the header and trailer of the compressed data.
GZIP, ZLIB, BARE = 31, 15, -15
WINDOWS = {"gzip": GZIP, "deflate": ZLIB}
COMPRESSED = frozenset(
    {
        "application/json",
        "application/octet-stream",  # of the Open Inference Protocol
        "text/css",
        "text/html",
        "text/javascript",
        "text/plain",
    }
)


def decompress_bodies(app: Flask, settings: Settings) -> None:
    """Decompress request bodies before a view reads them; the size limit applies to the result."""

    @app.before_request
    def decompress_body() -> None:
        coding = request.headers.get("Content-Encoding", "identity").lower()
        if coding == "identity":
            return
        if coding not in {"gzip", "x-gzip", "deflate"}:
            raise UnsupportedCodingError(
                f"The body is encoded as {coding!r}; send it as gzip, deflate or as it is."
            )
        content = _decompress(request.environ["wsgi.input"], coding, settings.max_body)
        request.environ["wsgi.input"] = io.BytesIO(content)
        request.environ["CONTENT_LENGTH"] = str(len(content))
        request.environ.pop("HTTP_TRANSFER_ENCODING", None)


def _decompress(body: IO[bytes], coding: str, limit: int) -> bytes:
    pieces = iter(lambda: body.read(PIECE), b"")
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


def compress_answers(app: Flask) -> None:
    """Compress long answers for clients that accept it, as RFC 9110 12.5.3 has it.

    Each coding has an entity tag of its own. A range stays as it is, since its offsets and its tag
    are the plain answer's.
    """

    @app.after_request
    def compress_answer(response: Response) -> Response:
        if response.mimetype not in COMPRESSED:
            return response
        response.vary.add("Accept-Encoding")
        coding = request.accept_encodings.best_match([*WINDOWS, "identity"], "identity")
        if (
            coding == "identity"
            or response.status_code not in {200, 304}
            or (response.content_length or 0) < MIN_SIZE
        ):
            return response
        tag, _ = response.get_etag()
        if tag and not request.if_none_match.contains_weak(
            tag
        ):  # else the client has the plain one
            response.set_etag(f"{tag}:{coding}")
            response.make_conditional(request)
        if response.status_code == 200:
            response.headers.pop("Accept-Ranges", None)
            response.direct_passthrough = False  # of a file
            response.set_data(zlib.compress(response.get_data(), LEVEL, WINDOWS[coding]))
            response.content_encoding = coding
        return response
