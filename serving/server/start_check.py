"""A trial start in a process of its own, since gunicorn halts if workers cannot load models."""

import logging
import os
import signal
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import NoReturn

from serving.errors import StartError
from serving.settings import Settings

# If a handler raises while Python forks, the exception is lost and the service does not stop.
STOPS = {signal.SIGTERM, signal.SIGINT}

logger = logging.getLogger(__name__)


class StartCheck:
    """A process that creates the application, reports success or the error, and ends."""

    def __init__(self, settings: Settings) -> None:
        """Start the process.

        Raises:
            StartError: the system cannot start another process.
        """
        self._outcome, outcome = Pipe(duplex=False)
        with outcome:
            try:
                self._pid = os.fork()
            except OSError as error:
                raise StartError(
                    f"cannot start a process to load the models: {error.strerror}"
                ) from error
            if self._pid == 0:
                _create_app(settings, outcome)

    def has_ended(self) -> bool:
        """Return whether `result` would return at once."""
        return self._outcome.poll()

    def result(self) -> None:
        """Wait until the application has been created.

        Raises:
            StartError: as create_app(), or the process was killed.
        """
        try:
            error = self._outcome.recv()
        except EOFError:
            error = (
                "a process was killed while loading the models, probably because memory ran out; "
                "give the service more memory, or fewer models (--models-dir, SERVING_MODELS_DIR)"
            )
        if error:
            raise StartError(error)

    def kill(self) -> None:
        """Kill the process, which may hang, for example on a network disk; its parent reaps it."""
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        self._outcome.close()


def check_start(settings: Settings) -> None:
    """Create the application in a throwaway process.

    Raises:
        StartError: as create_app(), the process was killed, or none can be started.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    check = StartCheck(settings)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        check.result()
    finally:
        check.kill()
        os.wait()


def _create_app(settings: Settings, outcome: Connection) -> NoReturn:
    """Create the application, send the error message or None, and end the process."""
    try:
        for number in (*STOPS, signal.SIGHUP, signal.SIGCHLD):  # its parent's handlers
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        logging.disable(logging.INFO)
        # It shares no metrics with workers, and no gunicorn serves it.
        for name in ("PROMETHEUS_MULTIPROC_DIR", "SERVER_SOFTWARE"):
            os.environ.pop(name, None)
        from serving.app import create_app  # noqa: PLC0415

        create_app(settings)
        outcome.send(None)
    except StartError as error:
        outcome.send(str(error))
    except BaseException:
        logger.exception("the application could not be created")
        outcome.send("the application could not be created; the log lines above say why")
    finally:
        os._exit(0)
