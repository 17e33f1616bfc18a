"""gevent's own server, in one process: gunicorn does not run on Windows."""

from gevent.pywsgi import WSGIServer

from serving.app import create_app
from serving.settings import Settings


def serve(settings: Settings) -> None:
    """Serve until Ctrl-C.

    Raises:
        StartError: a model is missing or altered, or the provider does not work here.
    """
    WSGIServer((settings.host, settings.port), create_app(settings), log=None).serve_forever()
