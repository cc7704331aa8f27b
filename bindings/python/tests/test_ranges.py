"""Range deletes: their bounds, in batches, transactions and prefixed views, and databases that refuse them."""

import asyncio

import aidb
import pytest
from aidb import aio

KEYS = [b"a", b"b", b"ba", b"c", b"\xff\xff"]


def fill(writer):
    for key in KEYS:
        writer.put(key, b"v")


def keys(reader):
    return list(reader.iterator(include_value=False))


# What remains of KEYS after each.
DELETES = {
    "both bounds": (lambda w: w.delete_range(b"b", b"c"), [b"a", b"c", b"\xff\xff"]),
    "no start": (lambda w: w.delete_range(None, b"b"), KEYS[1:]),
    "no stop": (lambda w: w.delete_range(start=bytearray(b"ba")), [b"a", b"b"]),
    "stop alone": (lambda w: w.delete_range(stop=memoryview(b"c")), [b"c", b"\xff\xff"]),
    "no bound": (lambda w: w.delete_range(), []),
    "empty range": (lambda w: w.delete_range(b"b", b"b"), KEYS),
    "nothing before the first key": (lambda w: w.delete_range(None, b""), KEYS),
    "prefix": (lambda w: w.delete_prefix(b"b"), [b"a", b"c", b"\xff\xff"]),
    "prefix of the largest byte": (lambda w: w.delete_prefix(b"\xff"), KEYS[:-1]),
    "empty prefix": (lambda w: w.delete_prefix(bytearray()), []),
}


def through_a_batch(writer, delete):
    with writer.write_batch() as batch:
        batch.put(b"ab", b"before")
        delete(batch)


def through_a_transaction(writer, delete):
    with writer.transaction() as t:
        t.put(b"ab", b"before")
        delete(t)
        rest = keys(t)
    assert keys(writer) == rest


WAYS = {
    "at once": lambda writer, delete: delete(writer),
    "batch": through_a_batch,
    "transaction": through_a_transaction,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("prefix", [b"", b"p", b"\xff", b"p\xff"])
@pytest.mark.parametrize("name", DELETES)
def test_a_range_delete_removes_the_keys_of_its_view_in_its_range_and_no_others(db, name, prefix, way):
    delete, rest = DELETES[name]
    view = db.prefixed_db(prefix) if prefix else db
    outside = [key for key in (b"", b"o", b"pa", b"p\xfe\xff", b"q", b"\xfe\xff") if not key.startswith(prefix)]
    for key in outside:
        db.put(key, b"outside")
    fill(view)
    WAYS[way](view, delete)
    # A batch and a transaction have put one more key before.
    left = [key for key in keys(view) if key != b"ab"]
    assert left == rest
    assert [key for key in keys(db) if not key.startswith(prefix)] == outside
    db.compact_range()
    assert [key for key in keys(view) if key != b"ab"] == rest


def test_what_a_batch_puts_after_a_range_delete_stays(db):
    fill(db)
    with db.write_batch() as batch:
        batch.put(b"bb", b"")
        batch.delete_range(b"b", b"c")
        batch.put(b"bc", b"1")
        batch.delete_prefix(b"\xff")
        batch.delete_range(b"x", b"x")
        assert len(batch) == 4
    assert keys(db) == [b"a", b"bc", b"c"] and batch.sequence == 9
    other = db.write_batch()
    other.append(batch)
    assert len(other) == 4


def test_readers_from_before_see_what_was_there(db):
    fill(db)
    iterator = db.iterator(include_value=False)
    with db.snapshot() as snapshot, db.begin() as t:
        db.delete_range(b"a", b"c", sync=True)
        db.delete_prefix(b"c", sync=True)
        db.flush()
        db.compact_range()
        assert keys(snapshot) == keys(t) == list(iterator) == KEYS
        assert keys(db) == [b"\xff\xff"] and db.count() == 1 and b"ba" not in db
        assert db.get_many([b"a", b"\xff\xff"]) == [None, b"v"]


def test_a_transaction_takes_a_range_delete_back_and_conflicts_with_one(db):
    fill(db)
    with db.begin() as t:
        savepoint = t.savepoint()
        t.delete_range()
        assert keys(t) == [] and t.get(b"a") is None
        t.rollback_to(savepoint)
        assert keys(t) == KEYS
        t.delete_prefix(b"b")
        t.put(b"bb", b"")
        t.rollback()
    assert keys(db) == KEYS
    reader, blind = db.begin(), db.begin()
    assert b"absent" not in reader
    reader.put(b"z", b"")
    blind.delete_range(b"a", b"b")
    db.delete_range(b"a", b"b")
    with pytest.raises(aidb.ConflictError):
        reader.commit()
    blind.commit()


def test_a_stop_before_the_start_is_refused_and_so_are_keys_that_are_too_long(db):
    fill(db)
    batch, t = db.write_batch(), db.begin()
    for writer in (db, batch, t, db.prefixed_db(b"p"), db.prefixed_db(b"p").write_batch()):
        with pytest.raises(aidb.InvalidArgumentError, match="end must be at least start"):
            writer.delete_range(b"b", b"a")
        for wrong in ("a", 7):
            with pytest.raises(TypeError):
                writer.delete_range(wrong)
            with pytest.raises(TypeError):
                writer.delete_prefix(wrong)
        with pytest.raises(TypeError):
            writer.delete_prefix(None)
        with pytest.raises(aidb.InvalidArgumentError):
            writer.delete_range(None, bytes((16 << 20) + 1))
        with pytest.raises(aidb.InvalidArgumentError):
            writer.delete_prefix(bytes((16 << 20) + 1))
    assert len(batch) == 0 and keys(t) == keys(db) == KEYS


def test_a_database_that_cannot_be_written_refuses(path):
    with aidb.open(path) as db:
        fill(db)
        batch, t = db.write_batch(), db.begin()
    for writer in (db, batch, t, db.prefixed_db(b"a")):
        with pytest.raises(aidb.ClosedError):
            writer.delete_range()
        with pytest.raises(aidb.ClosedError):
            writer.delete_prefix(b"a")
    with aidb.open(path, read_only=True) as db:
        with db.transaction(read_only=True) as t:
            for writer in (db, t):
                with pytest.raises(aidb.InvalidArgumentError, match="read"):
                    writer.delete_range(b"a", b"b")
                with pytest.raises(aidb.InvalidArgumentError, match="read"):
                    writer.delete_prefix(b"a")
        assert keys(db) == KEYS


def test_clearing_a_mapping_is_one_write_and_stays_within_its_view(db):
    fill(db)
    view = db.prefixed_db(b"b")
    before = db.snapshot().sequence
    view.mapping().clear()
    assert db.snapshot().sequence == before + 1 and keys(db) == [b"a", b"c", b"\xff\xff"]
    db.mapping().clear()
    assert keys(db) == []


def test_the_awaitable_calls_answer_as_the_plain_ones_do(path):
    async def main():
        async with await aio.open(path) as db:
            for key in KEYS:
                await db.put(key, b"v")
            await db.delete_range(b"b", b"ba", sync=True)
            await db.delete_prefix(b"\xff", sync=True)
            assert [key async for key in db.iterator(include_value=False)] == [b"a", b"ba", b"c"]
            async with db.write_batch() as batch:
                batch.delete_prefix(b"b")
                batch.delete_range(None, b"b")
            assert [key async for key in db.iterator(include_value=False)] == [b"c"]
            async with db.transaction() as t:
                await t.delete_range()
                await t.put(b"d", b"")
                await t.delete_prefix(b"e")
            assert [key async for key in db.iterator(include_value=False)] == [b"d"]
            with pytest.raises(aidb.InvalidArgumentError):
                await db.delete_range(b"b", b"a")
        with pytest.raises(aidb.ClosedError):
            await db.delete_range()

    asyncio.run(main())
