"""The command line: `python -m serving --help`."""

import os
import signal
import sys
from typing import Any

if __name__ == "__main__":
    # A container's first process ignores SIGTERM until it has a handler, and the imports below take
    # a second. The Dockerfile blocks the signal until here, so that it is not lost.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

import click

import models.surroundings  # noqa: F401  # sets up libraries before they are imported
from serving.classify.command import classify
from serving.errors import StartError
from serving.observability.logs import configure_logging
from serving.options import OpenGroup, read_settings, settings_options
from serving.settings import Settings


@click.group(cls=OpenGroup, default="serve", default_if_no_args=True)
def main() -> None:
    """Classify images: over HTTP, or many files without a server."""


@click.command(context_settings={"show_default": True})
@settings_options(*Settings.model_fields)
def serve(**options: Any) -> None:
    """Serve the models over HTTP."""
    settings = read_settings(**options)
    configure_logging()
    # gunicorn reads this variable at import, and fails if its value is invalid.
    os.environ["WEB_CONCURRENCY"] = str(settings.workers)
    if sys.platform == "win32":
        from serving.server import windows as server  # noqa: PLC0415
    else:
        from serving.server import gunicorn as server  # noqa: PLC0415
    try:
        server.serve(settings)
    except StartError as error:
        raise click.ClickException(str(error)) from error


main.add_command(serve)
main.add_command(classify)

if __name__ == "__main__":
    main(prog_name="python -m serving")
