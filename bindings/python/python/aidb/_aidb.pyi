"""Stubs of the native module, written by hand; a test (mypy.stubtest) compares them with the module.

The docstrings of the module explain what each call does, raises and costs: ``help(aidb.DB.get)``.
"""

import sys
from collections.abc import Callable, Iterable
from types import GenericAlias, TracebackType
from typing import Any, Final, Generic, Literal, final, overload, type_check_only

from _typeshed import StrOrBytesPath
from typing_extensions import Buffer, Self, TypedDict, TypeVar, Unpack, disjoint_base

from .mapping import Mapping

__all__ = [
    "Cancellation",
    "DB",
    "ERROR_KINDS",
    "Iterator",
    "OPTIONS",
    "PrefixedDB",
    "RawIterator",
    "Reader",
    "Savepoint",
    "Snapshot",
    "Transaction",
    "ValueBuffer",
    "WriteBatch",
    "Writer",
    "__version__",
    "destroy_db",
    "repair_db",
]

__version__: Final[str]

OPTIONS: Final[tuple[str, ...]]
"""The canonical names of all options."""

ERROR_KINDS: Final[tuple[tuple[str, int, str], ...]]
"""Every kind of error: its name, its number, and its class in aidb.errors."""

_T = TypeVar("_T")
_U = TypeVar("_U")
_Entry_co = TypeVar("_Entry_co", covariant=True, default=Any)

@type_check_only
class OpenOptions(TypedDict, total=False):
    """Sizes are bytes, or text such as "64MiB"; None leaves the default (for compression: no compression)."""

    create_if_missing: bool | None
    """Creates the database if the directory is missing or empty. Default: True."""
    error_if_exists: bool | None
    """Refuses to open a database that exists. Default: False."""
    read_only: bool | None
    """Opens without writing anything: shares the directory with other readers, refuses a writer.
    Default: False."""
    write_buffer_size: int | str | None
    """Bytes of the memtable before it is sealed and flushed; up to three are held at once.
    Accepts a size from 4KiB to 16GiB. Default: 64MiB."""
    block_cache_size: int | str | None
    """Bytes of data blocks kept in memory; 0 keeps none. Accepts a size from 0 to 1TiB. Default:
    256MiB."""
    block_size: int | str | None
    """Bytes of a data block before compression. Accepts a size from 128 to 16MiB. Default: 4KiB."""
    block_restart_interval: int | str | None
    """Entries between two whole keys in a block. Accepts a whole number from 1 to 1024. Default:
    16."""
    compression: Literal["none", "snappy", "lz4", "zstd"] | None
    """The codec of new blocks; old ones stay readable. Default: snappy."""
    bloom_bits_per_key: int | str | None
    """Bloom filter bits per key of new tables; 10 let 1 % of absent keys through to the disk, 0
    builds no filter. Accepts a whole number from 0 to 32. Default: 10."""
    max_open_files: int | str | None
    """Tables kept open at once; 0 takes half of what the process may open. Accepts a whole
    number from 0 to 1048576. Default: 0."""
    level0_compaction_trigger: int | str | None
    """Tables in level 0 that start a compaction. Accepts a whole number from 1 to 64. Default:
    4."""
    level_base_size: int | str | None
    """Bytes of level 1 before it is compacted into level 2. Accepts a size from 4KiB to 1TiB.
    Default: 256MiB."""
    level_size_multiplier: int | str | None
    """How many times larger each level is than the one above. Accepts a whole number from 2 to
    100. Default: 10."""
    target_file_size: int | str | None
    """Bytes of a table before a compaction starts the next one. Accepts a size from 4KiB to
    64GiB. Default: 64MiB."""
    background_threads: int | str | None
    """Compaction threads, beside one thread that flushes. Accepts a whole number from 1 to 64.
    Default: 2."""
    lock_timeout: int | str | None
    """Whole milliseconds to wait for another opener to let the database go; 0 does not wait.
    Accepts milliseconds from 0 to 86400000. Default: 0."""
    transaction_timeout: int | str | None
    """Whole milliseconds after which a transaction that nobody uses is rolled back; 0: never.
    Accepts milliseconds from 0 to 86400000. Default: 600000."""
    info_log: StrOrBytesPath | None
    """Where the database writes what it does, a line per event; a file of the engine's own is
    refused. Accepts none, stderr or a path. Default: none."""
    info_log_file_size: int | str | None
    """Bytes of the info log's file before it is renamed to its name with .1 after it, and a new
    one begun; 0: never. Accepts a size from 0 to 1TiB. Default: 16MiB."""
    info_log_files: int | str | None
    """Files of the info log that are kept, renamed ones included; with 1 a full file is emptied.
    Accepts a whole number from 1 to 1000. Default: 4."""
    lru_cache_size: int | str | None
    """plyvel's name for block_cache_size."""
    bloom_filter_bits: int | str | None
    """plyvel's name for bloom_bits_per_key."""
    max_file_size: int | str | None
    """plyvel's name for target_file_size."""
    paranoid_checks: bool | None
    """Accepted for plyvel's sake; no effect: every byte from disk is checked."""

@type_check_only
class Damage(TypedDict):
    """One damaged place on disk; of kind "Internal", one that is intact but that AiDb reads wrongly."""

    file: str
    offset: int
    message: str
    kind: str

@type_check_only
class VerifyReport(TypedDict):
    """The result of DB.verify."""

    is_ok: bool
    is_complete: bool
    tables: int
    entries: int
    logs: int
    records: int
    bytes: int
    damaged_places: int
    damage: list[Damage]

@type_check_only
class Loss(TypedDict):
    """Bytes offset to end of a file that a repair could not read.

    Both are 0 if the file is missing, or if the repair read a whole table but found other entries
    than its properties state. None means unknown.
    """

    file: str
    offset: int
    end: int
    message: str
    smallest_key: bytes | None
    largest_key: bytes | None
    first_sequence: int | None
    last_sequence: int | None

@type_check_only
class RepairReport(TypedDict):
    """The result of repair_db: what it read, wrote and lost."""

    is_ok: bool
    tables: int
    table_entries: int
    logs: int
    log_records: int
    entries_written: int
    last_sequence: int
    lost_places: int
    lost: list[Loss]

@disjoint_base
class Reader:
    """The read methods: the base class of DB, PrefixedDB, Snapshot and Transaction."""

    @overload
    def get(
        self, key: Buffer, default: None = None, *, fill_cache: bool = True, verify_checksums: bool | None = None
    ) -> bytes | None: ...
    @overload
    def get(
        self, key: Buffer, default: _T, *, fill_cache: bool = True, verify_checksums: bool | None = None
    ) -> bytes | _T: ...
    @overload
    def get_many(
        self, keys: Iterable[Buffer], default: None = None, *, fill_cache: bool = True
    ) -> list[bytes | None]: ...
    @overload
    def get_many(self, keys: Iterable[Buffer], default: _T, *, fill_cache: bool = True) -> list[bytes | _T]: ...
    @overload
    def get_view(self, key: Buffer, default: None = None, *, fill_cache: bool = True) -> memoryview | None: ...
    @overload
    def get_view(self, key: Buffer, default: _T, *, fill_cache: bool = True) -> memoryview | _T: ...
    def _get_in_memory(self, key: Buffer, default: _T, unknown: _U) -> bytes | _T | _U: ...
    def __getitem__(self, key: Buffer, /) -> bytes: ...
    def __contains__(self, key: Buffer, /) -> bool: ...
    def __iter__(self) -> Iterator[tuple[bytes, bytes]]: ...
    def keys(self) -> Iterator[bytes]: ...
    def values(self) -> Iterator[bytes]: ...
    def items(self) -> Iterator[tuple[bytes, bytes]]: ...
    @overload
    def iterator(
        self,
        reverse: bool = False,
        start: Buffer | None = None,
        stop: Buffer | None = None,
        include_start: bool = True,
        include_stop: bool = False,
        prefix: Buffer | None = None,
        include_key: Literal[True] = True,
        include_value: Literal[True] = True,
        verify_checksums: bool | None = None,
        fill_cache: bool = True,
    ) -> Iterator[tuple[bytes, bytes]]: ...
    @overload
    def iterator(
        self,
        reverse: bool = False,
        start: Buffer | None = None,
        stop: Buffer | None = None,
        include_start: bool = True,
        include_stop: bool = False,
        prefix: Buffer | None = None,
        include_key: Literal[True] = True,
        *,
        include_value: Literal[False],
        verify_checksums: bool | None = None,
        fill_cache: bool = True,
    ) -> Iterator[bytes]: ...
    @overload
    def iterator(
        self,
        reverse: bool = False,
        start: Buffer | None = None,
        stop: Buffer | None = None,
        include_start: bool = True,
        include_stop: bool = False,
        prefix: Buffer | None = None,
        *,
        include_key: Literal[False],
        include_value: Literal[True] = True,
        verify_checksums: bool | None = None,
        fill_cache: bool = True,
    ) -> Iterator[bytes]: ...
    @overload
    def iterator(
        self,
        reverse: bool = False,
        start: Buffer | None = None,
        stop: Buffer | None = None,
        include_start: bool = True,
        include_stop: bool = False,
        prefix: Buffer | None = None,
        *,
        include_key: Literal[False],
        include_value: Literal[False],
        verify_checksums: bool | None = None,
        fill_cache: bool = True,
    ) -> Iterator[None]: ...
    @overload
    def iterator(
        self,
        reverse: bool = False,
        start: Buffer | None = None,
        stop: Buffer | None = None,
        include_start: bool = True,
        include_stop: bool = False,
        prefix: Buffer | None = None,
        include_key: bool = True,
        include_value: bool = True,
        verify_checksums: bool | None = None,
        fill_cache: bool = True,
    ) -> Iterator[Any]: ...
    def count(
        self,
        start: Buffer | None = None,
        stop: Buffer | None = None,
        *,
        prefix: Buffer | None = None,
        fill_cache: bool = False,
        progress: Callable[[int, int], object] | None = None,
    ) -> int: ...
    def raw_iterator(self, verify_checksums: bool | None = None, fill_cache: bool = True) -> RawIterator: ...

class Writer(Reader):
    """The read and write methods: the base class of DB and PrefixedDB."""

    def put(self, key: Buffer, value: Buffer, *, sync: bool = False) -> None: ...
    def delete(self, key: Buffer, *, sync: bool = False) -> None: ...
    def delete_range(
        self, start: Buffer | None = None, stop: Buffer | None = None, *, sync: bool = False
    ) -> None: ...
    def delete_prefix(self, prefix: Buffer, *, sync: bool = False) -> None: ...
    def __setitem__(self, key: Buffer, value: Buffer, /) -> None: ...
    def __delitem__(self, key: Buffer, /) -> None: ...
    def write_batch(self, transaction: bool = False, sync: bool = False) -> WriteBatch: ...
    def transaction(self, *, read_only: bool = False, sync: bool = False) -> Transaction: ...
    def begin(self, *, read_only: bool = False) -> Transaction: ...
    def run_transaction(self, f: Callable[[Transaction], _T], attempts: int = 10, *, sync: bool = False) -> _T: ...
    def compare_and_set(
        self, key: Buffer, expected: Buffer | None, value: Buffer | None, *, sync: bool = False
    ) -> bool: ...
    def put_if_absent(self, key: Buffer, value: Buffer, *, sync: bool = False) -> bool: ...
    def get_and_put(self, key: Buffer, value: Buffer, *, sync: bool = False) -> bytes | None: ...
    def get_and_delete(self, key: Buffer, *, sync: bool = False) -> bytes | None: ...
    def snapshot(self) -> Snapshot: ...
    def prefixed_db(self, prefix: Buffer) -> PrefixedDB: ...
    def mapping(self) -> Mapping: ...

@disjoint_base
class DB(Writer):
    """An open database: an ordered map from byte-string keys to byte-string values."""

    def __new__(cls, name: StrOrBytesPath, **options: Unpack[OpenOptions]) -> Self: ...
    @property
    def name(self) -> str: ...
    @property
    def closed(self) -> bool: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exception: object) -> None: ...
    def flush(self) -> None: ...
    def compact_range(self, start: Buffer | None = None, stop: Buffer | None = None) -> None: ...
    def approximate_size(self, start: Buffer | None = None, stop: Buffer | None = None) -> int: ...
    def approximate_sizes(self, *ranges: tuple[Buffer | None, Buffer | None]) -> list[int]: ...
    def approximate_count(self, start: Buffer | None = None, stop: Buffer | None = None) -> int: ...
    @overload
    def get_property(self, name: str) -> str | None: ...
    @overload
    def get_property(self, name: Buffer) -> bytes | None: ...
    def stats(self) -> dict[str, Any]: ...
    def checkpoint(self, path: StrOrBytesPath) -> None: ...
    def verify(self, progress: Callable[[int, int], object] | None = None) -> VerifyReport: ...

@final
class PrefixedDB(Writer):
    """The entries of a database whose keys begin with a prefix, under their keys without it."""

    @property
    def prefix(self) -> bytes: ...
    @property
    def db(self) -> Writer: ...

@final
class Snapshot(Reader):
    """Reads at one point in the sequence of writes."""

    @property
    def closed(self) -> bool: ...
    @property
    def sequence(self) -> int: ...
    def close(self) -> None: ...
    def release(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exception: object) -> None: ...

@final
class Transaction(Reader):
    """Reads and writes that take place at once, or not at all."""

    def put(self, key: Buffer, value: Buffer) -> None: ...
    def delete(self, key: Buffer) -> None: ...
    def delete_range(self, start: Buffer | None = None, stop: Buffer | None = None) -> None: ...
    def delete_prefix(self, prefix: Buffer) -> None: ...
    def __setitem__(self, key: Buffer, value: Buffer, /) -> None: ...
    def __delitem__(self, key: Buffer, /) -> None: ...
    def write(self, batch: WriteBatch) -> None: ...
    def savepoint(self) -> Savepoint: ...
    def rollback_to(self, savepoint: Savepoint) -> None: ...
    def commit(self, *, sync: bool | None = None) -> int: ...
    def rollback(self) -> None: ...
    @property
    def sequence(self) -> int | None: ...
    @property
    def closed(self) -> bool: ...
    def _pause_after(self, conflicts: int) -> float: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

@final
class Savepoint:
    """A point within a transaction to which its writes can be taken back."""

@final
class WriteBatch:
    """Puts, deletes and range deletes that the database applies together, all or none."""

    def put(self, key: Buffer, value: Buffer) -> None: ...
    def delete(self, key: Buffer) -> None: ...
    def delete_range(self, start: Buffer | None = None, stop: Buffer | None = None) -> None: ...
    def delete_prefix(self, prefix: Buffer) -> None: ...
    def append(self, source: WriteBatch) -> None: ...
    def clear(self) -> None: ...
    def write(self) -> None: ...
    @property
    def sequence(self) -> int | None: ...
    def approximate_size(self) -> int: ...
    def __len__(self) -> int: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

@final
class Iterator(Generic[_Entry_co]):
    """Visits the entries of a range, in both directions; its position is between two entries."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> _Entry_co: ...
    def prev(self) -> _Entry_co: ...
    def seek(self, target: Buffer) -> None: ...
    def seek_to_start(self) -> None: ...
    def seek_to_stop(self) -> None: ...
    @property
    def closed(self) -> bool: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exception: object) -> None: ...
    @classmethod
    def __class_getitem__(cls, entry: Any) -> GenericAlias: ...

@final
class RawIterator:
    """Visits all entries with the interface of LevelDB's iterator; it stands on an entry or on none."""

    def valid(self) -> bool: ...
    def seek_to_first(self) -> None: ...
    def seek_to_last(self) -> None: ...
    def seek(self, target: Buffer) -> None: ...
    def next(self) -> None: ...
    def prev(self) -> None: ...
    def key(self) -> bytes: ...
    def value(self) -> bytes: ...
    def item(self) -> tuple[bytes, bytes]: ...
    @property
    def closed(self) -> bool: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exception: object) -> None: ...

@final
class Cancellation:
    """Ends another thread's wait for its calls, as Ctrl-C does in the main thread."""

    def __new__(cls) -> Self: ...
    def run(self, call: Callable[[], _T]) -> _T: ...
    def cancel(self) -> None: ...

@final
class ValueBuffer:
    """Holds a value and lends its bytes to the memoryview that get_view returns."""

    def __len__(self) -> int: ...
    if sys.version_info >= (3, 12):
        def __buffer__(self, flags: int, /) -> memoryview: ...

def destroy_db(name: StrOrBytesPath, **options: Unpack[OpenOptions]) -> None: ...
def repair_db(name: StrOrBytesPath, into: StrOrBytesPath, **options: Unpack[OpenOptions]) -> RepairReport: ...
