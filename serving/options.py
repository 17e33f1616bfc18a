"""The settings as command-line options, and their help."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args, get_origin

import click
from click_default_group import DefaultGroup
from pydantic import ValidationError

from serving.settings import PREFIX, Settings, variables

Command = Callable[..., None]


class OpenGroup(DefaultGroup):
    """A group whose help includes the options of its default command, which it accepts itself."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the group's options, the commands, and the default command's options."""
        super().format_options(ctx, formatter)
        name = self.default_cmd_name or ""
        command = self.commands[name]
        own = click.Context(command, ctx, name, **command.context_settings)
        records = (parameter.get_help_record(own) for parameter in command.params)
        with formatter.section(f"Options of {name}, the default command"):
            formatter.write_dl([record for record in records if record])


def settings_options(*names: str) -> Callable[[Command], Command]:
    """Add an option for each of these settings to a command."""

    def decorate(command: Command) -> Command:
        for name in reversed(names):
            field = Settings.model_fields[name]
            option = click.option(
                f"--{name.replace('_', '-')}",
                default=field.default,
                type=_click_type(field.annotation),
                envvar=variables(name),
                show_envvar=True,
                help=field.description,
            )
            command = option(command)
        return command

    return decorate


def _click_type(annotation: Any) -> click.ParamType[Any] | None:
    """Return the option's click type; None if click infers it from the default."""
    if get_origin(annotation) is Literal:
        return click.Choice(get_args(annotation))
    # PositiveInt | None and the like have no default to infer it from.
    return click.INT if int in map(_plain, get_args(annotation)) else None


def _plain(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def read_settings(**options: Any) -> Settings:
    """Validate the options together.

    Raises:
        click.UsageError: an option is invalid; the message names it and its variables.
    """
    try:
        return Settings(**options)
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:  # it is about several settings
            raise click.UsageError(first["msg"].removeprefix("Value error, ")) from error
        name = str(first["loc"][0]).removeprefix(PREFIX).lower()
        flag = f"--{name.replace('_', '-')} ({', '.join(variables(name))})"
        shown = repr(first["input"]) if Settings.model_fields[name].repr else "invalid"
        raise click.UsageError(f"{flag} is {shown}: {first['msg']}") from error
