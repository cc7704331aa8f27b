"""The database for asyncio: the same answers, and the event loop never waits."""

import asyncio
import doctest
import signal
import subprocess
import sys
import threading
import time

import aidb
import pytest
from aidb import aio


def test_every_call_answers_as_the_plain_database_does(path):
    async def main():
        async with await aio.open(path, block_size="4KiB") as db:
            assert (db.name, db.closed) == (str(path), False)
            await db.put(b"a", b"1", sync=True)
            async with db.write_batch(sync=True) as batch:
                batch.put(b"b", b"2")
                batch.put(b"c", b"3")
                batch.delete(b"c")
                assert len(batch) == 3 and await db.get(b"b") is None
                assert batch.sequence is None
            assert batch.sequence == 4
            assert (await db.get(b"b"), await db.get(b"x", 7)) == (b"2", 7)
            assert await db.get_many([b"b", b"x", b"a"]) == [b"2", None, b"1"]
            assert bytes(await db.get_view(b"a")) == b"1"
            async with await db.snapshot() as snapshot:
                await db.delete(b"a")
                assert [entry async for entry in snapshot] == [(b"a", b"1"), (b"b", b"2")]
                assert await snapshot.get(b"a") == b"1"
                assert (await snapshot.count(), await db.count(), await db.count(prefix=b"c")) == (2, 1, 0)
            assert snapshot.closed and snapshot.sequence == 4
            assert [key async for key in db.iterator(reverse=True, include_value=False)] == [b"b"]
            await db.flush()
            await db.compact_range()
            assert await db.approximate_size(b"", b"z") > 0
            assert await db.approximate_count() == await db.count(progress=lambda counted, total: None) == 1
            assert (await db.stats())["flushes"] >= 1
            assert await db.get_property("nonsense") is None
            with pytest.raises(TypeError):
                await db.get("text")
        assert db.closed
        await db.close()
        with pytest.raises(aidb.ClosedError):
            await db.get(b"a")

    asyncio.run(main())


def test_a_transaction_that_raises_writes_nothing(path):
    async def main():
        async with await aio.open(path) as db:
            with pytest.raises(ZeroDivisionError):
                async with db.write_batch(transaction=True) as batch:
                    batch.put(b"a", b"1")
                    raise ZeroDivisionError
            assert [entry async for entry in db] == []

    asyncio.run(main())


def test_many_tasks_share_a_database_and_an_iterator(path):
    async def main():
        async with await aio.open(path) as db:
            await asyncio.gather(*(db.put(b"%05d" % number, b"") for number in range(2000)))
            entries = db.iterator(include_value=False)

            async def take():
                return [key async for key in entries]

            parts = await asyncio.gather(*(take() for _ in range(5)))
            assert sorted(sum(parts, [])) == [b"%05d" % number for number in range(2000)]

    asyncio.run(main())


def test_a_closed_iterator_raises(path):
    async def main():
        async with await aio.open(path) as db:
            await db.put(b"a", b"1")
            for steps in (0, 1):
                async with db.iterator() as entries:
                    for _ in range(steps):
                        assert await anext(entries) == (b"a", b"1")
                with pytest.raises(aidb.ClosedError):
                    await anext(entries)

    asyncio.run(main())


def test_the_event_loop_goes_on_while_a_call_waits(path):
    async def main():
        first = await aio.open(path)
        # The second open waits for the lock until this loop has closed the first.
        second = asyncio.create_task(aio.open(path, lock_timeout=60_000))
        await asyncio.sleep(0)
        await first.close()
        async with await second as db:
            await db.put(b"a", b"1")

    asyncio.run(main())


def test_an_open_that_is_cancelled_while_it_waits_for_the_lock_leaves_no_thread_behind(path):
    # The interpreter waits for its threads at the end, so Ctrl-C would seem to do nothing.
    async def main():
        async with await aio.open(path):
            before = threading.active_count()
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(aio.open(path, lock_timeout=600_000), 0.3)
            until = time.monotonic() + 60
            while threading.active_count() > before:
                assert time.monotonic() < until, "a thread still waits for the lock"
                await asyncio.sleep(0.01)

    asyncio.run(main())


def test_an_open_waits_for_the_lock_as_long_as_it_was_told_and_no_longer(path):
    async def main():
        async with await aio.open(path):
            begin = time.monotonic()
            with pytest.raises(aidb.LockedError):
                await aio.open(path, lock_timeout=350)
            assert 0.3 < time.monotonic() - begin < 60

    asyncio.run(main())


def test_a_failed_open_is_the_plain_ones_error(path):
    async def main():
        with pytest.raises(aidb.InvalidArgumentError):
            await aio.open(path, create_if_missing=False)
        with pytest.raises(aidb.InvalidArgumentError):
            await aio.open(path, nonsense=1)

    asyncio.run(main())


def test_steps_that_are_cancelled_lose_no_entry(path):
    keys = [b"%05d" % number for number in range(5000)]

    async def scan(entries):
        seen, cancelled = [], 0
        while True:
            step = asyncio.ensure_future(entries.__anext__())
            # Up to the point where it waits for its thread; a step that has its entry already is done by then.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if cancelled < 5 and step.cancel():
                cancelled += 1
            try:
                seen.append(await step)
            except asyncio.CancelledError:
                pass
            except StopAsyncIteration:
                return seen, cancelled

    async def main():
        async with await aio.open(path) as db:
            async with db.write_batch() as batch:
                for key in keys:
                    batch.put(key, b"")
            seen, cancelled = await scan(db.iterator(include_value=False))
            assert (seen, cancelled) == (keys, 5)
            entries = db.iterator(start=1)
            for _ in range(2):
                with pytest.raises(TypeError):
                    await anext(entries)

    asyncio.run(main())


def test_an_iterator_that_is_closed_while_a_cancelled_step_goes_on_is_closed(path):
    async def main():
        async with await aio.open(path) as db:
            await db.put(b"a", b"1")
            entries = db.iterator()
            step = asyncio.ensure_future(anext(entries))
            await asyncio.sleep(0)
            step.cancel()
            await entries.close()
            with pytest.raises(aidb.ClosedError):
                await anext(entries)

    asyncio.run(main())


def test_the_event_loop_gets_a_turn_while_memory_answers(path):
    async def main():
        async with await aio.open(path) as db:
            await db.put(b"a", b"1")
            turns = 0

            async def count():
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            counting = asyncio.create_task(count())
            for _ in range(2000):
                assert await db.get(b"a") == b"1"
            counting.cancel()
            assert turns >= 9

    asyncio.run(main())


LONG = """
import asyncio, signal, sys
import aidb
from aidb import aio

# A shell that runs the tests in the background makes them ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
mode, name, path = sys.argv[1:]
arguments = {"checkpoint": [path + "-copy"], "get_many": [[b"a"]]}.get(name, [])


class Endless:
    # Stands for a database whose calls take minutes: like those it waits, for a lock that its holder never releases.
    def __getattr__(self, name):
        def call(*arguments, **keywords):
            print("begun", flush=True)
            aidb.open(path, lock_timeout=300_000)

        return call


async def main():
    db = await aio.open(path)
    real, db._reader = db._reader, Endless()
    call = asyncio.ensure_future(getattr(db, name)(*arguments))
    try:
        await call
    finally:
        db._reader = real


if mode == "run":
    asyncio.run(main())
else:
    # Nobody cancels the tasks of this loop, and nobody drops this task.
    loop = asyncio.new_event_loop()
    kept = loop.create_task(main())
    loop.run_until_complete(kept)
"""


def interrupted(child):
    """Returns the output of an interrupted child. Python may look for signals just before one arrives and then wait for
    events; it notices that signal only with the next one."""
    for _ in range(3):
        child.send_signal(signal.SIGINT)
        try:
            # The promise is 0.2 s; the machine may be busy.
            return child.communicate(timeout=10)[1]
        except subprocess.TimeoutExpired:
            pass
    raise AssertionError("it goes on")


@pytest.mark.parametrize("mode", ["run", "left"])
@pytest.mark.parametrize("name", ["verify", "compact_range", "checkpoint", "flush", "get_many"])
def test_ctrl_c_ends_a_long_call_and_the_interpreter_does_not_wait_for_it(path, mode, name):
    child = subprocess.Popen(
        [sys.executable, "-c", LONG, mode, name, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout.readline() == "begun\n"
        said = interrupted(child)
    finally:
        child.kill()
    assert "KeyboardInterrupt" in said
    assert child.returncode not in (0, None)


def test_a_verify_whose_task_is_cancelled_stops(path):
    async def main():
        async with await aio.open(path, compression=None) as db:
            for number in range(64):
                await db.put(b"%02d" % number, bytes(1 << 18))
            await db.flush()
            loop, is_cancelled, calls = asyncio.get_running_loop(), threading.Event(), []

            def progress(done, total):
                calls.append(done)
                loop.call_soon_threadsafe(verify.cancel)
                assert is_cancelled.wait(60)

            verify = asyncio.ensure_future(db.verify(progress))
            with pytest.raises(asyncio.CancelledError):
                await verify
            is_cancelled.set()
            # Other calls are not cancelled, and closing waits for the end of the verification.
            assert (await db.verify())["is_ok"]
            assert await db.get(b"07") == bytes(1 << 18)
        assert len(calls) == 1

    asyncio.run(main())


def test_a_cancelled_call_leaves_its_thread_at_once_and_the_next_one_is_not_cancelled(path):
    async def main():
        async with await aio.open(path) as db:
            waiting = [asyncio.ensure_future(aio.open(path, lock_timeout=300_000)) for _ in range(8)]
            await asyncio.sleep(0)
            for wait in waiting:
                wait.cancel()
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
            assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
            await db.put(b"a", b"1")
            await db.compact_range()
            await db.checkpoint(str(path) + "-copy")
            assert await db.get_many([b"a", b"b"]) == [b"1", None]

    asyncio.run(main())
    for thread in threading.enumerate():
        if thread.name.startswith("aidb"):
            thread.join(60)
            assert not thread.is_alive()


def test_the_sample_runs():
    assert doctest.testmod(aio).failed == 0
