"""multiprocessing: what a child may do with its parent's handles and lock, and with a database of its own."""

import asyncio
import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading

import aidb
import pytest
from aidb import aio

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore:This process"),
]

# A child that takes this many seconds hangs.
MAX_SECONDS = 60
CHILDREN = 20


def expect_closed(db, it, snapshot, results):
    """The body of a child. It puts the name of the first call that did not raise, or None."""
    calls = {
        "get": lambda: db.get(b"a"),
        "put": lambda: db.put(b"b", b""),
        "delete": lambda: db.delete(b"a"),
        "delete_range": db.delete_range,
        "delete_prefix": lambda: db.delete_prefix(b"a"),
        "next": lambda: next(it),
        "snapshot.get": lambda: snapshot.get(b"a"),
        "snapshot": db.snapshot,
        "iterator": lambda: next(db.iterator()),
        "flush": db.flush,
        "compact_range": db.compact_range,
    }
    for name, call in calls.items():
        try:
            call()
        except aidb.ClosedError:
            continue
        results.put(name)
        return
    it.close()
    snapshot.close()
    db.close()
    results.put(None)


def run_child(db):
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    with db.iterator() as it, db.snapshot() as snapshot:
        next(it)
        child = context.Process(target=expect_closed, args=(db, it, snapshot, results))
        child.start()
        child.join(MAX_SECONDS)
        if child.is_alive():
            child.kill()
            pytest.fail("the child hangs")
        assert child.exitcode == 0
        assert results.get() is None
        assert snapshot.get(b"a") == b"1"


def test_a_forked_child_of_multiprocessing_gets_closed_and_ends(db):
    db.put(b"a", b"1")
    run_child(db)
    db.put(b"b", b"2")
    assert db.get(b"b") == b"2"


def test_children_forked_while_threads_write_get_closed_and_never_hang(db):
    db.put(b"a", b"1")
    stop = threading.Event()
    written = [0, 0, 0]

    def write(number):
        while not stop.is_set():
            db.put(b"t%d %08d" % (number, written[number]), bytes(100))
            written[number] += 1
            db.snapshot().close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(CHILDREN):
            run_child(db)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert all(written)
    assert sum(1 for _ in db.iterator(prefix=b"t")) == sum(written)


PARENT = """
    import multiprocessing, os, signal, sys
    import aidb

    # multiprocessing closes a child's standard input.
    told = os.dup(0)
    db = aidb.open(sys.argv[1])
    db.put(b"a", b"1")

    def stay():
        os.read(told, 1)
        own = aidb.open(sys.argv[1])
        own.put(b"child", b"1")
        own.close()
        print("done", flush=True)

    multiprocessing.get_context("fork").Process(target=stay).start()
    print("ready", flush=True)
    signal.pause()
"""


def test_a_dead_parents_lock_is_free_although_its_child_lives(tmp_path):
    path = str(tmp_path / "db")
    parent = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(PARENT), path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert parent.stdout.readline() == b"ready\n"
    with pytest.raises(aidb.LockedError):
        aidb.open(path)
    parent.kill()
    parent.wait()
    with aidb.open(path, lock_timeout=20_000) as db:
        assert db.get(b"a") == b"1"
    # The child still runs, and opens the database when nobody else has it open.
    parent.stdin.close()
    assert parent.stdout.readline() == b"done\n"
    parent.stdout.close()
    with aidb.open(path, lock_timeout=20_000) as db:
        assert db.get(b"child") == b"1"


CHILDREN_OF_THEIR_OWN = """
    import multiprocessing, sys, threading
    import aidb

    MAX_SECONDS = 120
    SMALL = dict(write_buffer_size="16KiB", block_cache_size="16KiB")


    def live(path):
        own = aidb.open(path, **SMALL)

        def write(name):
            for number in range(200):
                own.put(b"%s%05d" % (name, number), bytes(100))

        threads = [threading.Thread(target=write, args=(name,)) for name in (b"a", b"b")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        own.flush()
        own.compact_range()
        assert sum(1 for _ in own) == 400
        assert own.get(b"a00007") == bytes(100)
        own.close()
        aidb.destroy_db(path)


    def main(method, load, children, path):
        context = multiprocessing.get_context(method)
        db = aidb.open(path, **SMALL)
        db.put(b"first", b"")
        stop = threading.Event()
        written = [0, 0, 0]

        def write(name):
            while not stop.is_set():
                db.put(b"w%d-%08d" % (name, written[name]), bytes(100))
                written[name] += 1

        def walk():
            while not stop.is_set():
                for _, _ in zip(range(500), db):
                    pass
                db.get(b"first")
                db.flush()

        works = [(write, (name,)) for name in range(3)] + [(walk, ())] if load == "load" else []
        threads = [threading.Thread(target=work, args=arguments) for work, arguments in works]
        for thread in threads:
            thread.start()
        well = 0
        for number in range(children):
            child = context.Process(target=live, args=(path + "-child",))
            child.start()
            child.join(MAX_SECONDS)
            if child.is_alive():
                child.kill()
                print(f"child {number} hangs")
                break
            if child.exitcode != 0:
                print(f"child {number} ended with {child.exitcode}")
            well += child.exitcode == 0
        stop.set()
        for thread in threads:
            thread.join()
        assert sum(1 for _ in db.iterator(prefix=b"w")) == sum(written)
        assert all(written) or not threads
        db.close()
        print(well, "well")


    if __name__ == "__main__":
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
"""


@pytest.mark.parametrize("load", ["idle", "load"])
@pytest.mark.parametrize(("method", "children"), [("fork", 200), ("forkserver", 12), ("spawn", 8)])
def test_a_child_has_a_database_of_its_own_however_it_was_started(tmp_path, method, children, load):
    # A file, because multiprocessing's methods other than fork import it again.
    program = tmp_path / "children.py"
    program.write_text(textwrap.dedent(CHILDREN_OF_THEIR_OWN))
    outcome = subprocess.run(
        [sys.executable, "-W", "ignore", str(program), method, load, str(children), str(tmp_path / "db")],
        capture_output=True,
        text=True,
    )
    assert (outcome.stdout, outcome.returncode) == (f"{children} well\n", 0), outcome.stderr


def fork_and_expect(body, *arguments):
    """Run ``body`` in a forked child; the child must finish."""
    child = multiprocessing.get_context("fork").Process(target=body, args=arguments)
    child.start()
    child.join(MAX_SECONDS)
    if child.is_alive():
        child.kill()
        pytest.fail("the child hangs")
    assert child.exitcode == 0


def expect_no_wait(it, raw, batch):
    for call in (lambda: next(it), lambda: raw.seek_to_first()):
        with pytest.raises(aidb.ClosedError):
            call()
    try:
        batch.put(b"k", b"v")
    except aidb.ClosedError:
        pass
    it.close()
    raw.close()


def test_a_child_finds_closed_what_threads_of_its_parent_were_using(db):
    for number in range(1000):
        db.put(b"%04d" % number, bytes(1000))
    it, raw, batch = db.iterator(), db.raw_iterator(), db.write_batch()
    stop = threading.Event()
    turns = [0, 0, 0]

    def repeat(at, call):
        while not stop.is_set():
            call()
            turns[at] += 1

    def walk():
        it.seek_to_start()
        for _ in it:
            pass

    def write():
        batch.put(b"k", bytes(100_000))
        batch.write()

    works = [walk, raw.seek_to_first, write]
    threads = [threading.Thread(target=repeat, args=work) for work in enumerate(works)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(CHILDREN):
            fork_and_expect(expect_no_wait, it, raw, batch)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert all(turns)


def expect_closed_from_aio(db, t):
    async def call():
        for use in (t.get(b"a"), t.put(b"b", b""), t.commit(), anext(t.iterator()), db.begin()):
            with pytest.raises(aidb.ClosedError):
                await use
        await t.rollback()
        with pytest.raises(aidb.ClosedError):
            await db.get(b"a")
        with pytest.raises(aidb.ClosedError):
            await db.put(b"a", b"2")
        await db.close()

    asyncio.run(call())


async def begin_to_put(t):
    put = asyncio.ensure_future(t.put(b"large", bytes(64 << 20)))
    while not t._worker._turn.locked() and not put.done():
        await asyncio.sleep(0)
    return put


async def put_has_ended(put):
    await put


def test_a_child_gets_closed_from_an_asyncio_database_of_its_parent(path):
    with asyncio.Runner() as runner:
        db = runner.run(aio.open(path))
        # From now on the database has threads, which the child does not have.
        runner.run(db.put(b"a", b"1"))
        t = runner.run(db.begin())
        # The child is forked while one of those threads is in the middle of a call.
        put = runner.get_loop().run_until_complete(begin_to_put(t))
        fork_and_expect(expect_closed_from_aio, db, t)
        runner.run(put_has_ended(put))
        assert runner.run(db.get(b"a")) == b"1"
        runner.run(db.close())
