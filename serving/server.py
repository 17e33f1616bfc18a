"""The HTTP server: waitress, which reads a whole request before it takes a thread for it."""

import signal
import sys
from http import HTTPStatus

from flask import Flask
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask

from serving.problems import CONTENT_TYPE, problem_body

THREADS = 8
# Past Flask's own limit, so that a client that sends a little too much reads a whole answer
# instead of a reset connection; past this one, its connection is closed.
MAX_BODY = 64 * 2**20  # bytes


def serve(app: Flask, host: str, port: int) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Raises:
        OSError: the address cannot be listened on.
    """
    server = _Server(
        app, host=host, port=port, threads=THREADS, ident=None, max_request_body_size=MAX_BODY
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    app.logger.info("listening on http://%s:%s", server.effective_host, server.effective_port)
    server.run()


class _ProblemTask(ErrorTask):
    """Answers a request that is refused before it reaches the application."""

    def execute(self) -> None:
        error = self.request.error
        body = problem_body(HTTPStatus(error.code), f"{error.body.rstrip('.')}.")
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", CONTENT_TYPE))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Channel(HTTPChannel):
    error_task_class = _ProblemTask


class _Server(TcpWSGIServer):
    channel_class = _Channel
