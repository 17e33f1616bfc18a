"""The command line: `python -m serving --help`."""

import sys
from typing import Any

import click
from click_default_group import DefaultGroup

from serving.classify.command import classify
from serving.errors import StartError
from serving.observability.logs import configure_logging
from serving.options import read_settings, settings_options
from serving.settings import Settings

if sys.platform == "win32":
    from serving.server import windows as server
else:
    from serving.server import gunicorn as server


@click.group(cls=DefaultGroup, default="serve", default_if_no_args=True)
def main() -> None:
    """Classify images: over HTTP, or many files without a server."""


@click.command(context_settings={"show_default": True})
@settings_options(*Settings.model_fields)
def serve(**options: Any) -> None:
    """Serve the models over HTTP."""
    settings = read_settings(**options)
    configure_logging()
    try:
        server.serve(settings)
    except StartError as error:
        raise click.ClickException(str(error)) from error


main.add_command(serve)
main.add_command(classify)

if __name__ == "__main__":
    main(prog_name="python -m serving")
