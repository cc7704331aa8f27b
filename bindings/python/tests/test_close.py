"""What a closed database releases while the program keeps everything made of it. In a process of its own, because
descriptors and resident memory are counted per process, and descriptors are limited."""

import subprocess
import sys

import aidb
import pytest

PROGRAM = r"""
import gc, os, resource, sys
import aidb

resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
directory = sys.argv[1]
values = [os.urandom(1000) for _ in range(1500)]
kept = []


def resident():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors():
    return sorted(os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}"))


def closed(path):
    db = aidb.open(path)
    for number, value in enumerate(values):
        db.put(b"%06d" % number, value)
        if number == len(values) // 2:
            db.flush()
    iterators = []
    for start in (0, 700, 1400):
        iterator = db.iterator(start=b"%06d" % start)
        for _ in range(90):
            next(iterator)
        iterators.append(iterator)
        raw = db.raw_iterator()
        raw.seek(b"%06d" % start)
        iterators.append(raw)
    walked = db.iterator()
    assert sum(1 for _ in walked) == len(values)
    batch = db.write_batch()
    batch.put(b"k", b"v")
    snapshot = db.snapshot()
    transaction = db.begin()
    for number, value in enumerate(values):
        transaction.put(b"%06d" % number, value)
    view = db.get_view(b"000003")
    prefixed = db.prefixed_db(b"0")
    iterators += [walked, prefixed.iterator(), snapshot.iterator(), transaction.iterator()]
    db.close()
    db.close()
    assert view == values[3]
    for iterator in iterators:
        assert iterator.closed
    calls = [lambda: next(iterators[0]), iterators[1].key, batch.write, lambda: snapshot.get(b"000003")]
    for call in calls + [transaction.commit]:
        try:
            call()
        except aidb.ClosedError:
            continue
        raise AssertionError("it is not closed")
    return db, iterators, batch, snapshot, transaction, view, prefixed


before = descriptors()
for number in range(120):
    path = f"{directory}/{number}"
    kept.append(closed(path))
    aidb.destroy_db(path)
    open_now = descriptors()
    assert open_now == before, (number, open_now)
    if number == 19:
        gc.collect()
        first = resident()
last = resident()
print(f"{first >> 10} KiB after 20 databases, {last >> 10} KiB after 120")
# A view of 1000 bytes keeps its block, and each of the fifteen handles keeps a little: less than 96 KiB together.
assert last <= first * 1.1 + 100 * (96 << 10), (first, last)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_closed_databases_hold_neither_memory_nor_files_whoever_keeps_their_handles(tmp_path):
    ran = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_iterators_are_let_go_by_a_close_and_say_so(path):
    db = aidb.open(path)
    for number in range(100):
        db.put(b"%02d" % number, b"value")
    iterator, raw = db.iterator(), db.raw_iterator()
    assert next(iterator) == (b"00", b"value")
    raw.seek_to_first()
    db.close()
    for call in (lambda: next(iterator), iterator.seek_to_start, raw.next, raw.key, raw.valid):
        with pytest.raises(aidb.ClosedError):
            call()
    iterator.close()
    raw.close()
    assert iterator.closed and raw.closed
