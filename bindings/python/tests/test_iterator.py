"""Iterators against examples and a sorted list."""

import itertools

import aidb
import pytest


def fill(db, keys):
    for key in keys:
        db.put(key, b"value of " + key)


def check_three(make, values):
    """Walks an iterator of three entries in every way around its ends."""
    first, second, third = values
    it = make()
    assert list(it) == values
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(it)
    it = make()
    assert (next(it), it.prev(), next(it), it.prev()) == (first,) * 4
    with pytest.raises(StopIteration):
        it.prev()
    assert [next(it), next(it), next(it)] == values
    with pytest.raises(StopIteration):
        next(it)
    assert (it.prev(), it.prev(), it.prev()) == (third, second, first)
    with pytest.raises(StopIteration):
        it.prev()
    assert list(it) == values


@pytest.mark.parametrize("flushed", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        (dict(stop=b"4"), b"123"),
        (dict(start=b"5"), b"567"),
        (dict(start=b"3", stop=b"6"), b"345"),
        (dict(start=b"3", stop=b"6", include_start=False, include_stop=True), b"456"),
        (dict(prefix=b"3"), None),
    ],
    ids=str,
)
def test_an_iterator_walks_both_ways_around_both_ends(db, flushed, reverse, bounds, expected):
    fill(db, [b"%c" % digit for digit in b"1234567"])
    if expected is None:
        fill(db, [b"30", b"31"])
        keys = [b"3", b"30", b"31"]
    else:
        keys = [b"%c" % digit for digit in expected]
    if flushed:
        db.flush()
    if reverse:
        keys.reverse()
    check_three(lambda: db.iterator(reverse=reverse, include_value=False, **bounds), keys)

    it = db.iterator(reverse=reverse, include_value=False, **bounds)
    to_end, to_begin = (it.seek_to_start, it.seek_to_stop) if reverse else (it.seek_to_stop, it.seek_to_start)
    to_end()
    with pytest.raises(StopIteration):
        next(it)
    assert it.prev() == keys[2]
    to_begin()
    with pytest.raises(StopIteration):
        it.prev()
    assert next(it) == keys[0]


def test_seek_stands_between_entries(db):
    fill(db, [b"1", b"2", b"3", b"4", b"5"])
    it = db.iterator(include_value=False)
    it.seek(b"2")
    assert list(it) == [b"2", b"3", b"4", b"5"]
    it.seek(b"2")
    assert it.prev() == b"1"
    it.seek(b"23")
    assert next(it) == b"3"
    it.seek(b"6")
    with pytest.raises(StopIteration):
        next(it)
    it.seek(b"0")
    with pytest.raises(StopIteration):
        it.prev()
    it.seek(b"4")
    it.seek(b"3")
    assert (next(it), next(it), it.prev(), it.prev(), it.prev()) == (b"3", b"4", b"4", b"3", b"2")


def test_seek_in_a_reverse_iterator_stands_below_the_target(db):
    fill(db, [b"1", b"2", b"3", b"4", b"5"])
    it = db.iterator(include_value=False, reverse=True)
    it.seek(b"6")
    assert (next(it), next(it)) == (b"5", b"4")
    it.seek(b"1")
    with pytest.raises(StopIteration):
        next(it)
    assert it.prev() == b"1"
    it.seek(b"3")
    assert next(it) == b"2"
    it.seek(b"3")
    assert it.prev() == b"3"


def test_seek_outside_the_range_means_its_end(db):
    fill(db, [b"1", b"2", b"3", b"4", b"5"])
    it = db.iterator(start=b"2", stop=b"5", include_value=False)
    it.seek(b"0")
    assert next(it) == b"2"
    it.seek(b"9")
    with pytest.raises(StopIteration):
        next(it)
    it.seek(b"9")
    assert it.prev() == b"4"
    it = db.iterator(reverse=True, start=b"2", stop=b"4", include_value=False)
    it.seek(b"5")
    assert next(it) == b"3"
    it.seek(b"1")
    assert it.prev() == b"2"


def test_an_empty_range_has_no_entry_either_way(db):
    fill(db, [b"a"])
    for keywords in (dict(start=b"b"), dict(start=b"3", stop=b"0"), dict(prefix=b"b"), dict(start=b"a", stop=b"a")):
        for reverse in (False, True):
            it = db.iterator(reverse=reverse, **keywords)
            for move in (lambda it: None, aidb.Iterator.seek_to_start, aidb.Iterator.seek_to_stop):
                move(it)
                assert next(it, None) is None
                with pytest.raises(StopIteration):
                    it.prev()


def test_what_is_yielded_is_what_was_asked_for(db):
    fill(db, [b"k"])
    pair = (b"k", b"value of k")
    assert next(db.iterator()) == pair and type(next(db.iterator())) is tuple
    assert next(db.iterator(include_value=False)) == b"k"
    assert next(db.iterator(include_key=False)) == b"value of k"
    assert list(db.iterator(include_key=False, include_value=False)) == [None]
    assert (list(db), list(db.items())) == ([pair], [pair])
    assert (list(db.keys()), list(db.values())) == ([b"k"], [b"value of k"])
    assert list(db.iterator(verify_checksums=True, fill_cache=False)) == [pair]
    assert list(db.iterator(True, b"a", b"z", True, False, None, True, False)) == [b"k"]


KEYS = [b"", b"\x00", b"a", b"a\x00", b"aa", b"ab", b"b", b"ba", b"b\xff", b"b\xff\xff", b"c", b"\xff", b"\xff\xff"]


def in_range(key, start, stop, include_start, include_stop, prefix):
    if start is not None and (key < start or (key == start and not include_start)):
        return False
    if stop is not None and (key > stop or (key == stop and not include_stop)):
        return False
    return prefix is None or key.startswith(prefix)


@pytest.mark.parametrize("flushed", [False, True])
def test_every_slice_is_the_models(db, flushed):
    fill(db, KEYS)
    if flushed:
        db.flush()
    ends = [None, b"", b"a", b"aab", b"b\xff", b"\xff\xff"]
    flags = list(itertools.product([False, True], repeat=5))
    for start, stop, prefix in itertools.product(ends, ends, [None, b"", b"a", b"b", b"b\xff", b"x"]):
        for include_start, include_stop, reverse, include_key, include_value in flags:
            range_ = dict(
                start=start, stop=stop, prefix=prefix, include_start=include_start, include_stop=include_stop
            )
            keys = [key for key in KEYS if in_range(key, **range_)]
            if reverse:
                keys.reverse()
            expected = [
                (key, b"value of " + key)
                if include_key and include_value
                else key
                if include_key
                else b"value of " + key
                if include_value
                else None
                for key in keys
            ]
            it = db.iterator(reverse, include_key=include_key, include_value=include_value, **range_)
            assert list(it) == expected, (range_, reverse)


def random_key(rng):
    return bytes(rng.choices(b"ab\x00\xff", k=rng.choice([0, 1, 2, 3, 5, 8])))


# WINDOW-1, WINDOW-2.
@pytest.mark.parametrize("round_", range(6))
def test_a_random_walk_is_the_models(tiny_db, seeded, data, round_):
    rng, model = seeded, {}
    for _ in range(rng.choice([0, 5, 300, 3000])):
        key = data.long_key() if rng.random() < 0.01 else random_key(rng) + b"%d" % rng.randrange(1000)
        if rng.random() < 0.2:
            tiny_db.delete(key)
            model.pop(key, None)
        else:
            value = data.value()
            tiny_db.put(key, value)
            model[key] = value
    if rng.random() < 0.3:
        tiny_db.compact_range()
    for _ in range(30):
        random_walk(tiny_db, rng, model)


def random_walk(db, rng, model):
    def maybe(key):
        return key if rng.random() < 0.5 else None

    range_ = dict(
        start=maybe(random_key(rng)),
        stop=maybe(random_key(rng)),
        include_start=rng.random() < 0.5,
        include_stop=rng.random() < 0.5,
        prefix=maybe(random_key(rng)[:2]),
    )
    reverse = rng.random() < 0.5
    it = db.iterator(reverse=reverse, **range_)
    entries = sorted((key, value) for key, value in model.items() if in_range(key, **range_))
    # The place of the iterator: before entries[at], in ascending order.
    at = len(entries) if reverse else 0
    # Writes that the iterator must not see.
    db.put(b"unseen", b"")
    db.delete(b"unseen")
    for _ in range(rng.choice([5, 20])):
        action = rng.choice(["next", "next", "prev", "run", "seek", "start", "stop"])
        if action == "seek":
            target = random_key(rng) if rng.random() < 0.5 or not entries else rng.choice(entries)[0]
            it.seek(target)
            at = sum(key < target for key, _ in entries)
        elif action == "start":
            it.seek_to_start()
            at = 0
        elif action == "stop":
            it.seek_to_stop()
            at = len(entries)
        else:
            moves = rng.choice([1, 40, 3000]) if action == "run" else 1
            onward = action == "next" or (action == "run" and rng.random() < 0.5)
            upward = onward != reverse
            for _ in range(moves):
                try:
                    got = next(it) if onward else it.prev()
                except StopIteration:
                    assert at == (len(entries) if upward else 0)
                    break
                at -= not upward
                assert got == entries[at]
                at += upward


def test_an_iterator_keeps_its_view(tiny_db):
    fill(tiny_db, [b"%04d" % number for number in range(1000)])
    before = list(tiny_db)
    it = tiny_db.iterator()
    assert next(it) == before[0]
    fill(tiny_db, [b"%04d" % number for number in range(1000, 2000)])
    for key, _ in before:
        tiny_db.delete(key)
    tiny_db.flush()
    tiny_db.compact_range()
    assert list(it) == before[1:]
    it.seek_to_stop()
    assert [it.prev() for _ in before] == before[::-1]


def test_a_closed_iterator_raises_and_the_database_goes_on(db):
    fill(db, [b"a", b"b"])
    it = db.iterator()
    next(it)
    assert not it.closed
    it.close()
    it.close()
    assert it.closed
    for call in (lambda: next(it), it.prev, lambda: it.seek(b""), it.seek_to_start, it.seek_to_stop):
        with pytest.raises(aidb.ClosedError):
            call()
    with db.iterator() as it:
        assert next(it)[0] == b"a"
    assert it.closed
    assert len(list(db)) == 2


def test_an_iterator_of_a_closed_database_is_closed(path):
    db = aidb.open(path)
    fill(db, [b"a", b"b", b"c"])
    it, raw = db.iterator(), db.raw_iterator()
    next(it)
    raw.seek_to_first()
    db.close()
    assert it.closed and raw.closed
    for call in (
        lambda: next(it),
        it.prev,
        it.seek_to_start,
        raw.valid,
        raw.key,
        raw.value,
        raw.item,
        raw.next,
        raw.prev,
        raw.seek_to_first,
    ):
        with pytest.raises(aidb.ClosedError):
            call()
    it.close()
    raw.close()


def test_a_raw_iterator_stands_on_an_entry_or_on_none(db):
    it = db.raw_iterator()
    it.seek_to_first()
    assert not it.valid()
    fill(db, [b"1", b"2", b"3"])
    with db.raw_iterator(verify_checksums=True, fill_cache=False) as it:
        assert not it.valid()
        for call in (it.key, it.value, it.item, it.next, it.prev):
            with pytest.raises(aidb.IteratorInvalidError):
                call()
        it.seek_to_first()
        assert it.valid() and it.item() == (b"1", b"value of 1")
        it.next()
        assert (it.key(), it.value()) == (b"2", b"value of 2")
        it.prev()
        it.prev()
        assert not it.valid()
        with pytest.raises(ValueError):
            it.prev()
        it.seek_to_last()
        assert it.key() == b"3"
        it.next()
        assert not it.valid()
        with pytest.raises(aidb.IteratorInvalidError):
            it.next()
        it.seek(b"15")
        assert it.key() == b"2"
        it.seek(b"4")
        assert not it.valid()
    assert it.closed
    it.close()
    with pytest.raises(aidb.ClosedError):
        it.valid()


def test_entries_larger_than_a_chunk_are_walked_both_ways(db):
    values = [bytes([number]) * 300_000 for number in range(5)]
    for number, value in enumerate(values):
        db.put(b"%d" % number, value)
    it = db.iterator(include_key=False)
    assert list(it) == values
    assert [it.prev() for _ in values] == values[::-1]


def test_annotations_can_name_what_an_iterator_yields():
    assert aidb.Iterator[bytes].__origin__ is aidb.Iterator
