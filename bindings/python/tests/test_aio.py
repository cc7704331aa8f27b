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


def test_a_transaction_answers_as_the_plain_one_does(path):
    async def main():
        async with await aio.open(path) as db:
            await db.put(b"a", b"1")
            async with db.transaction(sync=True) as t:
                await t.put(b"b", b"2")
                savepoint = await t.savepoint()
                await t.delete(b"a")
                batch = db.write_batch()
                batch.put(b"c", b"3")
                await t.write(batch)
                assert [entry async for entry in t] == [(b"b", b"2"), (b"c", b"3")]
                await t.rollback_to(savepoint)
                assert await t.get_many([b"a", b"b", b"c"]) == [b"1", b"2", None]
                assert (await t.get(b"b"), await t.get(b"x", 7)) == (b"2", 7)
                assert bytes(await t.get_view(b"b")) == b"2"
                assert [key async for key in t.iterator(reverse=True, include_value=False)] == [b"b", b"a"]
                assert await db.get(b"b") is None and not t.closed and t.sequence is None
            assert t.closed and t.sequence == 2 and await db.get(b"b") == b"2"
            t = await db.begin(read_only=True)
            with pytest.raises(aidb.InvalidArgumentError):
                await t.put(b"a", b"")
            assert await t.commit() == 2
            with pytest.raises(aidb.ClosedError):
                await t.get(b"a")
            with pytest.raises(ZeroDivisionError):
                async with db.transaction() as t:
                    await t.put(b"d", b"")
                    raise ZeroDivisionError
            async with db.transaction() as t:
                await t.put(b"d", b"")
                await t.rollback()
                await t.rollback()
            async with await db.begin() as t:
                await t.put(b"e", b"")
            with pytest.raises(aidb.ConflictError):
                async with db.transaction() as t:
                    await t.get(b"e")
                    await t.put(b"f", b"")
                    await db.put(b"e", b"")
            assert [entry[0] async for entry in db] == [b"a", b"b", b"e"]
            assert await db.compare_and_set(b"a", b"1", None) and not await db.compare_and_set(b"a", b"1", None)
            assert await db.put_if_absent(b"a", b"2") and not await db.put_if_absent(b"a", b"3")
            assert (await db.get_and_put(b"a", b"4"), await db.get_and_delete(b"a")) == (b"2", b"4")
            t = await db.begin()
        with pytest.raises(aidb.ClosedError):
            await t.get(b"b")
        await t.rollback()

    asyncio.run(main())


def test_the_iterator_of_a_transaction_reads_one_entry_first_and_ends_with_it(path):
    async def main():
        async with await aio.open(path) as db:
            for number in range(100):
                await db.put(b"%02d" % number, b"")
            async with db.transaction() as t:
                async with t.iterator(include_value=False) as entries:
                    assert await anext(entries) == b"00"
                await t.delete(b"00")
                await db.delete(b"01")
            t = await db.begin()
            entries = t.iterator(include_value=False)
            assert [await anext(entries) for _ in range(20)] == [b"%02d" % number for number in range(2, 22)]
            await t.rollback()
            with pytest.raises(aidb.ClosedError, match="it was rolled back"):
                await anext(entries)
            async with db.transaction(read_only=True) as t:
                keys = [key async for key in t.iterator(include_value=False)]
                assert keys == [b"%02d" % number for number in range(2, 100)]

    asyncio.run(main())


def test_run_transaction_awaits_its_function_again_after_a_conflict(path):
    async def main():
        async with await aio.open(path) as db:
            calls = []

            async def work(t):
                calls.append(t)
                value = int(await t.get(b"n", b"0"))
                if len(calls) < fail:
                    await db.put(b"n", b"%d" % (value + 10))
                await t.put(b"n", b"%d" % (value + 1))
                return value

            fail = 4
            assert await db.run_transaction(work) == 30 and await db.get(b"n") == b"31"
            for attempts in (1, 3):
                calls.clear()
                with pytest.raises(aidb.ConflictError, match=f"after {attempts} attempts: another commit"):
                    await db.run_transaction(work, attempts)
                assert len(calls) == attempts and all(t.closed for t in calls)
            with pytest.raises(aidb.InvalidArgumentError):
                await db.run_transaction(work, attempts=0)

            async def fails(t):
                await t.put(b"n", b"")
                raise ZeroDivisionError

            with pytest.raises(ZeroDivisionError):
                await db.run_transaction(fails)
            assert await db.get(b"n") != b"" and (await db.stats())["transactions_open"] == 0

    asyncio.run(main())


def test_tasks_share_a_transaction(path):
    async def main():
        async with await aio.open(path) as db:
            async with db.transaction() as t:
                await asyncio.gather(*(t.put(b"%03d" % number, b"") for number in range(300)))
                found = await asyncio.gather(*(t.get(b"%03d" % number) for number in range(300)))
                assert found == [b""] * 300
            assert len([entry async for entry in db]) == 300

    asyncio.run(main())


def test_a_transaction_whose_task_is_cancelled_is_rolled_back(path):
    async def main():
        async with await aio.open(path) as db:
            begun = asyncio.Event()

            async def work():
                async with db.transaction() as t:
                    await t.put(b"a", b"")
                    begun.set()
                    await asyncio.Event().wait()

            task = asyncio.create_task(work())
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await db.stats())["transactions_open"] == 0 and await db.get(b"a") is None

            # A call that is cancelled does not hinder the next one.
            async with db.transaction() as t:
                for number in range(50):
                    put = asyncio.create_task(t.put(b"large", bytes(5 << 20)))
                    await asyncio.sleep(0)
                    put.cancel()
                    await asyncio.gather(put, return_exceptions=True)
                    await t.put(b"b", b"%d" % number)
            assert await db.get(b"b") == b"49"

    asyncio.run(main())


def test_tasks_take_every_job_exactly_once(path):
    async def main():
        async with await aio.open(path) as db:
            async with db.transaction() as t:
                for number in range(100):
                    await t.put(b"job/%03d" % number, b"")

            async def take(t):
                async with t.iterator(prefix=b"job/", include_value=False) as jobs:
                    async for key in jobs:
                        await t.delete(key)
                        return key
                return None

            async def work():
                taken = []
                while (job := await db.run_transaction(take, attempts=10_000)) is not None:
                    taken.append(job)
                return taken

            parts = await asyncio.gather(*(work() for _ in range(4)))
            assert sorted(sum(parts, [])) == [b"job/%03d" % number for number in range(100)]

    asyncio.run(main())
