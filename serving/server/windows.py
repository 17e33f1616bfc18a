"""gevent's own server, in one process: gunicorn does not run on Windows."""

import logging

from gevent.pywsgi import WSGIServer
from gevent.socket import socket

from serving.app import create_app
from serving.errors import AddressError
from serving.server.addresses import bind, url
from serving.settings import Settings

logger = logging.getLogger(__name__)


def serve(settings: Settings) -> None:
    """Serve until Ctrl-C.

    Raises:
        StartError: the service cannot listen on the address, a model is missing or altered, or the
            provider does not work here.
    """
    bound = bind(settings.host, settings.port)
    app = create_app(settings.model_copy(update={"workers": 1}))  # with all threads
    with socket(bound.family, fileno=bound.detach()) as listener:
        try:
            listener.listen()
        except OSError as error:
            raise AddressError(settings.host, settings.port, error) from error
        logger.info("listening on %s", url(listener))
        WSGIServer(listener, app, log=None).serve_forever()
