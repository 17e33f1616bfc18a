"""Train, export and evaluate the bundled models: `python -m training`."""

import os
from typing import IO, Any

import click
from pydantic import ValidationError

# Before ONNX Runtime is imported: otherwise it reports its use to Microsoft (its Privacy.md).
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# Before TensorFlow is imported: otherwise it logs what it was compiled with, among our lines.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


class TrainingError(click.ClickException):
    """Ends the command with one line, for the person who gave it."""


class StoppedError(TrainingError):
    """Ends the command after Ctrl-C; the message says what is kept and how to go on."""

    exit_code = 130

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message alone: nothing went wrong."""
        click.echo(self.message, file=file, err=True)


def first_reason(error: ValidationError) -> str:
    """Return the first validation error, after the name of its field."""
    first = error.errors()[0]
    return ": ".join([*map(str, first["loc"]), first["msg"]])
