"""gunicorn's configuration: gevent workers serve the application under a master."""

import logging
import os
import resource
import signal
import socket
import sys
import time
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import gevent
from gevent.monkey import get_original
from gunicorn.app.base import BaseApplication

from serving.errors import AddressError, StartError

# Imported before gevent replaces the locks: with Python's own, counting takes half as long, and
# never waits while holding one.
from serving.observability.shared_metrics import SharedMetrics
from serving.server.addresses import bind, url
from serving.server.reload import Reload
from serving.server.start_check import check_start
from serving.server.worker import Worker
from serving.settings import Settings

if TYPE_CHECKING:
    from flask import Flask

IDLE_GRACE = 2.0  # seconds in which idle connections may still send a request after SIGTERM
CUT_GRACE = 5  # seconds after the graceful timeout for a worker to cut off its requests and exit
OTHER_FILES = 200  # open files of a worker besides its connections and their bodies
RETRY_PAUSE = 1.0  # seconds before a worker that could not load the models is replaced

logger = logging.getLogger(__name__)


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C, then finish the requests in progress; SIGHUP reloads models.

    Raises:
        StartError: the service cannot listen on the address, a model is missing or altered, or the
            provider does not work here.
        SystemExit: at the end.
    """
    signal.signal(signal.SIGTERM, _stop_start)
    with bind(settings.host, settings.port) as listener:
        check_start(settings)
        try:
            listener.listen()  # another service may have loaded its models faster
        except OSError as error:
            raise AddressError(settings.host, settings.port, error) from error
        _Server(settings, listener).run()


def _stop_start(*_: object) -> None:
    sys.exit(128 + signal.SIGTERM)


def _connections(most: int) -> int:
    """Raise the limit on open files for a worker's connections, and return how many it allows.

    Each connection may need a second file, for its body.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * most + OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return most
    limit = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    allowed = max((limit - OTHER_FILES) // 2, 1)
    if allowed < most:
        logger.warning(
            "each worker accepts %d connections instead of %d: the limit on open files is %d "
            "(ulimit -n)",
            allowed,
            most,
            limit,
        )
    return allowed


class _Server(BaseApplication):
    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self.settings = settings
        self.address = url(listener)
        self.metrics = SharedMetrics(settings.workers)
        self.fd = listener.detach()
        # Connections waiting for their next request, by the greenlet that reads it.
        self.idle: WeakKeyDictionary[gevent.Greenlet, socket.socket] = WeakKeyDictionary()
        self.reload = Reload(settings)
        super().__init__()

    def load_config(self) -> None:
        settings = self.settings
        for name, value in {
            "bind": f"fd://{self.fd}",
            "workers": settings.workers,
            "worker_class": Worker,
            "worker_connections": _connections(settings.max_connections),
            "keepalive": settings.client_timeout,  # also limits the time for a request's head
            "graceful_timeout": settings.graceful_timeout + CUT_GRACE,  # the master's
            "timeout": settings.worker_timeout,
            "limit_request_field_size": settings.max_head,  # one header may take nearly all
            "proc_name": "serving",
            "forwarded_allow_ips": "",  # headers.trust_proxies() decides on these headers
            "errorlog": None,  # on_starting() hands gunicorn's lines to the service's log
            "control_socket_disable": True,
            "on_starting": self.on_starting,
            "when_ready": self.when_ready,
            "post_fork": self.post_fork,
            "pre_fork": self.pre_fork,
            "post_worker_init": self.post_worker_init,
            "pre_request": self.pre_request,
            "post_request": self.post_request,
            "child_exit": self.child_exit,
            "on_exit": self.on_exit,
        }.items():
            self.cfg.set(name, value)

    def load(self) -> "Flask":
        # Imported here, in a worker, after gevent has patched the application's imports.
        from serving.app import create_app  # noqa: PLC0415

        try:
            return create_app(self.settings, shared_metrics=self.metrics)
        except StartError as error:  # check_start() passed, but the folder has changed since
            logger.error("a worker cannot start: %s", error)
            time.sleep(RETRY_PAUSE)
            sys.exit(1)

    def on_starting(self, _arbiter: Any) -> None:
        logging.getLogger("gunicorn.error").propagate = True

    def when_ready(self, arbiter: Any) -> None:
        self.reload.listen(arbiter)
        stop = signal.getsignal(signal.SIGINT)
        assert callable(stop)  # gunicorn's, which cuts off requests

        def finish(_: int, frame: FrameType | None) -> None:
            signal.signal(signal.SIGINT, stop)  # a second Ctrl-C does
            stop(signal.SIGTERM, frame)

        signal.signal(signal.SIGINT, finish)

    def post_fork(self, arbiter: Any, worker: Any) -> None:
        # Until the worker sets its own handlers, it has the master's, which queue the signals.
        signal.signal(signal.SIGTERM, worker.handle_exit)
        while not arbiter.SIG_QUEUE.empty():
            if arbiter.SIG_QUEUE.get() == signal.SIGTERM:
                worker.alive = False

    def post_worker_init(self, _worker: Any) -> None:
        self.reload.worker_ready()
        # With the master's timeout, it would be killed before it could cut off its requests.
        self.cfg.set("graceful_timeout", self.settings.graceful_timeout)
        stop = signal.getsignal(signal.SIGTERM)
        assert callable(stop)  # gunicorn's

        def stop_then_hang_up(number: int, frame: FrameType | None) -> None:
            stop(number, frame)
            for reader in list(self.idle):
                gevent.spawn_later(IDLE_GRACE, self.hang_up, reader)

        signal.signal(signal.SIGTERM, stop_then_hang_up)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # from a terminal; the master handles it
        logger.info("listening on %s", self.address)

    def wait(self, connection: socket.socket, worker: Any) -> None:
        """Note that a connection waits for its next request."""
        reader = gevent.getcurrent()
        self.idle[reader] = connection
        if not worker.alive:  # gunicorn decided to keep it before the stop
            gevent.spawn_later(IDLE_GRACE, self.hang_up, reader)

    def hang_up(self, reader: gevent.Greenlet) -> None:
        """Shut down a connection if it is still idle; gunicorn would wait for it."""
        if connection := self.idle.get(reader):
            # Python's own shutdown: gevent's raises an error in the reader, which gunicorn logs.
            own = get_original("socket", "socket")
            with suppress(OSError), own(fileno=os.dup(connection.fileno())) as same:
                same.shutdown(socket.SHUT_RD)

    def pre_request(self, _worker: Any, request: Any) -> None:
        self.idle.pop(gevent.getcurrent(), None)
        headers = dict(request.headers)
        length = headers.get("CONTENT-LENGTH", "0")
        # The application may leave part of such a body unread, and gunicorn reads it all at once.
        if "TRANSFER-ENCODING" in headers or int(length) > self.settings.read_limit:
            request.force_close()

    def post_request(self, worker: Any, _request: Any, environ: Any, _response: Any) -> None:
        if connection := environ.get("gunicorn.socket"):
            self.wait(connection, worker)

    def pre_fork(self, arbiter: Any, worker: Worker) -> None:
        worker.slot = self.metrics.reserve([other.slot for other in arbiter.WORKERS.values()])

    def child_exit(self, _arbiter: Any, worker: Worker) -> None:
        worker.slot.end()

    def on_exit(self, _arbiter: Any) -> None:
        self.reload.end_check()
