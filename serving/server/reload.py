"""SIGHUP: check the models folder, start workers with its models, then end the old workers."""

import logging
import os
import select
import signal
import struct
from contextlib import suppress
from types import FrameType
from typing import Any

from serving.errors import StartError
from serving.server.start_check import StartCheck
from serving.settings import Settings

_PROCESS = struct.Struct("i")  # a process number

logger = logging.getLogger(__name__)


class Reload:
    """Reloads the models without a pause.

    gunicorn's own reload ends the old workers while the new ones still load their models, so
    requests would wait.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._check: StartCheck | None = None
        self._outdated: set[int] = set()  # workers that end once enough new ones are ready
        self._ready: set[int] = set()  # workers that have loaded their models
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)

    def worker_ready(self) -> None:
        """Tell the master that this worker is ready."""
        os.write(self._write, _PROCESS.pack(os.getpid()))
        os.kill(os.getppid(), signal.SIGCHLD)  # interrupts the master, which then reads it

    def listen(self, arbiter: Any) -> None:
        """Handle SIGHUP in the master, and SIGCHLD, which ends a check or a worker's start."""
        reap = signal.getsignal(signal.SIGCHLD)
        assert callable(reap)  # gunicorn's

        def begin(_number: int, _frame: FrameType | None) -> None:
            logger.info("checking the models before the reload")
            try:
                self.end_check()
                self._check = StartCheck(self._settings)
            except StartError as error:
                logger.error("the models stay as they are: %s", error)

        def go_on(number: int, frame: FrameType | None) -> None:
            reap(number, frame)
            if self._check and self._check.has_ended():
                self._start_workers(arbiter)
            self._end_outdated(arbiter)

        signal.signal(signal.SIGHUP, begin)
        signal.signal(signal.SIGCHLD, go_on)

    def end_check(self) -> None:
        """Kill the process that checks the models, if there is one."""
        if self._check:
            self._check.kill()
            self._check = None

    def _start_workers(self, arbiter: Any) -> None:
        assert self._check
        check, self._check = self._check, None
        try:
            check.result()
        except StartError as error:
            logger.error("the models stay as they are: %s", error)
            return
        self._outdated = {*arbiter.WORKERS}
        for _ in range(self._settings.workers):
            arbiter.signal(signal.SIGTTIN, None)  # one more worker

    def _end_outdated(self, arbiter: Any) -> None:
        with suppress(BlockingIOError):
            self._ready |= {
                process for [process] in _PROCESS.iter_unpack(os.read(self._read, select.PIPE_BUF))
            }
        fresh = (self._ready & {*arbiter.WORKERS}) - self._outdated
        if self._outdated and len(fresh) >= self._settings.workers:
            self._outdated = set()
            for _ in range(arbiter.num_workers - self._settings.workers):
                arbiter.signal(signal.SIGTTOU, None)  # one worker less: the oldest
