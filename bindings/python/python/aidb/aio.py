"""AiDb for asyncio: the same database with awaitable calls.

>>> import asyncio, tempfile
>>> from aidb import aio
>>> async def main(directory):
...     async with await aio.open(directory) as db:
...         await db.put(b"fruit", b"apple")
...         return [entry async for entry in db.iterator()]
>>> with tempfile.TemporaryDirectory() as directory:
...     asyncio.run(main(directory))
[(b'fruit', b'apple')]

Each database runs its calls on a few threads of its own, so the event loop never waits for the disk; names, arguments,
results and errors are those of :class:`aidb.DB`. A `get` that needs only memory returns at once, without a thread (not
in a transaction); after 200 of those in a row the event loop gets a turn. If a task is cancelled, its call still runs to
its end in its thread: a cancelled write may have been applied, and a cancelled step of an iterator loses no entry. Long
calls end with their task, or with the interpreter, as Ctrl-C ends them for :class:`aidb.DB`: ``verify``, ``count``,
``get_many`` and the wait of ``open`` stop; ``flush``, ``compact_range`` and ``checkpoint`` continue in the background
until they are done or the database is closed.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import aidb

from ._aidb import Cancellation

if TYPE_CHECKING:
    from types import TracebackType

    from _typeshed import StrOrBytesPath
    from typing_extensions import Buffer, ParamSpec, Self, Unpack

    from ._aidb import OpenOptions, VerifyReport

    _P = ParamSpec("_P")

__all__ = ["DB", "Iterator", "Reader", "Snapshot", "Transaction", "WriteBatch", "open"]

_T = TypeVar("_T")

# How many entries an iterator takes from its thread at once.
_CHUNK_ENTRIES = 512
# How many the iterator of a transaction takes first, because what it takes counts as read; then twice as many each
# time.
_FIRST_ENTRIES = 1
_THREADS = 4
# How many calls may return at once before the event loop gets a turn.
_CALLS_PER_TURN = 200
# No database holds this: a look at memory returns it if it finds no answer there.
_UNKNOWN: Any = object()


# The long calls that are running.
_cancellations: set[Cancellation] = set()


def _cancel_all() -> None:
    for cancellation in list(_cancellations):
        cancellation.cancel()


# The interpreter waits at its end for the threads of every pool, also if a program left a loop without cancelling its
# tasks. It calls the last registered function first, and the pools registered theirs when they were imported.
getattr(threading, "_register_atexit", lambda call: None)(_cancel_all)


class _Calls:
    """Runs calls in other threads."""

    def start(self, call: Callable[[], _T]) -> asyncio.Future[_T]:
        """Run ``call`` in another thread."""
        raise NotImplementedError

    async def turn(self) -> None:
        """Let the event loop run, now and then."""
        raise NotImplementedError

    async def run(self, call: Callable[_P, _T], *arguments: _P.args, **keywords: _P.kwargs) -> _T:
        return await self.start(partial(call, *arguments, **keywords))

    async def run_cancellable(
        self, call: Callable[_P, _T], *arguments: _P.args, **keywords: _P.kwargs
    ) -> _T:
        """Run a call that may take long; if the waiting task is cancelled, end the wait for the call too."""
        cancellation = Cancellation()
        _cancellations.add(cancellation)
        try:
            return await self.run(cancellation.run, partial(call, *arguments, **keywords))
        except BaseException:
            # Also if the program only drops the task.
            cancellation.cancel()
            raise
        finally:
            _cancellations.discard(cancellation)


class _Worker(_Calls):
    """The threads of one database."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="aidb")
        self._stopped = False
        self._process = os.getpid()
        self._calls = 0

    async def turn(self) -> None:
        """Let the event loop run, now and then."""
        self._calls += 1
        if self._calls >= _CALLS_PER_TURN:
            self._calls = 0
            await asyncio.sleep(0)

    def has_threads(self) -> bool:
        """Whether the database is open, and this is the process that opened it."""
        return not self._stopped and self._process == os.getpid()

    def start(self, call: Callable[[], _T]) -> asyncio.Future[_T]:
        """Run ``call`` in a thread of the pool.

        Runs it in this thread, so that it fails at once, if the database is closed or belongs to a parent process.
        """
        loop = asyncio.get_running_loop()
        if self.has_threads():
            return loop.run_in_executor(self._threads, call)
        answer = loop.create_future()
        try:
            answer.set_result(call())
        except Exception as error:
            answer.set_exception(error)
        return answer

    def stop(self) -> None:
        self._stopped = True
        if self._process == os.getpid():
            self._threads.shutdown(wait=False)


class _InTurn(_Calls):
    """The threads of a database for the calls of one transaction, which they make one after the other.

    A call whose task was cancelled is still made, and the next one waits for it.
    """

    def __init__(self, worker: _Worker) -> None:
        self._worker = worker
        self._turn = threading.Lock()

    async def turn(self) -> None:
        await self._worker.turn()

    def start(self, call: Callable[[], _T]) -> asyncio.Future[_T]:
        # Without threads the call fails at once. In a forked child a thread of the parent may have the turn for ever.
        return self._worker.start(partial(self._make, call) if self._worker.has_threads() else call)

    def _make(self, call: Callable[[], _T]) -> _T:
        with self._turn:
            return call()


class Reader:
    """The read methods: the base class of :class:`DB`, :class:`Snapshot` and :class:`Transaction`."""

    def __init__(self, reader: aidb.Reader, worker: _Calls) -> None:
        """Made by :func:`open`, :meth:`DB.snapshot` and :meth:`DB.begin`."""
        self._reader = reader
        self._worker = worker

    async def get(self, key: Buffer, default: Any = None, *, fill_cache: bool = True) -> Any:
        """Return the value stored under ``key`` as bytes, or ``default``."""
        value = self._reader._get_in_memory(key, default, _UNKNOWN)
        if value is not _UNKNOWN:
            await self._worker.turn()
            return value
        return await self._worker.run(self._reader.get, key, default, fill_cache=fill_cache)

    async def get_many(self, keys: Iterable[Buffer], default: Any = None, *, fill_cache: bool = True) -> list[Any]:
        """Return the values of ``keys`` in their order, all read at one point in the sequence of writes."""
        return await self._worker.run_cancellable(self._reader.get_many, list(keys), default, fill_cache=fill_cache)

    async def get_view(self, key: Buffer, default: Any = None, *, fill_cache: bool = True) -> Any:
        """Return the value stored under ``key`` as a read-only memoryview, or ``default``."""
        return await self._worker.run(self._reader.get_view, key, default, fill_cache=fill_cache)

    async def count(
        self,
        start: Buffer | None = None,
        stop: Buffer | None = None,
        *,
        prefix: Buffer | None = None,
        fill_cache: bool = False,
        progress: Callable[[int, int], object] | None = None,
    ) -> int:
        """Return how many entries there are, as :meth:`aidb.DB.count`; ``progress`` is called in another thread."""
        return await self._worker.run_cancellable(
            self._reader.count, start, stop, prefix=prefix, fill_cache=fill_cache, progress=progress
        )

    def iterator(self, **keywords: Any) -> Iterator[Any]:
        """Return an asynchronous iterator over a range; the keywords are those of :meth:`aidb.DB.iterator`.

        It sees the entries as they were at one point in the sequence of writes: at its first entry, or at the snapshot.
        That of a transaction sees the transaction's writes as they are at its first entry.
        """
        return Iterator(self._reader, self._worker, keywords)

    def __aiter__(self) -> Iterator[Any]:
        return self.iterator()


class DB(Reader):
    """An open database with awaitable calls; from :func:`open`. Leaving its ``async with`` block closes it."""

    _reader: aidb.DB
    _worker: _Worker

    @property
    def name(self) -> str:
        """The directory, as the caller gave it."""
        return self._reader.name

    @property
    def closed(self) -> bool:
        """Whether the database has been closed."""
        return self._reader.closed

    async def put(self, key: Buffer, value: Buffer, *, sync: bool = False) -> None:
        """Store ``value`` under ``key``; ``sync`` waits until it survives a power loss."""
        await self._worker.run(self._reader.put, key, value, sync=sync)

    async def delete(self, key: Buffer, *, sync: bool = False) -> None:
        """Remove ``key``; removing an absent key is not an error."""
        await self._worker.run(self._reader.delete, key, sync=sync)

    async def delete_range(
        self, start: Buffer | None = None, stop: Buffer | None = None, *, sync: bool = False
    ) -> None:
        """Remove all keys from ``start`` to ``stop`` (excluded) with one small write, as :meth:`aidb.DB.delete_range`."""
        await self._worker.run(self._reader.delete_range, start, stop, sync=sync)

    async def delete_prefix(self, prefix: Buffer, *, sync: bool = False) -> None:
        """Remove all keys that begin with ``prefix``, as :meth:`aidb.DB.delete_prefix`."""
        await self._worker.run(self._reader.delete_prefix, prefix, sync=sync)

    def write_batch(self, transaction: bool = False, sync: bool = False) -> WriteBatch:
        """Return an empty batch; an ``async with`` block writes it at its end, as the batch of :class:`aidb.DB`."""
        return WriteBatch(self._reader.write_batch(transaction, sync), self._worker, transaction)

    @asynccontextmanager
    async def transaction(self, *, read_only: bool = False, sync: bool = False) -> AsyncIterator[Transaction]:
        """Begin a transaction for an ``async with`` block, which commits at its end, and rolls back if it raises.

        Arguments and errors are those of :meth:`aidb.DB.transaction`.
        """
        async with await self._begin(read_only, sync) as transaction:
            yield transaction

    async def begin(self, *, read_only: bool = False) -> Transaction:
        """Begin a transaction; end it with ``commit`` or ``rollback``."""
        return await self._begin(read_only, False)

    async def _begin(self, read_only: bool, sync: bool) -> Transaction:
        begin = partial(self._reader.transaction, read_only=read_only, sync=sync)
        return Transaction(await self._worker.run(begin), self._worker)

    async def run_transaction(
        self, f: Callable[[Transaction], Awaitable[_T]], attempts: int = 10, *, sync: bool = False
    ) -> _T:
        """Await ``f`` with a new transaction, commit it, and return the result of ``f``; again after a conflict.

        ``f`` is an asynchronous function; otherwise as :meth:`aidb.DB.run_transaction`.
        """
        if attempts < 1:
            raise aidb.InvalidArgumentError(f"attempts is {attempts}: it is 1 or more")
        conflicts = 0
        while True:
            transaction = await self._begin(False, sync)
            try:
                result = await f(transaction)
                await transaction.commit()
                return result
            except aidb.ConflictError as conflict:
                conflicts += 1
                if conflicts >= attempts:
                    raise aidb.ConflictError(f"after {attempts} attempts: {conflict}") from conflict
            finally:
                await transaction.rollback()
            await asyncio.sleep(transaction._pause_after(conflicts))

    async def compare_and_set(
        self, key: Buffer, expected: Buffer | None, value: Buffer | None, *, sync: bool = False
    ) -> bool:
        """Make the value under ``key`` ``value`` if it is ``expected``, as :meth:`aidb.DB.compare_and_set`."""
        return await self._worker.run(self._reader.compare_and_set, key, expected, value, sync=sync)

    async def put_if_absent(self, key: Buffer, value: Buffer, *, sync: bool = False) -> bool:
        """Store ``value`` under ``key`` unless the key has a value; return whether it did."""
        return await self._worker.run(self._reader.put_if_absent, key, value, sync=sync)

    async def get_and_put(self, key: Buffer, value: Buffer, *, sync: bool = False) -> bytes | None:
        """Store ``value`` under ``key`` and return the value that the key had before, or None."""
        return await self._worker.run(self._reader.get_and_put, key, value, sync=sync)

    async def get_and_delete(self, key: Buffer, *, sync: bool = False) -> bytes | None:
        """Remove ``key`` and return the value that it had, or None."""
        return await self._worker.run(self._reader.get_and_delete, key, sync=sync)

    async def snapshot(self) -> Snapshot:
        """Return a snapshot: reads at this point in the sequence of writes, until it is closed."""
        return Snapshot(await self._worker.run(self._reader.snapshot), self._worker)

    async def flush(self) -> None:
        """Write every write acknowledged so far to tables, durably."""
        await self._worker.run_cancellable(self._reader.flush)

    async def compact_range(self, start: Buffer | None = None, stop: Buffer | None = None) -> None:
        """Compact the keys from ``start`` to ``stop`` (excluded): frees the space of deleted entries."""
        await self._worker.run_cancellable(self._reader.compact_range, start, stop)

    async def approximate_size(
        self, start: Buffer | None = None, stop: Buffer | None = None
    ) -> int:
        """Return about how many bytes of files the keys from ``start`` to ``stop`` take."""
        return await self._worker.run(self._reader.approximate_size, start, stop)

    async def approximate_count(
        self, start: Buffer | None = None, stop: Buffer | None = None
    ) -> int:
        """Return about how many entries have keys from ``start`` to ``stop``, as :meth:`aidb.DB.approximate_count`."""
        return await self._worker.run(self._reader.approximate_count, start, stop)

    async def get_property(self, name: str) -> str | None:
        """Return the report with this name, or None for an unknown name."""
        return await self._worker.run(self._reader.get_property, name)

    async def stats(self) -> dict[str, Any]:
        """Return counters since the database was opened and current sizes."""
        return await self._worker.run(self._reader.stats)

    async def checkpoint(self, path: StrOrBytesPath) -> None:
        """Make a consistent copy in the directory ``path``, as :meth:`aidb.DB.checkpoint`."""
        await self._worker.run_cancellable(self._reader.checkpoint, path)

    async def verify(self, progress: Callable[[int, int], object] | None = None) -> VerifyReport:
        """Check everything on disk, as :meth:`aidb.DB.verify`; ``progress`` is called in a thread of the database."""
        return await self._worker.run_cancellable(self._reader.verify, progress)

    async def close(self) -> None:
        """Close the database, as :meth:`aidb.DB.close`; closing again is not an error."""
        try:
            await self._worker.run(self._reader.close)
        finally:
            self._worker.stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()


class Snapshot(Reader):
    """Reads at one point in the sequence of writes; leaving its ``async with`` block closes it."""

    _reader: aidb.Snapshot

    @property
    def closed(self) -> bool:
        """Whether the snapshot or its database has been closed."""
        return self._reader.closed

    @property
    def sequence(self) -> int:
        """The sequence number of the last write that the snapshot sees; 0 if it sees none."""
        return self._reader.sequence

    async def close(self) -> None:
        """Release the snapshot; closing again is not an error."""
        self._reader.close()

    async def release(self) -> None:
        """:meth:`close` by the name that LevelDB gives it."""
        await self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()


class Transaction(Reader):
    """Reads and writes that take place at once, or not at all, as :class:`aidb.Transaction`.

    Leaving its ``async with`` block commits it, or rolls it back if the block raises or its task is cancelled. Tasks
    may share it: its calls are made one after the other. The first step of an iterator reads only the entry that it
    returns. Later ones read ahead about as many entries as it has passed, and these count as read, too.
    """

    _reader: aidb.Transaction

    def __init__(self, transaction: aidb.Transaction, worker: _Worker) -> None:
        """Made by :meth:`DB.transaction` and :meth:`DB.begin`."""
        super().__init__(transaction, _InTurn(worker))

    async def put(self, key: Buffer, value: Buffer) -> None:
        """Store ``value`` under ``key`` when the transaction commits."""
        await self._worker.run(self._reader.put, key, value)

    async def delete(self, key: Buffer) -> None:
        """Remove ``key`` when the transaction commits."""
        await self._worker.run(self._reader.delete, key)

    async def delete_range(self, start: Buffer | None = None, stop: Buffer | None = None) -> None:
        """Remove all keys from ``start`` to ``stop`` (excluded) when the transaction commits."""
        await self._worker.run(self._reader.delete_range, start, stop)

    async def delete_prefix(self, prefix: Buffer) -> None:
        """Remove all keys that begin with ``prefix`` when the transaction commits."""
        await self._worker.run(self._reader.delete_prefix, prefix)

    async def write(self, batch: WriteBatch) -> None:
        """Add all operations of a batch to the transaction; they stay in the batch."""
        await self._worker.run(self._reader.write, batch._batch)

    async def savepoint(self) -> aidb.Savepoint:
        """Return a point to which :meth:`rollback_to` takes the writes back."""
        return await self._worker.run(self._reader.savepoint)

    async def rollback_to(self, savepoint: aidb.Savepoint) -> None:
        """Take back every write since ``savepoint``, and forget the savepoints after it."""
        await self._worker.run(self._reader.rollback_to, savepoint)

    async def commit(self, *, sync: bool | None = None) -> int:
        """Make the writes visible, all at once, and return the sequence number; as :meth:`aidb.Transaction.commit`."""
        return await self._worker.run(self._reader.commit, sync=sync)

    async def rollback(self) -> None:
        """End the transaction without writing anything; no error if it has ended already."""
        self._reader.rollback()

    @property
    def sequence(self) -> int | None:
        """The sequence number that the commit returned, as :attr:`aidb.Transaction.sequence`."""
        return self._reader.sequence

    @property
    def closed(self) -> bool:
        """Whether the transaction has ended in any way, or its database has been closed."""
        return self._reader.closed

    def _pause_after(self, conflicts: int) -> float:
        return self._reader._pause_after(conflicts)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            await self._worker.run(self._reader.__exit__, None, None, None)
        else:
            self._reader.rollback()


class WriteBatch:
    """Writes that the database applies together, all or none; only :meth:`write` is awaitable."""

    def __init__(self, batch: aidb.WriteBatch, worker: _Worker, transaction: bool) -> None:
        """Made by :meth:`DB.write_batch`."""
        self._batch = batch
        self._worker = worker
        self._transaction = transaction
        self.put = batch.put
        self.delete = batch.delete
        self.delete_range = batch.delete_range
        self.delete_prefix = batch.delete_prefix
        self.clear = batch.clear
        self.approximate_size = batch.approximate_size

    def __len__(self) -> int:
        return len(self._batch)

    async def write(self) -> None:
        """Apply the operations to the database; they stay in the batch."""
        await self._worker.run(self._batch.write)

    @property
    def sequence(self) -> int | None:
        """The sequence number of the last operation in the last write, as :attr:`aidb.WriteBatch.sequence`."""
        return self._batch.sequence

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._transaction and kind is not None:
            self._batch.clear()
        else:
            await self.write()


class Iterator(AsyncIterator[_T], Generic[_T]):
    """Visits the entries of a range and fetches many per call to a thread; leaving its block closes it."""

    def __init__(self, reader: aidb.Reader, worker: _Calls, keywords: dict[str, Any]) -> None:
        """Made by :meth:`Reader.iterator`."""
        self._reader = reader
        self._worker = worker
        self._keywords = keywords
        self._transaction = reader if isinstance(reader, aidb.Transaction) else None
        self._next_entries = _CHUNK_ENTRIES if self._transaction is None else _FIRST_ENTRIES
        self._entries: aidb.Iterator[_T] | None = None
        self._chunk: list[_T] = []
        self._failure: aidb.Error | None = None
        self._fetching = asyncio.Lock()
        # A chunk on its way. It survives a cancelled step, and the next step waits for it.
        self._coming: asyncio.Future[list[_T]] | None = None

    def _fetch(self) -> list[_T]:
        if self._entries is None:
            self._entries = self._reader.iterator(**self._keywords)
        chunk: list[_T] = []
        try:
            chunk.extend(islice(self._entries, self._next_entries))
            self._next_entries = min(2 * self._next_entries, _CHUNK_ENTRIES)
        except aidb.Error as error:
            # Yield the entries before the failure first.
            self._failure = error
        chunk.reverse()
        return chunk

    async def __anext__(self) -> _T:
        if self._chunk and self._transaction is not None and self._transaction.closed:
            # The next fetch says why: entries that were fetched ahead end with the transaction.
            self._chunk = []
        if self._chunk:
            return self._chunk.pop()
        async with self._fetching:
            if not self._chunk and self._failure is None:
                await self._take_chunk()
            if self._chunk:
                return self._chunk.pop()
            if self._failure is not None:
                raise self._failure
            raise StopAsyncIteration

    async def _take_chunk(self) -> None:
        if self._coming is None:
            self._coming = self._worker.start(self._fetch)
        coming = self._coming
        try:
            self._chunk = await asyncio.shield(coming)
        except asyncio.CancelledError:
            if coming.cancelled():
                self._coming = None
            raise
        except BaseException:
            self._coming = None
            raise
        self._coming = None

    async def close(self) -> None:
        """Release the memory and files that the iterator pins; later steps raise ``ClosedError``."""
        async with self._fetching:
            if self._coming is not None:
                await asyncio.wait([self._coming])
                self._coming = None
            self._chunk = []
            self._failure = aidb.ClosedError("the iterator has been closed")
            if self._entries is not None:
                self._entries.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()


async def open(path: StrOrBytesPath, **options: Unpack[OpenOptions]) -> DB:
    """Open the database in the directory ``path``; options and errors are those of :class:`aidb.DB`.

    A wait for the lock (``lock_timeout``) ends at once if the task is cancelled.
    """
    worker = _Worker()
    try:
        return DB(await worker.run_cancellable(aidb.DB, path, **options), worker)
    except BaseException:
        worker.stop()
        raise
