"""AiDb: an embedded, ordered key-value store.

>>> import aidb, tempfile
>>> with tempfile.TemporaryDirectory() as directory, aidb.open(directory) as db:
...     db.put(b"fruit", b"apple")
...     db.get(b"fruit")
b'apple'

The methods are those of plyvel, and more. Keys and values are bytes. A write survives a process crash once its call has
returned. With ``sync=True`` it survives power loss, together with every write acknowledged before it. ``flush``,
``close`` and leaving a ``with`` block do the same for all earlier writes.

Differences from plyvel: a missing database is created unless ``create_if_missing=False``; writes take ``sync``, and
reads ``fill_cache``, as keywords; a prefix and bounds can be combined; checksums are always verified; errors have more
classes (:mod:`aidb.errors`); keys always sort bytewise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import errors
from ._aidb import (
    DB,
    OPTIONS,
    Iterator,
    PrefixedDB,
    RawIterator,
    Reader,
    Savepoint,
    Snapshot,
    Transaction,
    WriteBatch,
    Writer,
    __version__,
    destroy_db,
    repair_db,
)
from .errors import (
    ClosedError,
    ConflictError,
    CorruptionError,
    Error,
    InternalError,
    InvalidArgumentError,
    IOError,
    IteratorInvalidError,
    LockedError,
    NoSpaceError,
    OutOfMemoryError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from _typeshed import StrOrBytesPath
    from typing_extensions import Unpack

    from ._aidb import OpenOptions

__all__ = [
    "DB",
    "OPTIONS",
    "ClosedError",
    "ConflictError",
    "CorruptionError",
    "Error",
    "IOError",
    "InternalError",
    "InvalidArgumentError",
    "Iterator",
    "IteratorInvalidError",
    "LockedError",
    "NoSpaceError",
    "OutOfMemoryError",
    "PrefixedDB",
    "RawIterator",
    "Reader",
    "Savepoint",
    "Snapshot",
    "Transaction",
    "UnsupportedError",
    "WriteBatch",
    "Writer",
    "__version__",
    "destroy_db",
    "errors",
    "open",
    "repair_db",
]


def open(path: StrOrBytesPath, **options: Unpack[OpenOptions]) -> DB:
    """Open the database in the directory ``path`` and return its :class:`DB`; see there for options and errors."""
    return DB(path, **options)
