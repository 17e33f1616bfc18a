"""The HTTP server: gevent's, where a connection costs a greenlet and not a thread.

A request reaches the application once it is whole, and is refused where too many are being
answered, so that neither slow clients nor more requests than can be answered hold up the others.
"""

import logging
import signal
import socket
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from email.errors import (
    FirstHeaderLineIsContinuationDefect,
    MisplacedEnvelopeHeaderDefect,
    MissingHeaderBodySeparatorDefect,
)
from typing import IO, TYPE_CHECKING

import gevent
from flask import Flask, Response
from gevent.event import Event
from gevent.pool import Pool
from gevent.pywsgi import Input, OldMessage, WSGIHandler, WSGIServer
from werkzeug.exceptions import (
    BadRequest,
    HTTPException,
    RequestEntityTooLarge,
    RequestTimeout,
    RequestURITooLarge,
    ServiceUnavailable,
)

from serving.errors import problem_response

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

MAX_BODY = 8 * 2**20
MAX_REQUESTS = 160  # being answered; most of them wait for the models
MAX_CONNECTIONS = 800  # which stays, with the files of their bodies, below the usual 1,024
MAX_HEAD = 2**16  # bytes of a request's headers
PROBES = ("/health/", "/v2/health/", "/metrics")  # answered however many requests wait
# Past the application's own limit, so that a client that sends a little too much reads a whole
# answer instead of a reset connection; past this one, its connection is closed.
READ_LIMIT = 2 * MAX_BODY
IN_MEMORY = 2**16  # bytes of a body; a larger one is read into a temporary file
CHUNKED_PIECE = 2**12  # bytes read at once of a body in chunks, which may have one byte each
PATIENCE = 120.0  # seconds until a connection's next request is whole, or its answer is taken
DRAIN_LIMIT = 30.0  # seconds from SIGTERM to the exit, at most
QUIET = 0.5  # seconds without a request after which nobody seems to send any more

_OVERLOADED = ServiceUnavailable(
    f"{MAX_REQUESTS} requests are being answered. Send this again in a second.", retry_after=1
)
_TOO_LARGE = f"The request is too large: at most {MAX_BODY // 2**20} MiB are accepted."
_TOO_SLOW = f"The request took more than {PATIENCE:.0f} seconds. Send it again."
_NO_ROOM = "The service has no room for so large a request. Send a smaller one, or this one later."
_HEAD_REFUSALS = {
    "400": BadRequest("The request's line or headers are not HTTP/1.1's, or too long."),
    "408": RequestTimeout(_TOO_SLOW),
    "414": RequestURITooLarge("The request's address is too long."),
}

# What Python's parser of headers overlooks, and goes on without the headers that follow.
_DEFECTS = (
    FirstHeaderLineIsContinuationDefect,
    MisplacedEnvelopeHeaderDefect,
    MissingHeaderBodySeparatorDefect,
)

logger = logging.getLogger(__name__)


def serve(app: Flask, host: str, port: int, stopping: Event) -> None:
    """Serve until Ctrl-C, or until SIGTERM and the end of the requests that came before.

    After SIGTERM `stopping` is set, and connections are still taken until no request has come in
    for a moment: a load balancer needs some time to see that the service is not ready any more.

    Raises:
        OSError: the address cannot be listened on.
    """
    server = _Server((host, port), app, stopping)
    server.start()
    gevent.signal_handler(signal.SIGTERM, stopping.set)
    name = f"[{host}]" if ":" in host else host
    logger.info("listening on http://%s:%s", name, server.server_port)
    stopping.wait()
    logger.info("stopping: finishing the requests that come in")
    deadline = time.monotonic() + DRAIN_LIMIT
    server.last_request = time.monotonic()  # a quiet service waits for a late one, too
    while time.monotonic() < deadline and (
        server.begun or time.monotonic() < server.last_request + QUIET
    ):
        gevent.sleep(0.05)
    server.stop(timeout=0)
    logger.info("stopped")


class _Handler(WSGIHandler):
    """One connection."""

    server: "_Server"
    # What a client that has gone, or has taken nothing for too long, comes to.
    ignored_socket_errors = (*WSGIHandler.ignored_socket_errors, "timed out")

    def handle(self) -> None:
        # An answer is sent in two parts, and the second must not wait until the first is confirmed.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(PATIENCE)
        with suppress(OSError):  # the client of a refused head has gone
            super().handle()

    def read_requestline(self) -> str:
        line: str = super().read_requestline()
        self.server.begun.add(self)
        return line

    def handle_one_request(self) -> bool | tuple[str, bytes] | None:
        # A client whose next request is always there already must not keep the loop from others.
        gevent.sleep(0)
        self.patience = gevent.Timeout.start_new(PATIENCE)
        try:
            outcome: bool | tuple[str, bytes] | None = super().handle_one_request()
        except gevent.Timeout:
            outcome = ("408", b"") if self in self.server.begun else None
        finally:
            self.patience.close()
            self.server.begun.discard(self)
        if not isinstance(outcome, tuple):
            return outcome
        status, _ = outcome  # of a head that gevent refuses, in an answer without a body
        refusal = self.server.refuse(_HEAD_REFUSALS[status])
        refusal.headers["Connection"] = "close"
        return status, f"HTTP/1.1 {refusal.status}\r\n{refusal.headers}".encode() + refusal.data

    def MessageClass(self, *_: object) -> OldMessage:  # noqa: N802  # gevent's name
        """Read the headers, and refuse those that another server may read as other requests."""
        headers = super().MessageClass(_Head(self.rfile), 0)
        lengths = headers.get_all("Content-Length", [])
        codings = headers.get_all("Transfer-Encoding", [])
        if (
            any(isinstance(defect, _DEFECTS) for defect in headers.defects)
            or len(lengths) + len(codings) > 1
            or not all(length.isascii() and length.isdecimal() for length in lengths)
            or not all(coding.lower() == "chunked" for coding in codings)
        ):
            raise ValueError
        return headers

    def _handle_client_error(self, ex: Exception) -> tuple[str, bytes] | None:
        gone = isinstance(ex, OSError)
        return None if gone else ("400", b"")

    def run_application(self) -> None:
        if self.server.stopping.is_set():
            self.close_connection = True  # so that the client's next request goes elsewhere
        with tempfile.SpooledTemporaryFile(IN_MEMORY) as body:
            try:
                self._read_into(body)
            except HTTPException as error:
                self.application = self.server.refuse(error)
                self.close_connection = True
                self.wsgi_input = Input(self.rfile, 0)  # the rest of the body is not waited for
            self.patience.close()  # from here on it is the service that takes its time
            self.environ["wsgi.input"] = body
            super().run_application()

    def _read_into(self, body: IO[bytes]) -> None:
        if (self.content_length or 0) > READ_LIMIT:
            raise RequestEntityTooLarge(_TOO_LARGE)
        size = CHUNKED_PIECE if self.content_length is None else IN_MEMORY
        while piece := self._read_piece(size):
            try:
                body.write(piece)
            except OSError as error:
                logger.exception("no temporary file for a body of more than %d bytes", IN_MEMORY)
                raise ServiceUnavailable(_NO_ROOM) from error
            if body.tell() > READ_LIMIT:
                raise RequestEntityTooLarge(_TOO_LARGE)
            if body.tell() >= size:
                gevent.sleep(0)  # so that a large body, too, leaves the loop to others
        body.seek(0)

    def _read_piece(self, size: int) -> bytes:
        try:
            return self.wsgi_input.read(size)  # type: ignore[no-any-return]  # gevent's
        except gevent.Timeout as error:
            raise RequestTimeout(_TOO_SLOW) from error
        except OSError as error:
            raise BadRequest("The body ends early or in a broken chunk. Send it whole.") from error

    def finalize_headers(self) -> None:
        named = any(name == b"Connection" for name, _ in self.response_headers)
        if self.close_connection and not named:
            self.response_headers.append((b"Connection", b"close"))
        super().finalize_headers()

    def log_request(self) -> None:
        """Leave the log to the application and to refuse()."""


class _Head:
    """The lines of a request's head, up to `MAX_HEAD` bytes together."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.left = MAX_HEAD

    def readline(self, size: int) -> bytes:
        line = self.file.readline(min(size, self.left + 1))
        self.left -= len(line)
        if self.left < 0:
            raise ValueError
        return line


class _Server(WSGIServer):
    handler_class = _Handler

    def __init__(self, address: tuple[str, int], app: Flask, stopping: Event) -> None:
        # With a name, so that gevent asks no name server for one.
        environ = {"SERVER_NAME": address[0]}
        connections = Pool(MAX_CONNECTIONS)
        super().__init__(address, self.answer, spawn=connections, log=None, environ=environ)
        self.app = app
        self.stopping = stopping
        self.answering = 0
        self.begun: set[_Handler] = set()  # those of which a request has come in, if only in part
        self.last_request = 0.0  # time.monotonic() of the newest one but probes

    def answer(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Have the application answer, unless it has too much to do."""
        if environ["PATH_INFO"].startswith(PROBES):
            return self.app(environ, start_response)
        self.last_request = time.monotonic()
        if self.answering >= MAX_REQUESTS:
            return self.refuse(_OVERLOADED)(environ, start_response)
        self.answering += 1
        try:
            return self.app(environ, start_response)
        finally:
            self.answering -= 1

    def refuse(self, error: HTTPException) -> Response:
        """Return, count and log the answer to a request that does not reach the application."""
        answer = problem_response(error)
        answer.headers["X-Content-Type-Options"] = "nosniff"
        self.app.extensions["metrics"].count_refusal(answer.status_code)
        logger.info("refused: %d %s", answer.status_code, error.description)
        return answer
