"""gunicorn's gevent worker: its heartbeat, its connections, and answers to what is no request."""

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

LOOK_LIMIT = 1.5  # seconds between two looks at a heartbeat; the master looks once in a second
ARRIVED = 0.5  # seconds to read a request that arrived before its limit
LINGER = 2.0  # seconds for a client to read its refusal
MAPPED = "::ffff:"  # begins an IPv4 address on a socket for both

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

        A service that was frozen finds the limit past and the request there at the same moment: it
        reads what has arrived before it hangs up.
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
        """Answer what is no request as the application answers errors."""
        if not isinstance(exc, errors.ParseException):
            self.log.error("Error handling a connection", exc_info=exc)
        response = _refuse(self.wsgi, addr[0], exc, self.app.settings)
        with suppress(OSError), gevent.Timeout(LINGER, exception=False):
            client.sendall(response)
            # A client that still sends when the connection is closed loses the answer.
            client.shutdown(socket.SHUT_WR)
            left = self.app.settings.read_limit
            while left > 0 and (piece := client.recv(65536)):
                left -= len(piece)


def _refuse(app: Flask, client: str, error: BaseException, settings: Settings) -> bytes:
    """Return the HTTP response to what is no request: logged, counted and with CORS' headers."""
    is_client_error = isinstance(error, errors.ParseException)
    status = STATUSES.get(
        type(error),
        HTTPStatus.BAD_REQUEST if is_client_error else HTTPStatus.INTERNAL_SERVER_ERROR,
    )
    if status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
        detail = (
            f"The request's head has more than {settings.max_head} bytes or 100 headers. Send "
            "shorter cookies and tokens, or raise the service's limit: --max-head "
            "(SERVING_MAX_HEAD)."
        )
    elif status == HTTPStatus.INTERNAL_SERVER_ERROR:
        detail = None
    else:
        detail = f"This is no request of HTTP/1.1: {error}"
    # What was sent has no path that could be told.
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

        A master that has not looked for long was frozen, and its workers probably with it, by a
        paused container or a suspended machine: their time begins anew.
        """
        now = time.monotonic()
        was_frozen = now - self._looked > LOOK_LIMIT
        self._looked = now
        if was_frozen and super().last_update() < now:  # a later time is that of the file itself
            self.notify()
        last: float = super().last_update()
        return last


class _Request(Request):
    """A request whose whole head, and not each header alone, is bounded."""

    def parse(self, unreader: Any) -> bytes:
        self.max_buffer_headers = self.limit_request_field_size
        unread: bytes = super().parse(unreader)
        return unread


RequestParser.mesg_class = _Request
