"""Several threads, the interpreter's lock, forks, garbage and the end of the process. No test sleeps."""

import gc
import os
import subprocess
import sys
import textwrap
import threading
import weakref

import aidb
import pytest
from together import run_all


@pytest.fixture
def never_switching():
    """The interpreter never makes a thread release its lock: another thread runs only when a call releases it."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    yield
    sys.setswitchinterval(before)


def fresh_iterator(db):
    it = db.iterator()
    next(it)
    return it


def raw_walk(db):
    raw = db.raw_iterator()
    raw.seek_to_first()
    raw.next()
    raw.prev()
    raw.seek(b"k")
    raw.seek_to_last()


def batch_write(db):
    with db.write_batch() as batch:
        batch.put(b"b", b"")


def transaction(db):
    with db.transaction() as t:
        t.get(b"k")
        t.put(b"t", b"")
        next(t.iterator())


OPERATIONS = {
    "get": lambda db: db.get(b"k"),
    "get_view": lambda db: db.get_view(b"k"),
    "get_many": lambda db: db.get_many([b"k"]),
    "contains": lambda db: b"k" in db,
    "put": lambda db: db.put(b"k", b"v"),
    "synced put": lambda db: db.put(b"k", b"v", sync=True),
    "delete": lambda db: db.delete(b"x"),
    "delete_range": lambda db: db.delete_range(b"x", b"y"),
    "synced delete_prefix": lambda db: db.delete_prefix(b"x", sync=True),
    "batch": batch_write,
    "transaction": transaction,
    "run_transaction": lambda db: db.run_transaction(lambda t: t.put(b"t", b"")),
    "compare_and_set": lambda db: db.compare_and_set(b"t", None, None),
    "iterator": fresh_iterator,
    "raw iterator": raw_walk,
    "flush": lambda db: db.flush(),
    "compact_range": lambda db: db.compact_range(),
    "approximate_size": lambda db: db.approximate_size(b"", b"z"),
    "approximate_count": lambda db: db.approximate_count(b"", b"z"),
    "count": lambda db: db.count(),
    "count with progress": lambda db: db.count(progress=lambda counted, total: None),
    "open and close": lambda db: aidb.open(db.name + "-other").close(),
}


# PYTHON-1.
@pytest.mark.parametrize("name", OPERATIONS)
def test_another_thread_runs_while_an_operation_does(db, never_switching, name):
    db.put(b"k", b"v")
    db.put(b"l", b"v")
    go, ran = threading.Event(), []

    def other():
        go.wait()
        ran.append(True)

    thread = threading.Thread(target=other)
    thread.start()
    go.set()
    # Each call releases the interpreter's lock for a moment; the other thread takes it in one of them, or never.
    for _ in range(200_000):
        if ran:
            break
        OPERATIONS[name](db)
    assert ran, f"{name} never released the interpreter"
    thread.join()


def test_a_call_that_waits_lets_the_thread_it_waits_for_run(path, never_switching):
    first = aidb.open(path)
    go = threading.Event()

    def close_first():
        go.wait()
        first.close()

    thread = threading.Thread(target=close_first)
    thread.start()
    go.set()
    # Waits for the other thread, which can close only while this one has released the interpreter's lock.
    aidb.open(path, lock_timeout=60_000).close()
    thread.join()


def test_threads_share_a_database(tiny_db):
    def work(index):
        for number in range(500):
            key = b"%d-%d" % (index, number)
            tiny_db.put(key, key)
            assert tiny_db.get(key) == key
            if number % 100 == 0:
                mine = list(tiny_db.iterator(prefix=b"%d-" % index, include_value=False))
                assert len(mine) == number + 1

    run_all(4, work)
    assert sum(1 for _ in tiny_db) == 2000


def test_threads_that_share_an_iterator_get_each_entry_once(db):
    keys = [b"%05d" % number for number in range(20_000)]
    with db.write_batch() as batch:
        for key in keys:
            batch.put(key, b"")
    it = db.iterator(include_value=False)
    seen = [[] for _ in range(4)]
    run_all(4, lambda index: seen[index].extend(it))
    assert sorted(sum(seen, [])) == keys
    assert all(part == sorted(part) for part in seen)


def test_threads_that_share_a_batch_and_a_raw_iterator_stay_whole(db):
    batch, raw = db.write_batch(), db.raw_iterator()
    for number in range(100):
        db.put(b"%03d" % number, b"%03d" % number)

    def work(index):
        for number in range(300):
            batch.put(b"%d" % index, b"%d" % number)
            if number % 50 == 0:
                batch.write()
            raw.seek(b"%03d" % (number % 100))
            try:
                key, value = raw.item()
                assert key == value
                raw.next()
            except aidb.IteratorInvalidError:
                pass

    run_all(4, work)
    assert len(batch) == 1200


def test_closing_while_others_work_ends_them_with_closed(path):
    db = aidb.open(path)
    for number in range(5000):
        db.put(b"%05d" % number, bytes(50))

    def work(index):
        if index == 0:
            db.get(b"00001")
            db.close()
            return
        with pytest.raises(aidb.ClosedError):
            while True:
                db.put(b"%d" % index, b"")
                db.get(b"00002")
                sum(1 for _ in db)
                db.snapshot().get(b"00003")

    run_all(4, work)
    assert db.closed


# PYTHON-3.
def test_handles_keep_their_database_open(path):
    db = aidb.open(path)
    db.put(b"a", b"1")
    it, raw, snapshot, batch = db.iterator(), db.raw_iterator(), db.snapshot(), db.write_batch()
    gone = weakref.ref(db)
    del db
    gc.collect()
    assert gone() is None
    assert next(it) == (b"a", b"1")
    raw.seek_to_first()
    assert raw.key() == b"a"
    assert snapshot.get(b"a") == b"1"
    batch.put(b"b", b"2")
    batch.write()
    with pytest.raises(aidb.LockedError):
        aidb.open(path)
    del it, raw, snapshot, batch
    gc.collect()
    with aidb.open(path) as db:
        assert list(db.keys()) == [b"a", b"b"]


def test_a_dropped_database_is_closed(path):
    aidb.open(path).put(b"a", b"1")
    with aidb.open(path) as db:
        assert db.get(b"a") == b"1"


def test_a_dropped_database_is_closed_also_in_a_cycle(path):
    class Holder:
        pass

    holder = Holder()
    holder.self, holder.db = holder, aidb.open(path)
    holder.it = holder.db.iterator()
    del holder
    gc.collect()
    aidb.open(path).close()


# PYTHON-2.
def test_collecting_garbage_while_iterating_does_not_deadlock(db):
    for number in range(3000):
        db.put(b"%d" % number, b"")

    class Finalizer:
        def __init__(self, it):
            self.it, self.self = it, self

        def __del__(self):
            next(self.it, None)
            db.get(b"1")

    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        it = db.iterator()
        for _ in range(1000):
            Finalizer(it)
            next(it, None)
        gc.collect()
    finally:
        gc.set_threshold(*before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process")
def test_a_child_after_fork_gets_closed_and_the_parent_goes_on(db):
    db.put(b"a", b"1")
    it, snapshot = db.iterator(), db.snapshot()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            for call in (
                lambda: db.get(b"a"),
                lambda: db.put(b"b", b""),
                lambda: next(it),
                lambda: snapshot.get(b"a"),
                db.flush,
            ):
                try:
                    call()
                    os._exit(2)
                except aidb.ClosedError:
                    pass
            it.close()
            snapshot.close()
            db.close()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert (next(it), snapshot.get(b"a")) == ((b"a", b"1"), b"1")
    db.put(b"b", b"2")
    assert db.get(b"b") == b"2"


ENDINGS = {
    "global": "",
    "live handles": "it = db.iterator(); next(it); snapshot = db.snapshot(); raw = db.raw_iterator()",
    "cycle": "class Holder: pass\nholder = Holder(); holder.self = holder; holder.db = db; del db",
    "exception": "raise SystemExit(0)",
    "exit": "import os; db.flush(); os._exit(0)",
    "atexit": "import atexit; atexit.register(lambda: db.get(b'a'))",
    "daemon writer": """
        import threading
        started = threading.Event()
        def write():
            number = 0
            while True:
                db.put(b'%d' % number, bytes(100))
                list(db.iterator(prefix=b'1'))
                number += 1
                started.set()
        threading.Thread(target=write, daemon=True).start()
        started.wait()
    """,
    "held in a module": "import sys; sys.held = db; sys.modules['held'] = db",
    "finalizer": """
        class Late:
            def __init__(self, db): self.db = db
            def __del__(self): self.db.get(b'a')
        late = Late(db)
    """,
}


@pytest.mark.parametrize("name", ENDINGS)
def test_a_process_that_ends_without_closing_ends_well(path, tiny, name):
    script = f"import sys, aidb\ndb = aidb.open(sys.argv[1], **{tiny!r})\n"
    script += "for number in range(500): db.put(b'key %d' % number, bytes(50))\ndb.put(b'a', b'1')\n"
    script += textwrap.dedent(ENDINGS[name])
    run = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stderr) == (0, "")
    with aidb.open(path) as db:
        assert db.get(b"a") == b"1"
        assert sum(1 for _ in db.iterator(prefix=b"key ")) == 500
