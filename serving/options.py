"""The settings as options of a command."""

from collections.abc import Callable
from typing import Any, get_args

import click
from pydantic import ValidationError

from serving.settings import Settings, variables

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
        shown = repr(first["input"]) if Settings.model_fields[name].repr else "not a value for it"
        raise click.UsageError(f"{flag} is {shown}: {first['msg']}") from error
