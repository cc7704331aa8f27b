"""The exceptions: one table, their bases, pickling, and damage on disk."""

import builtins
import copy
import datetime
import errno
import inspect
import os
import pickle
import resource
import socket
import subprocess
import sys

import aidb
import pytest
from aidb import _aidb, errors

CLASSES = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, errors.Error)]


def test_every_kind_of_the_engine_has_its_class():
    for kind, number, name in _aidb.ERROR_KINDS:
        cls = getattr(errors, name)
        assert cls.code == number and issubclass(cls, aidb.Error)
        assert name.lower() == f"{kind}error".lower()
    named = {name for _, _, name in _aidb.ERROR_KINDS} | {"Error", "IteratorInvalidError"}
    assert named == {cls.__name__ for cls in CLASSES} == set(errors.__all__)
    assert all(getattr(aidb, cls.__name__) is cls for cls in CLASSES)


@pytest.mark.parametrize(
    ("cls", "bases"),
    [
        (aidb.IOError, [aidb.Error, builtins.OSError, builtins.IOError]),
        (aidb.NoSpaceError, [aidb.IOError, OSError]),
        (aidb.OutOfMemoryError, [aidb.Error, MemoryError]),
        (aidb.InvalidArgumentError, [aidb.Error, ValueError]),
        (aidb.IteratorInvalidError, [aidb.InvalidArgumentError, ValueError]),
        (aidb.ClosedError, [aidb.Error, RuntimeError]),
        (aidb.LockedError, [aidb.Error]),
        (aidb.ConflictError, [aidb.Error]),
        (aidb.CorruptionError, [aidb.Error]),
        (aidb.UnsupportedError, [aidb.Error]),
        (aidb.InternalError, [aidb.Error]),
        (aidb.Error, [Exception]),
    ],
)
def test_each_class_has_its_bases(cls, bases):
    for base in bases:
        assert issubclass(cls, base)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_every_class_can_be_pickled_and_copied(cls, protocol):
    arguments = (errno.EIO, "cannot read x") if issubclass(cls, OSError) else ("what happened",)
    error = cls(*arguments)
    for twin in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error)):
        assert type(twin) is cls and twin.args == error.args and str(twin) == str(error)
        assert twin.code == error.code
        if isinstance(error, OSError):
            assert twin.errno == errno.EIO


def test_what_is_retryable():
    assert aidb.NoSpaceError(errno.ENOSPC, "full").is_retryable
    assert aidb.OutOfMemoryError("no memory").is_retryable
    assert aidb.LockedError("held").is_retryable and aidb.ConflictError("lost").is_retryable
    assert aidb.IOError(errno.EINTR, "interrupted").is_retryable
    assert not aidb.IOError(errno.EIO, "broken").is_retryable
    assert not aidb.IOError("no number").is_retryable
    assert not aidb.ClosedError("closed").is_retryable


def test_a_raised_error_can_be_pickled(db):
    db.close()
    with pytest.raises(aidb.ClosedError) as caught:
        db.get(b"key")
    twin = pickle.loads(pickle.dumps(caught.value))
    assert type(twin) is aidb.ClosedError and str(twin) == str(caught.value) != ""


def test_an_error_of_the_operating_system_carries_its_number(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    with pytest.raises(aidb.Error) as caught:
        aidb.open(blocked / "db")
    if isinstance(caught.value, aidb.IOError):
        assert caught.value.errno == errno.ENOTDIR
        assert pickle.loads(pickle.dumps(caught.value)).errno == errno.ENOTDIR


def test_a_refused_opener_is_told_who_holds_the_database(db, tmp_path):
    with pytest.raises(aidb.LockedError) as caught:
        aidb.open(db.name)
    error = caught.value
    assert error.pid == os.getpid() and error.host == socket.gethostname()
    age = datetime.datetime.now(datetime.timezone.utc) - error.since
    assert datetime.timedelta(seconds=-1) <= age < datetime.timedelta(minutes=10)
    with aidb.open(tmp_path / "read") as written:
        written.put(b"k", b"v")
    with aidb.open(tmp_path / "read", read_only=True), pytest.raises(aidb.LockedError) as caught:
        aidb.open(tmp_path / "read")
    # A reader leaves no name on the disk, but this process knows its own readers.
    assert caught.value.pid == os.getpid() and caught.value.since >= error.since
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (twin.pid, twin.host, twin.since) == (error.pid, error.host, error.since)


def test_a_message_says_a_thing_once(db, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(aidb.IOError) as caught:
        aidb.open(tmp_path / "file" / "db")
    assert "os error" not in str(caught.value)
    db.close()
    with pytest.raises(aidb.ClosedError, match="^the database has been closed$"):
        db.get(b"key")


def damage(path, suffixes):
    """Flips a byte in the middle of every file with one of these endings. Returns how many files there were."""
    files = [file for file in path.iterdir() if file.suffix in suffixes and file.stat().st_size > 0]
    for file in files:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 0x40
        file.write_bytes(content)
    return len(files)


# WINDOW-3.
def test_damage_is_an_error_for_reads_and_never_the_end_of_a_walk(path):
    with aidb.open(path, compression="none") as db:
        for number in range(2000):
            db.put(b"%05d" % number, os.urandom(100))
        db.compact_range()
        keys = list(db.keys())
    assert damage(path, {".sst"}) > 0
    with pytest.raises(aidb.CorruptionError, match=r"\.sst"), aidb.open(path) as db:
        it = db.iterator(include_value=False)
        seen = []
        with pytest.raises(aidb.CorruptionError) as caught:
            seen.extend(it)
        assert ".sst" in str(caught.value)
        # A failed iterator keeps failing, and does not look exhausted, until it seeks.
        for move in (lambda: next(it), it.prev):
            with pytest.raises(aidb.CorruptionError):
                move()
        it.seek_to_start()
        assert next(it) == keys[0]
        for key in keys:
            db.get(key)


FULL = """
import os, resource, signal, sys
import aidb
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    with aidb.open(sys.argv[1]) as db:
        for number in range(64):
            db.put(b"%d" % number, bytes(1 << 16))
        # These fit into files of that size; the next one does not.
        db.put(b"large", os.urandom(2 << 20))
except aidb.IOError as error:
    print(type(error).__name__, error.errno)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs a limit on the size of files")
def test_a_file_that_may_not_grow_is_an_io_error_with_its_number(path):
    run = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() in (["IOError", str(errno.EFBIG)], ["NoSpaceError", str(errno.ENOSPC)])


SCARCE = """
import resource, sys
import aidb
db = aidb.open(sys.argv[1], write_buffer_size="64MiB")
db.put(b"x", b"y")
db.put(b"long", bytes(100_000))
keys, read = [b"x"] * 3_000_000, {
    "list": lambda: db.get_many(keys),
    "generator": lambda: db.get_many(b"x" for _ in range(3_000_000)),
    "snapshot": lambda: snapshot.get_many(keys),
    "prefixed": lambda: db.prefixed_db(b"q" * 1000).get_many(keys[:100_000]),
    "gets": lambda: [db.get(b"long") for _ in range(20_000)],
    "iterators": lambda: [db.iterator() for _ in range(1_000_000)],
    "snapshots": lambda: [db.snapshot() for _ in range(1_000_000)],
    "views": lambda: [db.get_view(b"x") for _ in range(3_000_000)],
    "batches": lambda: [db.write_batch() for _ in range(3_000_000)],
}[sys.argv[2]]
snapshot = db.snapshot()
with open("/proc/self/statm") as file:
    taken = int(file.read().split()[0]) * resource.getpagesize()
none = resource.RLIM_INFINITY
resource.setrlimit(resource.RLIMIT_AS, (taken + 40_000_000, none))
try:
    read()
    raised = "nothing"
except MemoryError as error:
    raised = type(error).__name__
resource.setrlimit(resource.RLIMIT_AS, (none, none))
assert db.get(b"x") == b"y"
print(raised)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a limit of memory that the system keeps")
@pytest.mark.parametrize("what", ["list", "generator", "snapshot", "prefixed", "gets", "iterators", "snapshots", "views", "batches"])
def test_what_does_not_fit_into_memory_is_a_memory_error(path, what):
    # Earlier code collected keys, copied values and made handles by calls that end the process or panic without memory.
    run = subprocess.run([sys.executable, "-c", SCARCE, str(path), what], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() in (["OutOfMemoryError"], ["MemoryError"])
