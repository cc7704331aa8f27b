"""Write batches: the database applies all of one or nothing."""

import threading

import aidb
import pytest


def test_a_batch_is_invisible_until_written(db):
    batch = db.write_batch()
    for number in range(1000):
        batch.put(b"%d" % number, b"value")
    batch.delete(b"2")
    assert len(batch) == 1001 and batch.approximate_size() > 1000 * 7
    assert list(db) == []
    batch.write()
    assert db.get(b"1") == b"value" and db.get(b"2") is None
    assert len(list(db)) == 999


def test_operations_stay_in_the_batch_and_can_be_cleared(db):
    batch = db.write_batch(sync=True)
    batch.put(b"key", b"value")
    batch.write()
    db.delete(b"key")
    batch.write()
    assert db.get(b"key") == b"value"
    batch.clear()
    assert len(batch) == 0
    db.delete(b"key")
    batch.write()
    assert db.get(b"key") is None


def test_append_adds_the_other_batch_and_also_itself(db):
    first, second = db.write_batch(), db.write_batch()
    first.put(b"a", b"1")
    second.delete(b"a")
    second.put(b"b", b"2")
    first.append(second)
    first.append(first)
    assert (len(first), len(second)) == (6, 2)
    first.write()
    assert list(db) == [(b"b", b"2")]
    with pytest.raises(TypeError):
        first.append([(b"a", b"1")])


def test_the_last_operation_on_a_key_wins(db):
    with db.write_batch() as batch:
        batch.put(b"k", b"1")
        batch.delete(b"k")
        batch.put(b"k", b"2")
        batch.put(b"gone", b"")
        batch.delete(b"gone")
    assert list(db) == [(b"k", b"2")]


def test_a_block_writes_at_its_end(db):
    with db.write_batch() as batch:
        batch.put(b"key", b"value")
        assert db.get(b"key") is None
    assert db.get(b"key") == b"value"


def test_a_block_that_raises_writes_unless_it_is_a_transaction(db):
    with pytest.raises(ZeroDivisionError), db.write_batch() as batch:
        batch.put(b"plain", b"")
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), db.write_batch(transaction=True) as batch:
        batch.put(b"transaction", b"")
        raise ZeroDivisionError
    assert len(batch) == 0
    assert list(db.keys()) == [b"plain"]
    with db.write_batch(transaction=True, sync=True) as batch:
        batch.put(b"transaction", b"")
    assert b"transaction" in db


def test_a_refused_operation_leaves_the_batch_as_it_was(db):
    batch = db.write_batch()
    batch.put(b"key", b"value")
    with pytest.raises(aidb.InvalidArgumentError):
        batch.put(bytes((16 << 20) + 1), b"")
    batch.write()
    assert (len(batch), list(db)) == (1, [(b"key", b"value")])


def test_a_batch_of_a_closed_database_is_closed(path):
    with aidb.open(path) as db:
        batch, other = db.write_batch(), db.write_batch()
        other.put(b"other", b"value")
    for call in (
        lambda: batch.put(b"key", b"value"),
        lambda: batch.delete(b"key"),
        lambda: batch.append(other),
        batch.write,
        other.write,
    ):
        with pytest.raises(aidb.ClosedError):
            call()
    assert (len(batch), len(other)) == (0, 1)
    other.clear()


def test_a_batch_larger_than_a_memtable_is_whole(tiny_db):
    with tiny_db.write_batch() as batch:
        for number in range(2000):
            batch.put(b"%05d" % number, bytes(50))
    assert sum(1 for _ in tiny_db) == 2000


def test_an_empty_batch_writes_nothing(db):
    db.write_batch().write()
    with db.write_batch():
        pass
    assert list(db) == []


def newest(db):
    """The newest number that readers see."""
    with db.snapshot() as snapshot:
        return snapshot.sequence


@pytest.mark.parametrize("sync", [False, True])
def test_a_written_batch_has_the_number_of_its_last_operation(db, sync):
    batch = db.write_batch(sync=sync)
    assert batch.sequence is None
    batch.write()
    assert batch.sequence == newest(db) == 0, "an empty batch takes no number"
    assert db.put(b"k", b"v", sync=sync) is None
    assert db.delete(b"never there", sync=sync) is None
    assert newest(db) == 2
    for number in range(100):
        batch.put(b"%d" % number, b"value")
    batch.delete(b"0")
    assert batch.write() is None
    assert batch.sequence == newest(db) == 103
    batch.write()
    assert batch.sequence == newest(db) == 204
    batch.clear()
    assert batch.sequence == 204, "the number of the last write"
    with db.write_batch(sync=sync) as second:
        second.put(b"k", b"v")
    assert second.sequence == newest(db) == 205
    with db.prefixed_db(b"p").write_batch() as third:
        third.put(b"k", b"v")
        third.delete(b"k")
    assert third.sequence == newest(db.prefixed_db(b"p")) == 207
    with pytest.raises(AttributeError):
        batch.sequence = 1


def test_a_batch_that_is_large_has_its_number_from_another_thread(db):
    with db.write_batch() as batch:
        batch.put(b"large", bytes(5 << 20))
        batch.put(b"small", b"")
    assert batch.sequence == newest(db) == 2


def test_a_batch_that_is_not_written_has_no_number(db):
    with pytest.raises(ZeroDivisionError), db.write_batch(transaction=True) as batch:
        batch.put(b"k", b"v")
        1 / 0
    assert batch.sequence is None and newest(db) == 0
    batch.put(b"k", b"v")
    batch.write()
    assert batch.sequence == 1
    db.close()
    with pytest.raises(aidb.ClosedError):
        batch.write()
    assert batch.sequence is None


def test_batches_written_at_once_have_numbers_of_their_own(db):
    numbers = {}

    def write(count):
        batch = db.write_batch()
        for number in range(count):
            batch.put(b"%d" % number, b"v")
        for _ in range(100):
            batch.write()
            numbers[batch.sequence] = count

    threads = [threading.Thread(target=write, args=(count,)) for count in (1, 2, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(numbers) == 300
    last = 0
    for number in sorted(numbers):
        last += numbers[number]
        assert number == last
