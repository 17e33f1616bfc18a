"""gunicorn, configured: gevent workers serve the application, and a master supervises them."""

import logging
import multiprocessing
import os
import resource
import shutil
import signal
import socket
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import gevent
from gevent.monkey import get_original
from gunicorn.app.base import BaseApplication
from gunicorn.workers.ggevent import GeventWorker

# Before gunicorn has gevent replace the locks: with Python's own, counting takes half as long, and
# never waits while holding one.
from prometheus_client import multiprocess

from serving.errors import AddressError, StartError
from serving.observability.shared_metrics import add_ended
from serving.settings import Settings

if TYPE_CHECKING:
    from flask import Flask

IDLE_GRACE = 2.0  # seconds in which idle connections may still send a request after SIGTERM
CUT_GRACE = 5  # seconds after the graceful timeout for a worker to cut off its requests and exit
OTHER_FILES = 200  # open files of a worker besides its connections and their bodies
RETRY_PAUSE = 1.0  # seconds before a worker that could not load the models is replaced
# Where the workers share their metrics, if it exists. The files are memory-mapped: on a disk that
# request bodies have filled, counting would kill a worker with SIGBUS.
METRICS_PLACE = Path("/dev/shm")  # noqa: S108

logger = logging.getLogger(__name__)


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C, then finish the requests in progress; SIGHUP reloads models.

    Raises:
        StartError: the service cannot listen on the address, a model is missing or altered, or the
            provider does not work here.
        SystemExit: at the end.
    """
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            raise AddressError(settings.host, settings.port, error) from error
        signal.signal(signal.SIGTERM, _stop_start)
        check_start(settings)
        try:
            listener.listen()  # another service may have loaded its models faster
        except OSError as error:
            raise AddressError(settings.host, settings.port, error) from error
        place = METRICS_PLACE if os.access(METRICS_PLACE, os.W_OK) else None
        metrics_dir = os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(
            "", "serving-", place
        )
        _Server(settings, listener, metrics_dir).run()


def _stop_start(*_: object) -> None:
    for process in multiprocessing.active_children():  # check_start()'s, which may be stuck
        process.kill()
    sys.exit(128 + signal.SIGTERM)


def check_start(settings: Settings) -> None:
    """Create the application in a throwaway process: gunicorn halts when its workers cannot.

    Raises:
        StartError: as create_app(), or the process was killed.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as process:
        # A handler that raises while Python forks is ignored, and this process would not stop.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            started = process.submit(_start_once, settings)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        try:
            started.result()
        except BrokenProcessPool as error:
            raise StartError(
                "a process was killed while it loaded the models, as the system does when memory "
                "runs short; give the service more, or use less of it: --precision int8 "
                "(SERVING_PRECISION) takes about half of float32's"
            ) from error


def _start_once(settings: Settings) -> None:
    logging.disable(logging.INFO)
    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
    from serving.app import create_app  # noqa: PLC0415

    create_app(settings)


def _connections(most: int) -> int:
    """Return how many connections a worker takes, once the limit of open files is raised for them.

    Each may need a second file, for its body.
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
            "a worker takes %d connections instead of %d: the system allows it %d open files "
            "(ulimit -n)",
            allowed,
            most,
            limit,
        )
    return allowed


class _Worker(GeventWorker):
    def handle(self, listener: Any, client: socket.socket, addr: Any) -> None:
        self.app.wait(client, self)
        super().handle(listener, client, addr)


class _Server(BaseApplication):
    def __init__(self, settings: Settings, listener: socket.socket, metrics_dir: str) -> None:
        self.settings = settings
        self.metrics_dir = metrics_dir
        host, port = listener.getsockname()[:2]
        self.address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self.fd = listener.detach()
        # Connections waiting for their next request, by the greenlet that reads it.
        self.idle: WeakKeyDictionary[gevent.Greenlet, socket.socket] = WeakKeyDictionary()
        super().__init__()

    def load_config(self) -> None:
        settings = self.settings
        for name, value in {
            "bind": f"fd://{self.fd}",
            "workers": settings.workers,
            "worker_class": _Worker,
            "worker_connections": _connections(settings.max_connections),
            "keepalive": settings.client_timeout,  # also limits the time for a request's head
            "graceful_timeout": settings.graceful_timeout + CUT_GRACE,  # the master's
            "timeout": settings.worker_timeout,
            "proc_name": "serving",
            "forwarded_allow_ips": "",  # access.trust_proxies() decides on these headers
            "errorlog": None,  # on_starting() hands gunicorn's lines to the service's log
            "control_socket_disable": True,
            "on_starting": self.on_starting,
            "when_ready": self.when_ready,
            "post_worker_init": self.post_worker_init,
            "pre_request": self.pre_request,
            "post_request": self.post_request,
            "child_exit": self.child_exit,
            "on_exit": self.on_exit,
        }.items():
            self.cfg.set(name, value)

    def load(self) -> "Flask":
        # Here, in a worker, where gevent has patched what the application imports.
        from serving.app import create_app  # noqa: PLC0415

        try:
            return create_app(self.settings)
        except StartError as error:  # check_start() passed, but the folder has changed since
            logger.error("a worker cannot start: %s", error)
            time.sleep(RETRY_PAUSE)
            sys.exit(1)

    def on_starting(self, _arbiter: Any) -> None:
        logging.getLogger("gunicorn.error").propagate = True

    def when_ready(self, _arbiter: Any) -> None:
        reload = signal.getsignal(signal.SIGHUP)
        assert callable(reload)  # gunicorn's

        def check_and_reload(number: int, frame: FrameType | None) -> None:
            try:
                check_start(self.settings)
            except StartError as error:
                logger.error("the models stay as they are: %s", error)
            except Exception:  # for example, the system has no room for one more process
                logger.exception("the models stay as they are")
            else:
                reload(number, frame)

        signal.signal(signal.SIGHUP, check_and_reload)
        stop = signal.getsignal(signal.SIGINT)
        assert callable(stop)  # gunicorn's, which cuts off requests

        def finish(_: int, frame: FrameType | None) -> None:
            signal.signal(signal.SIGINT, stop)  # a second Ctrl-C does
            stop(signal.SIGTERM, frame)

        signal.signal(signal.SIGINT, finish)

    def post_worker_init(self, _worker: Any) -> None:
        # With the master's timeout, a worker would be killed before it could cut off its requests.
        self.cfg.set("graceful_timeout", self.settings.graceful_timeout)
        stop = signal.getsignal(signal.SIGTERM)
        assert callable(stop)  # gunicorn's

        def stop_then_hang_up(number: int, frame: FrameType | None) -> None:
            stop(number, frame)
            for reader in list(self.idle):
                gevent.spawn_later(IDLE_GRACE, self.hang_up, reader)

        signal.signal(signal.SIGTERM, stop_then_hang_up)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's; the master acts on it
        logger.info("listening on %s", self.address)

    def wait(self, connection: socket.socket, worker: Any) -> None:
        """Note that a connection waits for its next request."""
        reader = gevent.getcurrent()
        self.idle[reader] = connection
        if not worker.alive:  # gunicorn had promised to keep it before the stop
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

    def child_exit(self, _arbiter: Any, worker: Any) -> None:
        if Path(self.metrics_dir).parent != METRICS_PLACE:  # SIGBUS would end this process, too
            multiprocess.mark_process_dead(worker.pid, self.metrics_dir)  # type: ignore[no-untyped-call]
            return
        try:
            add_ended(worker.pid, self.metrics_dir)
        except Exception:  # gunicorn would halt
            logger.exception("what a worker has counted is not added up")

    def on_exit(self, _arbiter: Any) -> None:
        shutil.rmtree(self.metrics_dir, ignore_errors=True)
