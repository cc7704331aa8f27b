"""A database as a mapping, as :meth:`aidb.DB.mapping` returns it."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, MutableMapping, ValuesView
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._aidb import Writer

__all__ = ["Mapping"]


class Mapping(MutableMapping[bytes, bytes]):
    """A database, or a prefixed view of one, as a ``MutableMapping`` of bytes to bytes, sorted by key.

    The mapping holds nothing itself: close the database, not the mapping. Errors are those of the database. ``len``
    walks all entries. Methods that read and then write (``del``, ``pop``, ``setdefault``) are not atomic against other
    threads; a :class:`aidb.Transaction` is.
    """

    __slots__ = ("db",)

    def __init__(self, db: Writer) -> None:
        """Make a mapping of ``db``, a ``DB`` or ``PrefixedDB``."""
        self.db = db

    def __getitem__(self, key: bytes) -> bytes:
        return self.db[key]

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self.db.put(key, value)

    def __delitem__(self, key: bytes) -> None:
        if key not in self.db:
            raise KeyError(key)
        self.db.delete(key)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, (bytes, bytearray, memoryview)) and key in self.db

    def __iter__(self) -> Iterator[bytes]:
        return self.db.keys()

    def __reversed__(self) -> Iterator[bytes]:
        return self.db.iterator(reverse=True, include_value=False)

    def __len__(self) -> int:
        return self.db.count()

    def items(self) -> ItemsView[bytes, bytes]:
        """Return a view of the pairs; each walk of it sees one point in time."""
        return _Items(self)

    def values(self) -> ValuesView[bytes]:
        """Return a view of the values; each walk of it sees one point in time."""
        return _Values(self)

    def popitem(self) -> tuple[bytes, bytes]:
        """Remove and return the entry with the smallest key; KeyError if there is none."""
        with self.db.iterator() as entries:
            for key, value in entries:
                self.db.delete(key)
                return key, value
        raise KeyError("the database is empty")

    def clear(self) -> None:
        """Remove all entries, by one write."""
        self.db.delete_range()

    def __repr__(self) -> str:
        return f"<aidb.mapping.Mapping of {self.db!r}>"


class _Items(ItemsView[bytes, bytes]):
    """Walks pairs as of one point in time; the inherited view would get each value separately."""

    __slots__ = ()
    _mapping: Mapping

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return self._mapping.db.items()

    def __reversed__(self) -> Iterator[tuple[bytes, bytes]]:
        return self._mapping.db.iterator(reverse=True)


class _Values(ValuesView[bytes]):
    """Walks values as of one point in time."""

    __slots__ = ()
    _mapping: Mapping

    def __iter__(self) -> Iterator[bytes]:
        return self._mapping.db.values()

    def __reversed__(self) -> Iterator[bytes]:
        return self._mapping.db.iterator(reverse=True, include_key=False)

    def __contains__(self, value: object) -> bool:
        return any(value == stored for stored in self)
