"""Counts and estimates of counts."""

import itertools
import time

import aidb
import pytest


def fill(db, numbers):
    with db.write_batch() as batch:
        for number in numbers:
            batch.put(b"%06d" % number, b"")


def test_a_count_is_exact_on_a_database_a_snapshot_and_a_prefixed_view(db):
    assert db.count() == db.approximate_count() == 0
    fill(db, range(1000))
    assert db.count() == db.count(None, None) == db.approximate_count() == 1000
    assert db.count(b"000100", b"000200") == db.approximate_count(b"000100", b"000200") == 100
    assert db.count(start=b"000990") == db.count(stop=bytearray(b"000010")) == 10
    assert db.count(prefix=b"0005") == db.count(b"0005", b"0006") == 100
    assert db.count(b"000550", prefix=b"0005") == 50
    assert db.count(b"b", b"a") == db.approximate_count(b"b", b"a") == 0
    db.flush()
    assert db.count(fill_cache=True) == 1000
    assert 400 <= db.approximate_count(None, b"000500") <= 600
    view = db.prefixed_db(b"0005")
    assert view.count() == 100 and view.count(b"1", b"3") == 20 and view.count(prefix=b"1") == 10
    with db.snapshot() as snapshot, view.snapshot() as below:
        for key in view.keys():
            view.delete(key)
        assert snapshot.count() == 1000 and below.count() == 100
        assert view.count() == len(view.mapping()) == 0
        assert db.count() == len(db.mapping()) == db.approximate_count() == 900
    for closed in (snapshot, below):
        with pytest.raises(aidb.ClosedError):
            closed.count()


def test_the_progress_of_a_count_can_end_it(db):
    fill(db, range(100_000))
    steps = []
    # A function without `return` does not end it.
    assert db.count(progress=lambda counted, total: steps.append((counted, total))) == 100_000
    assert steps == [(65_536, 100_000), (100_000, 100_000)]
    assert db.count(progress=lambda counted, total: False) == 65_536
    assert db.count(stop=b"000003", progress=lambda counted, total: False) == 3

    def fail(counted, total):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        db.count(progress=fail)
    for wrong in (7, lambda: None):
        with pytest.raises(TypeError):
            db.count(progress=wrong)
    with pytest.raises(TypeError):
        db.count(None, None, b"0")
    with pytest.raises(aidb.ClosedError):
        db.count(progress=lambda counted, total: db.close())


def test_a_long_count_and_one_over_many_deleted_keys_are_exact(db):
    fill(db, range(200_000))
    assert db.count() == 200_000
    snapshot = db.snapshot()
    with db.write_batch() as batch:
        for number in range(199_999):
            batch.delete(b"%06d" % number)
    assert db.count() == 1 and snapshot.count() == 200_000


class Interrupted(Exception):
    """The exception that the handler raises in this test."""


def test_an_interrupt_ends_counts(db):
    import signal

    def handler(number, frame):
        raise Interrupted

    fill(db, range(200_000))
    before = signal.signal(signal.SIGALRM, handler)
    begin = time.monotonic()
    try:
        for progress in (None, lambda counted, total: None):
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(Interrupted):
                for _ in itertools.repeat(None, 10**9):
                    db.count(progress=progress)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    # The promise is 0.2 s; the machine may be busy.
    assert time.monotonic() - begin < 30
    assert db.count() == 200_000
