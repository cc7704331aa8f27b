"""multiprocessing with its fork method: what a child may do with its parent's handles, and with its lock."""

import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading

import aidb
import pytest

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore:This process"),
]

# A child that takes so many seconds hangs.
LONGEST = 60
CHILDREN = 20


def expect_closed(db, it, snapshot, results):
    """The body of a child. What it puts is the name of the first call that did not raise, or None."""
    calls = {
        "get": lambda: db.get(b"a"),
        "put": lambda: db.put(b"b", b""),
        "delete": lambda: db.delete(b"a"),
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
        child.join(LONGEST)
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
    # The child is there still, and opens when nobody else has it open.
    parent.stdin.close()
    assert parent.stdout.readline() == b"done\n"
    parent.stdout.close()
    with aidb.open(path, lock_timeout=20_000) as db:
        assert db.get(b"child") == b"1"
