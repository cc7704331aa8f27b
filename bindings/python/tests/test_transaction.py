"""Transactions: what they see, when they conflict, how they end, and the calls of one key."""

import gc
import os
import threading
import time
import weakref

import aidb
import pytest
from together import run_all


def test_it_sees_its_own_writes_and_nobody_else_does_before_the_commit(db):
    db.put(b"a", b"1")
    db.put(b"b", b"2")
    with db.transaction() as t:
        t.put(b"c", b"3")
        t[b"d"] = b"4"
        t.delete(b"a")
        del t[b"absent"]
        assert (t.get(b"a"), t.get(b"b"), t.get(b"c"), t.get(b"x", 7)) == (None, b"2", b"3", 7)
        assert (t[b"d"], b"d" in t, b"a" in t) == (b"4", True, False)
        with pytest.raises(KeyError):
            t[b"a"]
        assert t.get_many([b"d", b"a", b"b", bytearray(b"c")], b"-") == [b"4", b"-", b"2", b"3"]
        assert t.get_many([]) == []
        assert bytes(t.get_view(b"c")) == b"3"
        assert list(t) == list(t.items()) == [(b"b", b"2"), (b"c", b"3"), (b"d", b"4")]
        assert (list(t.keys()), list(t.values())) == ([b"b", b"c", b"d"], [b"2", b"3", b"4"])
        assert list(db) == [(b"a", b"1"), (b"b", b"2")]
        assert not t.closed and t.sequence is None
    assert t.closed
    # Two puts and two deletes after two puts.
    assert t.sequence == db.snapshot().sequence == 2 + 4
    assert list(db.keys()) == [b"b", b"c", b"d"]


def test_its_iterators_take_every_option(db):
    for number in range(10):
        db.put(b"k%d" % number, b"%d" % number)
    with db.transaction() as t:
        t.delete(b"k3")
        t.put(b"k5", b"five")
        t.put(b"l", b"")
        expected = {b"k%d" % number: b"%d" % number for number in range(10) if number != 3} | {b"k5": b"five", b"l": b""}
        model = sorted(expected.items())
        assert list(t.iterator(reverse=True)) == model[::-1]
        assert list(t.iterator(start=b"k2", stop=b"k5")) == model[2:4]
        assert list(t.iterator(start=b"k2", stop=b"k5", include_start=False, include_stop=True)) == model[3:5]
        assert list(t.iterator(prefix=b"k", include_value=False, fill_cache=False)) == [key for key, _ in model[:-1]]
        assert list(t.iterator(include_key=False)) == [value for _, value in model]
        it = t.iterator()
        # Back and forth, where one entry is fetched without moving on, then more.
        assert [next(it) for _ in range(3)] == model[:3]
        assert [it.prev() for _ in range(3)] == model[2::-1]
        with pytest.raises(StopIteration):
            it.prev()
        assert list(it) == model
        it.seek(b"k4")
        assert (it.prev(), next(it), next(it), next(it)) == (model[2], model[2], model[3], model[4])
        it.seek_to_stop()
        assert [it.prev() for _ in range(10)] == model[::-1]
        # It has the writes of its beginning.
        t.put(b"m", b"")
        it.seek(b"l")
        assert list(it) == [(b"l", b"")]
        raw = t.raw_iterator()
        raw.seek(b"k3")
        assert raw.item() == (b"k4", b"4")
        raw.next()
        assert raw.item() == (b"k5", b"five")
        raw.seek_to_last()
        assert raw.key() == b"m"


@pytest.mark.parametrize("reverse", [False, True])
def test_long_walks_see_all_entries_in_both_directions(tiny_db, seeded, reverse):
    model = {}
    for number in range(3000):
        model[b"%05d" % number] = bytes(seeded.randrange(40))
    with tiny_db.write_batch() as batch:
        for key, value in model.items():
            batch.put(key, value)
    with tiny_db.transaction() as t:
        for _ in range(500):
            key = b"%05d" % seeded.randrange(4000)
            if seeded.random() < 0.5:
                model[key] = b"own"
                t.put(key, b"own")
            else:
                model.pop(key, None)
                t.delete(key)
        entries = sorted(model.items(), reverse=reverse)
        assert list(t.iterator(reverse=reverse)) == entries
        it, at = t.iterator(reverse=reverse), 0
        for _ in range(100):
            for _ in range(seeded.randrange(60)):
                if at < len(entries):
                    assert next(it) == entries[at]
                    at += 1
            for _ in range(seeded.randrange(40)):
                if at > 0:
                    at -= 1
                    assert it.prev() == entries[at]


def test_it_reads_as_of_its_beginning(db):
    db.put(b"a", b"1")
    with db.transaction(read_only=True) as t:
        db.put(b"a", b"2")
        db.put(b"b", b"2")
        assert list(t) == [(b"a", b"1")] and t.get(b"b") is None
    assert t.sequence == 1


READS = {
    "get": lambda t: t.get(b"k"),
    "item": lambda t: t[b"k"],
    "contains": lambda t: b"k" in t,
    "get_view": lambda t: t.get_view(b"k"),
    "get_many": lambda t: t.get_many([b"x", b"k"]),
    "many keys": lambda t: t.get_many([b"%d" % number for number in range(1000)] + [b"k"]),
    "iterator": list,
    "descending": lambda t: list(t.iterator(reverse=True)),
    "prefix": lambda t: list(t.iterator(prefix=b"k")),
    "prev": lambda t: (it := t.iterator(), it.seek_to_stop(), it.prev(), it.prev()),
    "raw iterator": lambda t: (raw := t.raw_iterator(), raw.seek_to_first(), raw.next()),
}


@pytest.mark.parametrize("name", READS)
def test_a_commit_conflicts_if_what_it_has_read_was_changed(db, name):
    db.put(b"k", b"1")
    db.put(b"l", b"1")
    t = db.begin()
    READS[name](t)
    t.put(b"result", b"")
    db.put(b"k", b"2")
    with pytest.raises(aidb.ConflictError) as caught:
        t.commit()
    assert caught.value.is_retryable and t.closed and t.sequence is None
    assert b"result" not in db
    with pytest.raises(aidb.ClosedError, match="it met a conflict"):
        t.get(b"k")


@pytest.mark.parametrize("change", [lambda db: db.put(b"j", b""), lambda db: db.delete(b"k")])
def test_a_range_conflicts_with_entries_that_come_and_go(db, change):
    db.put(b"k", b"1")
    t = db.begin()
    list(t.iterator(start=b"i", stop=b"l"))
    t.put(b"result", b"")
    change(db)
    with pytest.raises(aidb.ConflictError):
        t.commit()


def test_writes_alone_and_reads_alone_do_not_conflict(db):
    db.put(b"k", b"1")
    blind, reader, own = db.begin(), db.begin(), db.begin()
    blind.put(b"k", b"blind")
    assert reader.get(b"k") == b"1"
    own.put(b"k", b"own")
    assert own.get(b"k") == b"own"
    for number in range(3):
        db.put(b"k", b"%d" % number)
    first, second = blind.commit(), own.commit()
    assert (blind.sequence, own.sequence) == (first, second) == (5, 6)
    assert reader.commit() == 1
    assert db.get(b"k") == b"own"


def test_the_first_step_of_an_iterator_reads_one_entry_only(db):
    for number in range(10):
        db.put(b"job/%d" % number, b"")
    for options in ({}, {"reverse": True}):
        keys = list(db.iterator(prefix=b"job/", include_value=False, **options))
        with db.transaction() as t:
            with t.iterator(prefix=b"job/", **options) as jobs:
                first = next(jobs)[0]
                jobs.seek_to_start()
            del t[first]
            # Others take and make jobs after that one.
            db.delete(keys[1])
            db.put(keys[1], b"again")
    assert len(list(db.iterator(prefix=b"job/"))) == 8
    t = db.begin()
    jobs = t.iterator(prefix=b"job/", include_value=False)
    assert [next(jobs), next(jobs)] == [b"job/1", b"job/2"]
    t.delete(b"job/1")
    db.delete(b"job/3")
    with pytest.raises(aidb.ConflictError):
        t.commit()


def test_a_read_only_transaction_refuses_writes(db):
    batch = db.write_batch()
    batch.put(b"a", b"")
    with db.transaction(read_only=True) as t:
        for call in (lambda: t.put(b"a", b""), lambda: t.delete(b"a"), lambda: t.write(batch)):
            with pytest.raises(aidb.InvalidArgumentError):
                call()
        t.get(b"a")
        db.put(b"a", b"1")
    t = db.begin(read_only=True)
    list(t)
    db.put(b"a", b"2")
    assert t.commit() == 1


def test_a_read_only_database_has_read_only_transactions(path):
    with aidb.open(path) as db:
        db.put(b"a", b"1")
    with aidb.open(path, read_only=True) as db:
        with db.transaction() as t:
            assert t.get(b"a") == b"1"
            with pytest.raises(aidb.InvalidArgumentError):
                t.put(b"a", b"2")
        with pytest.raises(aidb.InvalidArgumentError):
            db.put_if_absent(b"b", b"")


def test_keys_and_values_have_bounds(db):
    with db.transaction() as t:
        t.put(bytes(16 << 20), b"")
        t.put(b"large", bytes(5 << 20))
        t.put(b"", b"")
        with pytest.raises(aidb.InvalidArgumentError):
            t.put(bytes((16 << 20) + 1), b"")
        with pytest.raises(aidb.InvalidArgumentError):
            t.get(bytes((16 << 20) + 1))
        with pytest.raises(TypeError):
            t.put("text", b"")
        assert len(t[b"large"]) == 5 << 20
        assert [len(value) for value in t.values()] == [0, 0, 5 << 20]
    assert (len(db[b"large"]), db.get(b"")) == (5 << 20, b"")


def test_a_batch_joins_a_transaction_whole(db):
    batch = db.write_batch()
    batch.put(b"a", b"1")
    batch.delete(b"b")
    db.put(b"b", b"2")
    with db.transaction() as t:
        t.write(batch)
        assert list(t) == [(b"a", b"1")]
        batch.put(b"later", b"")
    assert list(db) == [(b"a", b"1")] and len(batch) == 3
    large = db.write_batch()
    large.put(b"large", bytes(5 << 20))
    with db.transaction() as t:
        t.write(large)
    assert len(db[b"large"]) == 5 << 20
    with pytest.raises(TypeError):
        db.begin().write([(b"a", b"1")])


def test_savepoints_take_writes_back_and_keep_reads(db):
    db.put(b"a", b"1")
    t = db.begin()
    t.put(b"a", b"2")
    first = t.savepoint()
    t.delete(b"a")
    t.put(b"b", b"")
    second = t.savepoint()
    t.put(b"c", b"")
    t.rollback_to(second)
    assert list(t) == [(b"b", b"")]
    t.rollback_to(first)
    assert list(t) == [(b"a", b"2")]
    t.put(b"d", b"")
    t.rollback_to(first)
    with pytest.raises(aidb.InvalidArgumentError, match="no such savepoint"):
        t.rollback_to(second)
    with pytest.raises(aidb.InvalidArgumentError, match="another transaction"):
        db.begin().rollback_to(first)
    with pytest.raises(TypeError):
        t.rollback_to(1)
    assert "Savepoint" in repr(first)
    db.put(b"elsewhere", b"")
    # The walks above have read the whole database.
    with pytest.raises(aidb.ConflictError):
        t.commit()


def test_a_block_that_raises_rolls_back(db):
    with pytest.raises(ZeroDivisionError):
        with db.transaction() as t:
            t.put(b"a", b"")
            raise ZeroDivisionError
    assert t.closed and t.sequence is None and list(db) == []
    with pytest.raises(aidb.ClosedError, match="it was rolled back"):
        t.commit()


def test_a_block_may_end_its_transaction_itself(db):
    with db.transaction() as t:
        t.put(b"a", b"")
        assert t.commit() == 1
    with db.transaction() as t:
        t.put(b"b", b"")
        t.rollback()
    with db.transaction() as t:
        t.get(b"a")
        t.put(b"b", b"")
        db.put(b"a", b"1")
        with pytest.raises(aidb.ConflictError):
            t.commit()
    assert list(db) == [(b"a", b"1")]


def test_a_block_whose_commit_conflicts_raises(db):
    with pytest.raises(aidb.ConflictError):
        with db.transaction() as t:
            t.get(b"a")
            t.put(b"b", b"")
            db.put(b"a", b"")
    assert b"b" not in db and db.stats()["transactions_open"] == 0


USES = {
    "get": lambda t: t.get(b"a"),
    "get_many": lambda t: t.get_many([b"a"]),
    "no keys": lambda t: t.get_many([]),
    "get_view": lambda t: t.get_view(b"a"),
    "contains": lambda t: b"a" in t,
    "put": lambda t: t.put(b"a", b""),
    "large put": lambda t: t.put(b"a", bytes(5 << 20)),
    "delete": lambda t: t.delete(b"a"),
    "iterator": lambda t: t.iterator(),
    "keys": lambda t: t.keys(),
    "raw_iterator": lambda t: t.raw_iterator(),
    "savepoint": lambda t: t.savepoint(),
    "commit": lambda t: t.commit(),
}
ENDS = {
    "was committed": lambda db, t: t.commit(),
    "was rolled back": lambda db, t: t.rollback(),
    "database": lambda db, t: db.close(),
}


@pytest.mark.parametrize("end", ENDS)
def test_every_call_after_the_end_raises_closed_and_says_how_it_ended(db, end):
    for number in range(100):
        db.put(b"%02d" % number, b"")
    t = db.begin()
    savepoint, batch = t.savepoint(), db.write_batch()
    it, fresh, raw = t.iterator(), t.iterator(), t.raw_iterator()
    for _ in range(10):
        next(it)
    raw.seek_to_first()
    raw.next()
    ENDS[end](db, t)
    uses = USES | {
        "rollback_to": lambda t: t.rollback_to(savepoint),
        "write": lambda t: t.write(batch),
        "next": lambda t: next(it),
        "prev": lambda t: it.prev(),
        "seek": lambda t: it.seek(b"05"),
        "first next": lambda t: next(fresh),
        "raw next": lambda t: raw.next(),
        "raw seek": lambda t: raw.seek(b"05"),
    }
    for name, use in uses.items():
        with pytest.raises(aidb.ClosedError, match=end):
            use(t)
            pytest.fail(name)
    t.rollback()
    t.rollback()
    assert t.closed
    for handle in (it, fresh, raw):
        handle.close()


def test_a_dropped_transaction_is_rolled_back_after_its_iterators(db):
    db.put(b"a", b"1")
    t = db.begin()
    t.put(b"b", b"2")
    gone = weakref.ref(t)
    it, raw = t.iterator(), t.raw_iterator()
    del t
    gc.collect()
    assert gone() is None and db.stats()["transactions_open"] == 1
    assert list(it) == [(b"a", b"1"), (b"b", b"2")]
    del it
    raw.seek_to_first()
    del raw
    gc.collect()
    stats = db.stats()
    assert (stats["transactions_open"], stats["snapshots"]) == (0, 0)
    assert list(db.keys()) == [b"a"]


def test_handles_may_go_in_any_order(path):
    db = aidb.open(path)
    db.put(b"a", b"1")
    t = db.begin()
    t.put(b"b", b"2")
    it = t.iterator()
    del db
    gc.collect()
    # PYTHON-3: it keeps its database open.
    assert next(it) == (b"a", b"1")
    t.commit()
    del t
    with pytest.raises(aidb.ClosedError):
        next(it)
    with pytest.raises(aidb.LockedError):
        aidb.open(path)
    del it
    gc.collect()
    with aidb.open(path) as db:
        assert list(db.keys()) == [b"a", b"b"]
        db.begin().put(b"c", b"")
        t = db.begin()
    assert t.closed
    t.rollback()


def test_a_transaction_that_nobody_uses_times_out(path):
    with aidb.open(path, transaction_timeout=1) as db:
        t = db.begin()
        t.put(b"a", b"")
        until = time.monotonic() + 60
        while db.stats()["transactions_timed_out"] == 0:
            assert time.monotonic() < until
        assert t.closed
        for call in (lambda: t.get(b"a"), t.commit):
            with pytest.raises(aidb.ConflictError, match="transaction_timeout"):
                call()
        with pytest.raises(aidb.ConflictError, match="transaction_timeout"):
            with db.transaction() as t:
                before = db.stats()["transactions_timed_out"]
                while db.stats()["transactions_timed_out"] == before:
                    assert time.monotonic() < until
        assert list(db) == []


def test_stats_count_transactions(db):
    db.put(b"a", b"")
    first, second = db.begin(), db.begin()
    first.get(b"a")
    first.put(b"b", b"")
    stats = db.stats()
    assert stats["transactions_open"] == 2 and stats["snapshots"] > 0
    second.commit()
    db.put(b"a", b"1")
    with pytest.raises(aidb.ConflictError):
        first.commit()
    stats = db.stats()
    names = ("transactions_open", "transactions_committed", "transaction_conflicts", "transactions_timed_out")
    counts = [stats[name] for name in names]
    assert counts == [0, 1, 1, 0]


def test_a_synced_commit(db):
    with db.transaction(sync=True) as t:
        t.put(b"a", b"")
    t = db.begin()
    t.put(b"b", b"")
    t.commit(sync=True)
    assert list(db.keys()) == [b"a", b"b"]


def test_a_prefixed_view_has_transactions_under_its_prefix(db):
    view = db.prefixed_db(b"p/")
    db.put(b"p/a", b"1")
    db.put(b"q", b"1")
    batch = view.write_batch()
    batch.put(b"batch", b"")
    with view.transaction() as t:
        assert t[b"a"] == b"1" and list(t.keys()) == [b"a"]
        t[b"b"] = b"2"
        del t[b"a"]
        t.write(batch)
        assert list(t.iterator(start=b"b", include_value=False)) == [b"b", b"batch"]
        db.put(b"q", b"2")
    assert list(db.keys()) == [b"p/b", b"p/batch", b"q"]
    assert view.put_if_absent(b"c", b"3") and not view.put_if_absent(b"c", b"4")
    assert view.compare_and_set(b"c", b"3", None) and b"p/c" not in db
    assert view.get_and_put(b"b", b"4") == b"2" and db[b"p/b"] == b"4"
    assert view.get_and_delete(b"b") == b"4" and b"p/b" not in db
    assert view.run_transaction(lambda t: list(t.keys())) == [b"batch"]


def test_run_transaction_returns_the_result_and_tries_again_after_conflicts(db):
    db.put(b"n", b"0")
    calls = []

    def work(t):
        calls.append(t)
        value = int(t[b"n"])
        if len(calls) < 4:
            db.put(b"n", b"%d" % (value + 10))
        t[b"n"] = b"%d" % (value + 1)
        return value

    assert db.run_transaction(work) == 30
    assert db[b"n"] == b"31" and len(set(calls)) == 4 and calls[-1].sequence == 5
    assert all(t.closed for t in calls)


def test_run_transaction_gives_up_after_its_attempts(db):
    calls = []

    def work(t):
        calls.append(t.get(b"a"))
        t.put(b"b", b"")
        db.put(b"a", b"%d" % len(calls))

    for attempts in (1, 3):
        calls.clear()
        with pytest.raises(aidb.ConflictError, match=f"after {attempts} attempts: another commit") as caught:
            db.run_transaction(work, attempts)
        assert len(calls) == attempts and isinstance(caught.value.__cause__, aidb.ConflictError)
    for attempts in (0, -1):
        with pytest.raises(aidb.InvalidArgumentError):
            db.run_transaction(work, attempts=attempts)
    assert len(calls) == 3 and db.stats()["transactions_open"] == 0


def test_run_transaction_tries_again_if_the_function_itself_raises_a_conflict(db):
    calls = []

    def work(t):
        calls.append(t)
        t.put(b"%d" % len(calls), b"")
        if len(calls) == 1:
            raise aidb.ConflictError("of another database")

    db.run_transaction(work, sync=True)
    assert list(db.keys()) == [b"2"]


def test_run_transaction_passes_other_exceptions_on(db):
    def work(t):
        calls.append(t)
        t.put(b"a", b"")
        raise error

    for error in (ZeroDivisionError("x"), aidb.ClosedError("x"), KeyboardInterrupt()):
        calls = []
        with pytest.raises(type(error)) as caught:
            db.run_transaction(work)
        assert caught.value is error and len(calls) == 1 and calls[0].closed
    with pytest.raises(aidb.ClosedError):
        db.run_transaction(lambda t: t.rollback())
    with pytest.raises(TypeError):
        db.run_transaction(None)
    assert list(db) == [] and db.stats()["transactions_open"] == 0


def test_one_call_functions(db):
    assert db.compare_and_set(b"k", None, b"1")
    assert not db.compare_and_set(b"k", None, b"2")
    assert not db.compare_and_set(b"k", b"", b"2") and db[b"k"] == b"1"
    assert db.compare_and_set(b"k", b"1", bytearray(b"2"), sync=True) and db[b"k"] == b"2"
    assert db.compare_and_set(b"k", b"2", None) and b"k" not in db
    assert db.compare_and_set(b"k", None, None)
    assert db.put_if_absent(b"k", b"") and not db.put_if_absent(b"k", b"2") and db[b"k"] == b""
    assert (db.get_and_put(b"k", b"3"), db.get_and_put(b"l", b"4", sync=True)) == (b"", None)
    before = db.snapshot().sequence
    assert db.get_and_delete(b"absent") is None and db.snapshot().sequence == before
    assert (db.get_and_delete(b"k"), db.get_and_delete(b"l", sync=True)) == (b"3", b"4")
    large = bytes(5 << 20)
    assert db.put_if_absent(b"k", large) and db.compare_and_set(b"k", large, b"small")
    assert db.get_and_put(b"k", large) == b"small" and db.get_and_put(b"k", b"") == large
    with pytest.raises(aidb.InvalidArgumentError):
        db.put_if_absent(bytes((16 << 20) + 1), b"")
    with pytest.raises(TypeError):
        db.compare_and_set(b"k", "text", b"")
    db.close()
    for call in (
        lambda: db.compare_and_set(b"k", None, None),
        lambda: db.put_if_absent(b"k", b""),
        lambda: db.get_and_put(b"k", b""),
        lambda: db.get_and_delete(b"k"),
        db.begin,
        db.transaction,
        lambda: db.run_transaction(lambda t: None),
    ):
        with pytest.raises(aidb.ClosedError):
            call()


def test_threads_that_compare_and_set_lose_no_update(db):
    db.put(b"n", b"0")

    def work(index):
        for _ in range(200):
            while True:
                value = db[b"n"]
                if db.compare_and_set(b"n", value, b"%d" % (int(value) + 1)):
                    break

    run_all(4, work)
    assert db[b"n"] == b"800"


def test_threads_take_every_job_exactly_once(db):
    jobs = [b"%04d" % number for number in range(200)]
    with db.transaction() as t:
        for job in jobs:
            t[b"job/" + job] = b"work"
    taken = [[] for _ in range(4)]

    def take(t):
        for key in t.iterator(prefix=b"job/", include_value=False):
            del t[key]
            return key.removeprefix(b"job/")

    def work(index):
        while (job := db.run_transaction(take, attempts=10_000)) is not None:
            taken[index].append(job)

    run_all(4, work)
    assert sorted(sum(taken, [])) == jobs


def test_threads_that_transfer_keep_the_sum(tiny_db, seeded):
    db, accounts = tiny_db, [b"account/%d" % number for number in range(5)]
    for account in accounts:
        db[account] = b"100"

    def transfer(t, source, target, amount):
        balance, other = map(int, t.get_many([source, target]))
        if balance < amount:
            raise OverflowError
        t[source], t[target] = b"%d" % (balance - amount), b"%d" % (other + amount)

    seeds = [seeded.random() for _ in range(4)]

    def work(index):
        chance = type(seeded)(seeds[index])
        for _ in range(100):
            pair, amount = chance.sample(accounts, 2), chance.randrange(200)
            try:
                db.run_transaction(lambda t: transfer(t, *pair, amount), attempts=10_000)
            except OverflowError:
                pass
            with db.transaction(read_only=True) as t:
                assert sum(int(value) for value in t.values()) == 500

    run_all(4, work)


def test_a_call_while_another_thread_is_in_one_is_refused(db):
    t = db.begin()
    met = threading.Event()

    def work(index):
        until = time.monotonic() + 60
        while not met.is_set():
            assert time.monotonic() < until, "no call met another one"
            try:
                t.put(b"k%d" % index, bytes(6 << 20))
                t.get(b"k%d" % index)
            except aidb.InvalidArgumentError as error:
                assert "in use by another thread" in str(error)
                met.set()

    run_all(2, work)
    # It is whole, and goes on.
    t.put(b"last", b"")
    t.commit()
    assert b"last" in db


def test_a_rollback_by_another_thread_and_a_close_end_its_calls(db):
    for number in range(2000):
        db.put(b"%04d" % number, b"")
    for end in ("rollback", "close"):
        t = db.begin()

        def work(index):
            if index == 0:
                # A call of the transaction might be refused, because the other thread is in one.
                db.get(b"0001")
                t.rollback() if end == "rollback" else db.close()
                return
            with pytest.raises(aidb.ClosedError):
                while True:
                    t.get(b"0002")
                    t.put(b"0003", b"")
                    sum(1 for _ in t.iterator(stop=b"0100"))

        run_all(2, work)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process")
def test_a_forked_child_finds_it_closed_and_the_parents_goes_on(db):
    for number in range(100):
        db.put(b"%02d" % number, b"")
    t = db.begin()
    t.put(b"a", b"")
    savepoint, it, raw = t.savepoint(), t.iterator(), t.raw_iterator()
    next(it)
    stop, turns = threading.Event(), []

    def use():
        while not stop.is_set():
            t.put(b"large", bytes(5 << 20))
            t.get(b"50")
            turns.append(True)

    thread = threading.Thread(target=use)
    thread.start()
    try:
        for _ in range(10):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    uses = [*USES.values(), lambda t: next(it), lambda t: raw.seek_to_first()]
                    uses += [lambda t: t.rollback_to(savepoint), lambda t: db.put_if_absent(b"a", b"")]
                    uses += [lambda t: db.run_transaction(lambda t: None), lambda t: db.begin()]
                    for call in uses:
                        try:
                            call(t)
                        except aidb.ClosedError:
                            continue
                        break
                    else:
                        t.rollback()
                        status = 0 if t.closed else 2
                finally:
                    os._exit(status)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        stop.set()
        thread.join()
    assert turns and t.get(b"a") == b""
    t.commit()
    assert db[b"a"] == b""


def test_collecting_garbage_in_a_transaction_does_not_deadlock(db):
    for number in range(1000):
        db.put(b"%d" % number, b"")

    class Finalizer:
        def __init__(self, t, it):
            self.t, self.it, self.self = t, it, self

        def __del__(self):
            try:
                next(self.it, None)
                self.t.get(b"1")
            except aidb.InvalidArgumentError:
                pass

    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        t = db.begin()
        it = t.iterator()
        for number in range(500):
            Finalizer(t, it)
            next(it, None)
            t.put(b"%d" % number, b"v")
        gc.collect()
    finally:
        gc.set_threshold(*before)
    t.commit()
    assert db[b"499"] == b"v"
