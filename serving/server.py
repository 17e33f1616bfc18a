"""The HTTP server: waitress, which reads a whole request before it takes a thread for it."""

import logging
import signal
import threading
import time
from collections.abc import Callable
from http import HTTPStatus

from flask import Flask
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher, WSGITask
from waitress.utilities import Error

from serving.app import MAX_BODY
from serving.problems import CONTENT_TYPE, problem_body

THREADS = 32  # requests at once; most of them wait for the models
MAX_QUEUED = 128  # requests that wait for a thread; more are refused
MAX_CONNECTIONS = 2000
PROBES = ("/health/", "/v2/health/", "/metrics")  # answered however many requests wait
# Past the application's own limit, so that a client that sends a little too much reads a whole
# answer instead of a reset connection; past this one, its connection is closed.
READ_LIMIT = 2 * MAX_BODY
REST = 20e-6  # seconds a connection, between two turns of the loop
DRAIN_LIMIT = 30.0  # seconds from SIGTERM to the exit, at most
QUIET = 0.5  # seconds without a request after which nobody seems to send any more

logger = logging.getLogger(__name__)


def serve(app: Flask, host: str, port: int, stopping: threading.Event) -> None:
    """Serve until Ctrl-C, or until SIGTERM and the end of the requests that came before.

    After SIGTERM `stopping` is set, and connections are still taken until no request has come in
    for a moment: a load balancer needs some time to see that the service is not ready any more.

    Raises:
        OSError: the address cannot be listened on.
    """
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a line for each waiting request
    server = _Server(
        app,
        dispatcher=_Dispatcher(),
        host=host,
        port=port,
        threads=THREADS,
        ident=None,
        connection_limit=MAX_CONNECTIONS,
        max_request_body_size=READ_LIMIT,
        asyncore_use_poll=True,
    )
    server.task_dispatcher.set_thread_count(THREADS)
    server.stopping = stopping
    server.count_refusal = app.extensions["metrics"].count_refusal

    def stop(*_: object) -> None:
        stopping.set()
        server.pull_trigger()  # wakes the loop

    signal.signal(signal.SIGTERM, stop)
    name = f"[{server.effective_host}]" if ":" in host else server.effective_host
    logger.info("listening on http://%s:%s", name, server.effective_port)
    while not stopping.is_set():
        server.work(timeout=1)
        # A turn looks at every connection, holding Python's lock. Without a rest it does so for
        # each event alone, and the threads that answer get no further: 70 requests/s of `first`
        # at 128 clients instead of 990. A single client would only wait for it.
        if (others := len(server.active_channels) - 1) > 0:
            time.sleep(REST * others)
    logger.info("stopping: finishing the requests that come in")
    deadline = time.monotonic() + DRAIN_LIMIT
    server.last_request = time.monotonic()  # a quiet service waits for a late one, too
    while time.monotonic() < deadline and (
        server.busy() or time.monotonic() < server.last_request + QUIET
    ):
        server.work(timeout=0.05)
    logger.info("stopped")


class _Dispatcher(ThreadedTaskDispatcher):
    """A bounded queue; probes and refusals have a thread of their own, which no model delays."""

    def __init__(self) -> None:
        super().__init__()
        self.express = ThreadedTaskDispatcher()
        self.express.set_thread_count(1)

    def add_task(self, channel: HTTPChannel) -> None:
        request = channel.requests[0]
        if request.error is None and not request.path.startswith(PROBES):
            channel.server.last_request = time.monotonic()
            if len(self.queue) < MAX_QUEUED:
                super().add_task(channel)
                return
            request.error = _OverloadedError(
                f"{MAX_QUEUED} requests wait already. Send this again in a second"
            )
        self.express.add_task(channel)


class _OverloadedError(Error):
    code = 503
    reason = "Service Unavailable"


class _Task(WSGITask):
    def execute(self) -> None:
        # So that the client's next request goes elsewhere; and a client that sends several at once
        # and reads no answer would hold a thread for each connection.
        if self.channel.server.stopping.is_set() or len(self.channel.requests) > 1:
            self.set_close_on_finish()
        super().execute()


class _ProblemTask(ErrorTask):
    """Answers a request that is refused before it reaches the application."""

    def execute(self) -> None:
        error = self.request.error
        detail = f"{error.body.rstrip('.')}."
        if error.code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            detail = f"The request is too large: at most {MAX_BODY // 2**20} MiB are accepted."
        body = problem_body(HTTPStatus(error.code), detail)
        self.channel.server.count_refusal(error.code)
        logger.info("refused: %d %s", error.code, detail)
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", CONTENT_TYPE))
        self.response_headers.append(("X-Content-Type-Options", "nosniff"))
        if isinstance(error, _OverloadedError):
            self.response_headers.append(("Retry-After", "1"))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Channel(HTTPChannel):
    task_class = _Task
    error_task_class = _ProblemTask


class _Server(TcpWSGIServer):
    channel_class = _Channel
    stopping: threading.Event
    count_refusal: Callable[[int], None]
    last_request = 0.0  # time.monotonic() of the newest one but probes

    def handle_accept(self) -> None:
        """Take all connections that wait: waitress takes one a turn of its loop."""
        before = -1
        while before < len(self.active_channels) < MAX_CONNECTIONS:
            before = len(self.active_channels)
            super().handle_accept()

    def work(self, timeout: float) -> None:
        """Wait for something to read or write, and do it."""
        wasyncore.loop(timeout=timeout, use_poll=True, map=self._map, count=1)

    def busy(self) -> bool:
        """Tell whether a request is being read, is waiting or is being answered."""
        return any(
            channel.request or channel.requests or channel.total_outbufs_len
            for channel in self.active_channels.values()
        )
