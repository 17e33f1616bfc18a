"""gevent's own server, in one process: gunicorn does not run on Windows."""

import logging

from gevent.pywsgi import WSGIServer

from serving.app import create_app
from serving.settings import Settings

logger = logging.getLogger(__name__)


def serve(settings: Settings) -> None:
    """Serve until Ctrl-C.

    Raises:
        StartError: a model is missing or altered, or the provider does not work here.
    """
    server = WSGIServer((settings.host, settings.port), create_app(settings), log=None)
    server.start()
    logger.info("listening on http://%s:%d", settings.host, server.server_port)
    server.serve_forever()
