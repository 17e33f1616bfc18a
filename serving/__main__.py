"""The command line: `python -m serving --help`."""

import sys
from collections.abc import Callable
from typing import Any, get_args

import click
from pydantic import ValidationError

from serving.errors import StartError
from serving.logs import configure_logging
from serving.settings import Settings, variables

if sys.platform == "win32":
    from serving.windows import serve
else:
    from serving.server import serve

Command = Callable[..., None]


def settings_options(*names: str) -> Callable[[Command], Command]:
    """Give a command an option for each of these settings."""

    def decorate(command: Command) -> Command:
        for name in reversed(names):
            field = Settings.model_fields[name]
            choices = get_args(field.annotation)
            option = click.option(
                f"--{name.replace('_', '-')}",
                default=field.default,
                type=click.Choice(choices) if choices else None,
                envvar=variables(name),
                show_envvar=True,
                help=field.description,
            )
            command = option(command)
        return command

    return decorate


def read_settings(**options: Any) -> Settings:
    """Check the options together.

    Raises:
        click.UsageError: naming the first option at fault, and its variables.
    """
    try:
        return Settings(**options)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).removeprefix("SERVING_").lower()
        flag = f"--{name.replace('_', '-')} ({', '.join(variables(name))})"
        raise click.UsageError(f"{flag} is {first['input']!r}: {first['msg']}") from error


@click.command(context_settings={"show_default": True})
@settings_options(*Settings.model_fields)
def main(**options: Any) -> None:
    """Serve the models over HTTP."""
    settings = read_settings(**options)
    configure_logging()
    try:
        serve(settings)
    except StartError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main(prog_name="python -m serving")
