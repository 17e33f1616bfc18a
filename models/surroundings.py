"""What libraries expect of the system: the command lines import this before anything else."""

import os
import sys
import tempfile


def open_streams() -> None:
    """Open the standard streams that are closed (`2>&-`, pythonw), so that they can be used.

    Else the next file to be opened gets the number of a closed one, and messages end up in it.
    """
    for name, flags in (("stdin", os.O_RDONLY), ("stdout", os.O_RDONLY), ("stderr", os.O_WRONLY)):
        if getattr(sys, name) is None:
            # Standard output cannot be written: results that nobody gets are an error.
            stream = os.open(os.devnull, flags)
            setattr(sys, name, os.fdopen(stream, "r" if name == "stdin" else "w"))


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
