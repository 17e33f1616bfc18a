"""Train, export and evaluate the bundled models: `python -m training`."""

import os
from typing import IO, Any

import click

# Set before ONNX Runtime is imported, or it sends telemetry to Microsoft (see its Privacy.md).
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# Set before TensorFlow is imported, or it logs its build options between our lines.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Set before TensorFlow is imported: by default it uses oneDNN only on processors with AVX-512 VNNI
# or newer. On a Zen 3, epochs without oneDNN take 1.25 (`final`) to 1.6 times (`second`) as long.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# HDF5's own locks fail checkpoints on file systems that have none; a run folder has its lock file.
os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")


# How to resume a run; --fresh would start over.
SAME_COMMAND = "the same command without --fresh"


class TrainingError(click.ClickException):
    """Ends the command with a one-line message for the user."""


class StoppedError(TrainingError):
    """Ends the command after Ctrl-C; the message says what is kept and how to resume."""

    exit_code = 130

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message without the prefix "Error: ", because nothing went wrong."""
        click.echo(self.message, file=file, err=True)


class WorkerError(TrainingError):
    """The workers of a distributed training cannot start together, or one was lost."""
