"""Whether a request's client still waits for its answer."""

import select
import socket
from collections.abc import Callable
from functools import partial

from flask import request
from gevent.monkey import get_original


def watch_client() -> Callable[[], bool]:
    """Return a function that tells whether the current request's client has hung up.

    A client that ends its side of the connection alone counts, too, as it does for nginx: the two
    look the same. Where a server does not show its connections, no client hangs up.
    """
    connection = request.environ.get("gunicorn.socket")
    return partial(_is_ended, connection) if connection else lambda: False


def _is_ended(connection: socket.socket) -> bool:
    if connection.fileno() < 0:
        return True
    poll = get_original("select", "poll")()  # gevent's would let other greenlets run
    poll.register(connection, getattr(select, "POLLRDHUP", 0))  # and POLLHUP and POLLERR, always
    return bool(poll.poll(0))
