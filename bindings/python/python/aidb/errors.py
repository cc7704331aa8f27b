"""The exceptions of AiDb, all under :class:`Error`.

Each class stands for a different reaction of a program; docs/errors.md has the same table for every language. A missing
key is not an error. Errors can be pickled. Errors of the operating system carry its ``errno``.
"""

from __future__ import annotations

import builtins
import datetime
import errno as _errno

__all__ = [
    "ClosedError",
    "ConflictError",
    "CorruptionError",
    "Error",
    "IOError",
    "InternalError",
    "InvalidArgumentError",
    "IteratorInvalidError",
    "LockedError",
    "NoSpaceError",
    "OutOfMemoryError",
    "UnsupportedError",
]


class Error(Exception):
    """The base of every exception of AiDb.

    ``code``: the kind's number, the same as the status of the C library.
    """

    code: int = 0

    @property
    def is_retryable(self) -> bool:
        """Whether the same call may succeed later without any change to it."""
        return False


class InvalidArgumentError(Error, ValueError):
    """An argument or option is out of its range, or a directory is not a database: fix the call."""

    code = 1


class IteratorInvalidError(InvalidArgumentError):
    """A raw iterator is on no entry: check ``valid()`` first."""


class IOError(Error, builtins.OSError):
    """The operating system refused a file operation: check the disk, then call again; no reopening."""

    code = 2

    @property
    def is_retryable(self) -> bool:
        """Whether the operating system only asked to try again."""
        return self.errno in (_errno.EINTR, _errno.EAGAIN)


class NoSpaceError(IOError):
    """The disk or a quota is full: free space and write again; no reopening is needed."""

    code = 10

    @property
    def is_retryable(self) -> bool:
        """True: it may succeed once there is space again."""
        return True


class OutOfMemoryError(Error, builtins.MemoryError):
    """There is no memory for this call: free some and call again; no reopening is needed."""

    code = 11

    @property
    def is_retryable(self) -> bool:
        """True: it may succeed once there is memory again."""
        return True


class CorruptionError(Error):
    """Bytes on disk differ from the written ones; the message names file and offset: restore a backup or repair."""

    code = 3


class LockedError(Error):
    """Another opener holds the database: close it there first.

    ``pid`` (int), ``host`` (str) and ``since`` (a :class:`datetime.datetime` in UTC) say who holds it and when it was
    opened; each is None if the holder left no name, as readers do not.
    """

    code = 4

    def __init__(self, message: str = "", pid: int | None = None, host: str | None = None, since: str | None = None) -> None:
        """``since`` is text as in the lock file: ``2026-01-31 09:05:00 UTC``."""
        super().__init__(message)
        self.pid = pid
        self.host = host
        self.since = _time(since)

    @property
    def is_retryable(self) -> bool:
        """True: it may succeed once the other opener has closed the database."""
        return True


def _time(text: str | None) -> datetime.datetime | None:
    try:
        return datetime.datetime.strptime(text or "", "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=datetime.timezone.utc)
    except ValueError:
        return None


class ConflictError(Error):
    """Another commit changed what a transaction has read, or nobody used it for too long: run it again."""

    code = 5

    @property
    def is_retryable(self) -> bool:
        """True: a new transaction may succeed."""
        return True


class ClosedError(Error, RuntimeError):
    """The handle or its database has been closed: open it again."""

    code = 6


class UnsupportedError(Error):
    """A newer AiDb wrote the database, or the call needs something that this build or platform lacks: upgrade."""

    code = 7


class InternalError(Error):
    """An invariant of AiDb does not hold: this is our bug, please report it."""

    code = 8
