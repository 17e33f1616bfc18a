"""A lock on an open file, by which `training` and `serving classify` keep out a second run."""

from typing import IO, Any

import click
import portalocker


def lock(file: IO[Any], *, wait: bool = False) -> None:
    """Lock a file until it is closed, or the process ends.

    Some file systems have no locks (NFS without lockd, SMB, FUSE). There, a line on standard error
    says so, and the run goes on without.

    Raises:
        portalocker.AlreadyLocked: another process holds the lock, and `wait` is false.
    """
    try:
        portalocker.lock(file, portalocker.LOCK_EX | (0 if wait else portalocker.LOCK_NB))
    except portalocker.AlreadyLocked:
        raise
    except portalocker.LockException as error:
        click.echo(
            f"Warning: {file.name} cannot be locked ({error.strerror}), as its file system has no "
            "locks; going on without, so start no second run that writes there",
            err=True,
        )
