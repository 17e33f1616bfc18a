"""Prepare what libraries expect of the system; the command lines import this first."""

import os
import sys
import tempfile


def open_streams() -> None:
    """Open standard streams that are closed (`2>&-`, pythonw).

    Otherwise the next opened file gets the number of a closed stream, and messages end up in it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115


def check_temporary_folder() -> None:
    """End the process with one line if no folder can hold temporary files."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        sys.exit(
            f"Error: {error.strerror}; make one of them writable (docker run --tmpfs /tmp), or set "
            "TMPDIR"
        )


open_streams()
check_temporary_folder()
