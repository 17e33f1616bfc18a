"""The command line: `python -m serving --help`."""

from pathlib import Path
from typing import get_args

import click
from gevent.event import Event

from serving.app import create_app
from serving.classifier import Precision, Provider, StartError
from serving.server import serve
from serving.telemetry import configure_logging


@click.command(context_settings={"show_default": True})
@click.option(
    "--host", envvar="HOST", show_envvar=True, default="127.0.0.1", help="Address to listen on."
)
@click.option(
    "--port",
    envvar="PORT",
    show_envvar=True,
    type=click.IntRange(0, 65535),
    default=8000,
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--models-dir",
    envvar="MODELS_DIR",
    show_envvar=True,
    type=click.Path(path_type=Path),
    default=Path(__file__).parents[1] / "models",
    show_default="models/ of this checkout",
    help="Folder of <name>/<version>/ with a model and its record in each.",
)
@click.option(
    "--provider",
    envvar="PROVIDER",
    show_envvar=True,
    type=click.Choice(get_args(Provider)),
    default="auto",
    help="What runs the models; auto takes CUDA where it works, else the CPU.",
)
@click.option(
    "--precision",
    envvar="PRECISION",
    show_envvar=True,
    type=click.Choice(get_args(Precision)),
    default="float32",
    help="Arithmetic of the models; int8 is about three times as fast, on the CPU alone.",
)
def main(host: str, port: int, models_dir: Path, provider: Provider, precision: Precision) -> None:
    """Serve the models over HTTP."""
    configure_logging()
    stopping = Event()
    try:
        app = create_app(models_dir, provider, precision, stopping)
    except StartError as error:
        raise click.ClickException(str(error)) from error
    try:
        serve(app, host, port, stopping)
    except OSError as error:
        reason, _, _ = (error.strerror or "").partition(": ")  # gevent appends the address
        raise click.ClickException(f"cannot listen on {host}:{port}: {reason}") from error


if __name__ == "__main__":
    main(prog_name="python -m serving")
