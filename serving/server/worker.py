"""gunicorn's gevent worker: heartbeat, connections, and responses to invalid requests."""

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any

import gevent
from flask import Flask, request
from gunicorn.http import errors
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser
from gunicorn.workers.ggevent import GeventWorker
from gunicorn.workers.workertmp import WorkerTmp
from werkzeug.exceptions import default_exceptions

from serving.observability.shared_metrics import Slot
from serving.settings import Settings

LOOK_LIMIT = 1.5  # seconds between two checks of a heartbeat; the master checks every second
ARRIVED = 0.5  # seconds to read a request that arrived before its limit
LINGER = 2.0  # seconds for a client to read its refusal
MAPPED = "::ffff:"  # prefix of IPv4 addresses on a dual-stack socket

STATUSES = {
    errors.LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    errors.LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    errors.ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    errors.UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
    errors.InvalidResponseHeader: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.InvalidResponseHeaderName: HTTPStatus.INTERNAL_SERVER_ERROR,
}

logger = logging.getLogger(__name__)


class Worker(GeventWorker):
    """Serves an `app` with `settings`, which notes idle connections and can `hang_up` on them."""

    slot: Slot  # of its metrics

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.tmp.close()  # gunicorn's own
        self.tmp: WorkerTmp = _Heartbeat(self.cfg)

    def handle(self, listener: Any, client: socket.socket, addr: Any) -> None:
        """Serve a connection."""
        host, *others = addr
        self.app.wait(client, self)
        super().handle(listener, client, (host.removeprefix(MAPPED), *others))

    @contextmanager
    def timeout_ctx(self) -> Iterator[None]:
        """Limit the time for a request's head.

        After a freeze, the limit may have passed although the request has arrived: the worker reads
        what is there before it hangs up.
        """
        loop = gevent.get_hub().loop
        limit, last = loop.timer(self.cfg.keepalive), loop.timer(ARRIVED)
        limit.start(last.start, self.app.hang_up, gevent.getcurrent())
        try:
            yield
        finally:
            limit.close()
            last.close()

    def handle_error(self, _req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Answer an invalid request as the application answers errors."""
        if not isinstance(exc, errors.ParseException):
            self.log.error("Error handling a connection", exc_info=exc)
        response = _refuse(self.wsgi, addr[0], exc, self.app.settings)
        with suppress(OSError), gevent.Timeout(LINGER, exception=False):
            client.sendall(response)
            # A client that is still sending when the connection closes loses the response.
            client.shutdown(socket.SHUT_WR)
            left = self.app.settings.read_limit
            while left > 0 and (piece := client.recv(65536)):
                left -= len(piece)


def _refuse(app: Flask, client: str, error: BaseException, settings: Settings) -> bytes:
    """Return the HTTP response to an invalid request, logged, counted and with CORS headers."""
    is_client_error = isinstance(error, errors.ParseException)
    status = STATUSES.get(
        type(error),
        HTTPStatus.BAD_REQUEST if is_client_error else HTTPStatus.INTERNAL_SERVER_ERROR,
    )
    if status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
        detail = (
            f"The request has more than {settings.max_head} bytes of headers, or over 100. Send "
            "shorter cookies and tokens, or raise the service's limit: --max-head "
            "(SERVING_MAX_HEAD)."
        )
    elif status == HTTPStatus.INTERNAL_SERVER_ERROR:
        detail = None
    else:
        detail = f"Invalid HTTP/1.1 request: {error}"
    # The method and the path are unknown.
    with app.test_request_context("/-", method="-", environ_base={"REMOTE_ADDR": client}):
        request.routing_exception = default_exceptions[status](detail)
        response = app.full_dispatch_request()
        if is_client_error:
            logger.warning("refused: %s", error)
    response.headers.update({"Server": "gunicorn", "Connection": "close"})
    head = f"HTTP/1.1 {response.status}\r\n{response.headers}"
    return head.encode("latin-1") + response.get_data()


class _Heartbeat(WorkerTmp):
    """A worker's heartbeat, as its master sees it."""

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        self._looked = time.monotonic()

    def last_update(self) -> float:
        """Return the monotonic time of the last heartbeat.

        A master that has not checked for a while was frozen, probably with its workers, by a paused
        container or a suspended machine: their timeout starts again.
        """
        now = time.monotonic()
        was_frozen = now - self._looked > LOOK_LIMIT
        self._looked = now
        if was_frozen and super().last_update() < now:  # a later time is the file's own
            self.notify()
        last: float = super().last_update()
        return last


class _Request(Request):
    """A request with a limit on the whole head, not only on each header."""

    def parse(self, unreader: Any) -> bytes:
        self.max_buffer_headers = self.limit_request_field_size
        unread: bytes = super().parse(unreader)
        return unread


RequestParser.mesg_class = _Request
