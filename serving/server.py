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
from typing import IO, TYPE_CHECKING

import gevent
from flask import Flask, Response
from gevent.event import Event
from gevent.pool import Pool
from gevent.pywsgi import Input, WSGIHandler, WSGIServer
from werkzeug.exceptions import (
    BadRequest,
    HTTPException,
    RequestEntityTooLarge,
    RequestTimeout,
    RequestURITooLarge,
    ServiceUnavailable,
)

from serving.app import MAX_BODY
from serving.problems import problem_response

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

MAX_REQUESTS = 160  # being answered; most of them wait for the models
MAX_CONNECTIONS = 2000
PROBES = ("/health/", "/v2/health/", "/metrics")  # answered however many requests wait
# Past the application's own limit, so that a client that sends a little too much reads a whole
# answer instead of a reset connection; past this one, its connection is closed.
READ_LIMIT = 2 * MAX_BODY
IN_MEMORY = 2**16  # bytes of a body; a larger one is read into a temporary file
PATIENCE = 120.0  # seconds until a connection's next request is whole, or its answer is taken
DRAIN_LIMIT = 30.0  # seconds from SIGTERM to the exit, at most
QUIET = 0.5  # seconds without a request after which nobody seems to send any more

_OVERLOADED = ServiceUnavailable(
    f"{MAX_REQUESTS} requests are being answered. Send this again in a second.", retry_after=1
)
_TOO_LARGE = f"The request is too large: at most {MAX_BODY // 2**20} MiB are accepted."
_TOO_SLOW = f"The request took more than {PATIENCE:.0f} seconds. Send it again."
_HEAD_REFUSALS = {
    "400": BadRequest("The request's line or headers are not HTTP/1.1's."),
    "408": RequestTimeout(_TOO_SLOW),
    "414": RequestURITooLarge("The request's address is too long."),
}

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
        super().handle()

    def read_requestline(self) -> str:
        line: str = super().read_requestline()
        self.server.begun.add(self)
        return line

    def handle_one_request(self) -> bool | tuple[str, bytes] | None:
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

    def _handle_client_error(self, ex: Exception) -> tuple[str, bytes] | None:
        gone = isinstance(ex, OSError)
        return None if gone else ("400", b"")

    def run_application(self) -> None:
        try:
            self.environ["wsgi.input"] = self._read_body()
        except HTTPException as error:
            self.application = self.server.refuse(error)
            self.close_connection = True
            self.wsgi_input = Input(self.rfile, 0)  # the rest of the body is not waited for
        self.patience.close()  # from here on it is the service that takes its time
        super().run_application()

    def _read_body(self) -> IO[bytes]:
        body = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115  # the application reads it
        if (self.content_length or 0) > READ_LIMIT:
            raise RequestEntityTooLarge(_TOO_LARGE)
        while piece := self._read_piece():
            body.write(piece)
            if body.tell() > READ_LIMIT:
                raise RequestEntityTooLarge(_TOO_LARGE)
        body.seek(0)
        return body

    def _read_piece(self) -> bytes:
        try:
            return self.wsgi_input.read(IN_MEMORY)  # type: ignore[no-any-return]  # gevent's
        except gevent.Timeout as error:
            raise RequestTimeout(_TOO_SLOW) from error
        except OSError as error:
            raise BadRequest("The body ends early or in a broken chunk. Send it whole.") from error

    def finalize_headers(self) -> None:
        # So that the client's next request goes elsewhere.
        self.close_connection = self.close_connection or self.server.stopping.is_set()
        if self.close_connection and self.request_version == "HTTP/1.1":
            self.response_headers.append((b"Connection", b"close"))
        super().finalize_headers()

    def log_request(self) -> None:
        """Leave the log to the application and to refuse()."""


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
