"""gevent's own server, in one process: gunicorn does not run on Windows."""

import logging

from gevent.pywsgi import WSGIServer

from serving.app import create_app
from serving.errors import AddressError
from serving.settings import Settings

logger = logging.getLogger(__name__)


def serve(settings: Settings) -> None:
    """Serve until Ctrl-C.

    Raises:
        StartError: the service cannot listen on the address, a model is missing or altered, or the
            provider does not work here.
    """
    alone = settings.model_copy(update={"workers": 1})  # with all threads
    server = WSGIServer((settings.host, settings.port), create_app(alone), log=None)
    try:
        server.start()
    except OSError as error:
        raise AddressError(settings.host, settings.port, error) from error
    logger.info("listening on http://%s:%d", settings.host, server.server_port)
    server.serve_forever()
