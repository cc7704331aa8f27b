"""Snapshots, prefixed views and the mapping."""

import aidb
import pytest


def test_a_snapshot_stays_the_same_across_writes_flushes_and_compactions(tiny_db):
    for number in range(1000):
        tiny_db.put(b"%04d" % number, b"old")
    snapshot = tiny_db.snapshot()
    before = list(tiny_db)
    for step in range(3):
        for number in range(0, 1000, step + 1):
            tiny_db.put(b"%04d" % number, b"new %d" % step)
            tiny_db.delete(b"%04d" % ((number * 7) % 1000))
        tiny_db.put(b"added", b"")
        (tiny_db.flush, tiny_db.compact_range, lambda: None)[step]()
        assert list(snapshot) == before
        assert snapshot.get(b"0007") == b"old"
        assert snapshot.get(b"added") is None and b"added" not in snapshot
    assert list(tiny_db) != before


def test_a_snapshot_has_the_number_of_the_last_write_that_it_sees(db):
    assert db.snapshot().sequence == 0
    with db.write_batch() as batch:
        batch.put(b"a", b"1")
        batch.put(b"b", b"2")
    snapshot = db.snapshot()
    db.delete(b"a")
    assert snapshot.sequence == batch.sequence == 2
    assert db.snapshot().sequence == 3
    snapshot.close()
    assert snapshot.sequence == 2


def test_a_snapshot_reads_in_every_way_that_a_database_does(db):
    db.put(b"a", b"1")
    db.put(b"b", b"2")
    with db.snapshot() as snapshot:
        db.delete(b"a")
        assert (snapshot[b"a"], snapshot.get(b"x", 7), b"a" in snapshot) == (b"1", 7, True)
        assert snapshot.get_many([b"b", b"a", b"x"]) == [b"2", b"1", None]
        assert bytes(snapshot.get_view(b"a")) == b"1"
        assert list(snapshot) == list(snapshot.items()) == [(b"a", b"1"), (b"b", b"2")]
        assert (list(snapshot.keys()), list(snapshot.values())) == ([b"a", b"b"], [b"1", b"2"])
        assert list(snapshot.iterator(reverse=True, stop=b"b", include_value=False)) == [b"a"]
        raw = snapshot.raw_iterator()
        raw.seek_to_first()
        assert raw.item() == (b"a", b"1")
        with pytest.raises(KeyError):
            snapshot[b"x"]


def test_a_closed_snapshot_raises_and_its_iterators_go_on(db):
    db.put(b"a", b"1")
    snapshot = db.snapshot()
    it = snapshot.iterator()
    db.delete(b"a")
    assert not snapshot.closed
    snapshot.close()
    snapshot.close()
    assert snapshot.closed
    for call in (lambda: snapshot.get(b"a"), snapshot.iterator, snapshot.keys, lambda: snapshot.get_many([])):
        with pytest.raises(aidb.ClosedError):
            call()
    assert list(it) == [(b"a", b"1")]
    assert list(db) == []


def test_a_snapshot_of_a_closed_database_is_closed(path):
    with aidb.open(path) as db:
        snapshot = db.snapshot()
    assert snapshot.closed
    with pytest.raises(aidb.ClosedError):
        snapshot.get(b"a")
    snapshot.close()


def test_stats_count_snapshots_until_they_go(db):
    first, second = db.snapshot(), db.snapshot()
    db.put(b"a", b"")
    third = db.snapshot()
    assert db.stats()["snapshots"] == 2
    first.close()
    third.close()
    assert db.stats()["snapshots"] == 1
    del second
    assert db.stats()["snapshots"] == 0


def test_a_prefixed_view_is_a_database_of_its_own(db):
    for key in (b"a", b"p", b"p-1", b"p-2", b"p-\xff", b"p.", b"q"):
        db.put(key, b"value of " + key)
    view = db.prefixed_db(b"p-")
    assert (view.prefix, view.db) == (b"p-", db)
    assert "p-" in repr(view)
    assert list(view.keys()) == [b"1", b"2", b"\xff"]
    assert list(view) == [(b"1", b"value of p-1"), (b"2", b"value of p-2"), (b"\xff", b"value of p-\xff")]
    assert list(view.iterator(reverse=True, stop=b"2", include_stop=True, include_value=False)) == [b"2", b"1"]
    assert list(view.iterator(start=b"1", include_start=False, include_value=False)) == [b"2", b"\xff"]
    assert list(view.iterator(prefix=b"2")) == [(b"2", b"value of p-2")]
    assert (view.get(b"1"), view[b"2"], b"3" in view) == (b"value of p-1", b"value of p-2", False)
    assert view.get_many([b"2", b"", b"1"]) == [b"value of p-2", None, b"value of p-1"]
    with pytest.raises(KeyError) as caught:
        view[b"3"]
    assert caught.value.args == (b"3",)

    view.put(b"", b"the prefix itself")
    view[b"3"] = b"third"
    view.delete(b"1")
    with view.write_batch() as batch:
        batch.put(b"4", b"fourth")
        batch.delete(b"2")
    assert list(db.keys()) == [b"a", b"p", b"p-", b"p-3", b"p-4", b"p-\xff", b"p.", b"q"]

    it = view.iterator(include_value=False)
    it.seek(b"4")
    assert (next(it), it.prev(), it.prev()) == (b"4", b"4", b"3")
    it.seek_to_stop()
    assert it.prev() == b"\xff"
    raw = view.raw_iterator()
    raw.seek(b"4")
    assert raw.item() == (b"4", b"fourth")
    raw.seek_to_last()
    raw.next()
    assert not raw.valid()


def test_prefixes_nest_and_snapshots_keep_them(db):
    inner = db.prefixed_db(b"a/").prefixed_db(b"b/")
    inner.put(b"key", b"value")
    assert inner.prefix == b"a/b/" and inner.db.db is db
    assert db.get(b"a/b/key") == b"value"
    snapshot = inner.snapshot()
    inner.delete(b"key")
    assert list(snapshot) == [(b"key", b"value")]
    assert list(inner) == []
    everything = db.prefixed_db(b"")
    assert everything.prefix == b""
    everything.put(b"x", b"y")
    assert list(everything) == [(b"x", b"y")]


def test_a_view_keeps_its_database_open(path):
    view = aidb.open(path).prefixed_db(b"p")
    view.put(b"key", b"value")
    assert view.get(b"key") == b"value"
    view.db.close()
    with pytest.raises(aidb.ClosedError):
        view.get(b"key")


@pytest.mark.parametrize("prefix", [None, b"prefix/"])
def test_the_mapping_behaves_as_a_dict(db, prefix):
    from collections.abc import MutableMapping

    db.put(b"outside" if prefix else b"", b"")
    mapping = (db.prefixed_db(prefix) if prefix else db).mapping()
    if not prefix:
        del mapping[b""]
    model = {}
    assert isinstance(mapping, MutableMapping) and mapping == model and not mapping
    for target in (mapping, model):
        target[b"b"] = b"2"
        target.update({b"a": b"1", b"c": b"3"})
        assert target.setdefault(b"a", b"other") == b"1"
        assert target.setdefault(b"d", b"4") == b"4"
        assert target.pop(b"b") == b"2"
        assert target.pop(b"b", None) is None
        with pytest.raises(KeyError):
            del target[b"b"]
        with pytest.raises(KeyError):
            target[b"b"]
    assert mapping == model and len(mapping) == 3 and bool(mapping)
    assert list(mapping) == list(mapping.keys()) == sorted(model)
    assert list(reversed(mapping)) == sorted(model, reverse=True)
    assert list(mapping.items()) == sorted(model.items())
    assert list(mapping.values()) == [model[key] for key in sorted(model)]
    assert list(reversed(mapping.items())) == sorted(model.items(), reverse=True)
    assert list(reversed(mapping.values())) == [model[key] for key in sorted(model, reverse=True)]
    assert (b"a", b"1") in mapping.items() and b"4" in mapping.values() and b"5" not in mapping.values()
    assert b"a" in mapping and b"x" not in mapping and 7 not in mapping and "a" not in mapping
    assert mapping.keys() & {b"a", b"x"} == {b"a"}
    assert mapping.popitem() == (b"a", b"1")
    mapping.clear()
    assert len(mapping) == 0
    with pytest.raises(KeyError):
        mapping.popitem()
    assert len(list(db)) == (1 if prefix else 0)
    assert "DB" in repr(mapping)
