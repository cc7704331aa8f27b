"""Opening, options, single reads and writes, reports, closing."""

import array
import os
import pathlib

import aidb
import pytest
from data import EDGES, MAX_KEY_BYTES

EXTREMES = [b"", b"\x00", b"\x00\x00", b"a", b"a\x00", b"\x7f", b"\x80", b"\xff", b"\xff\xff", bytes(range(256))]


def test_a_value_comes_back_as_it_was_put(db):
    assert db.put(b"key", b"value") is None
    assert db.get(b"key") == b"value"
    assert db[b"key"] == b"value"
    assert b"key" in db


@pytest.mark.parametrize("flushed", [False, True])
def test_empty_and_binary_keys_and_values_are_ordinary(db, flushed):
    for index, key in enumerate(EXTREMES):
        db.put(key, EXTREMES[-index])
    if flushed:
        db.flush()
    for index, key in enumerate(EXTREMES):
        assert db.get(key) == EXTREMES[-index]
        assert bytes(db.get_view(key)) == EXTREMES[-index]
    assert list(db) == sorted((key, EXTREMES[-index]) for index, key in enumerate(EXTREMES))
    assert db.get_many(EXTREMES) == [EXTREMES[-index] for index in range(len(EXTREMES))]


def test_an_absent_key_is_the_default(db):
    assert db.get(b"absent") is None
    assert db.get(b"absent", b"default") == b"default"
    assert db.get(b"absent", default=7) == 7
    assert db.get_view(b"absent") is None
    assert db.get_view(b"absent", b"default") == b"default"
    assert db.get_many([b"absent"], default=0) == [0]
    assert b"absent" not in db
    with pytest.raises(KeyError) as caught:
        db[b"absent"]
    assert caught.value.args == (b"absent",)


def test_delete_removes_and_is_no_error_for_an_absent_key(db):
    db[b"a"] = b"1"
    db[b"b"] = b"2"
    db.delete(b"a")
    del db[b"b"]
    del db[b"b"]
    db.delete(b"absent", sync=True)
    assert list(db) == []


def test_sync_and_read_keywords_are_taken(db):
    db.put(b"key", b"value", sync=True)
    for keywords in (dict(fill_cache=False), dict(verify_checksums=True), dict(verify_checksums=False)):
        assert db.get(b"key", **keywords) == b"value"
    assert bytes(db.get_view(b"key", fill_cache=False)) == b"value"
    assert db.get_many([b"key"], fill_cache=False) == [b"value"]
    db.delete(b"key", sync=True)
    assert db.get(b"key") is None


def test_arguments_may_be_any_bytes_like_object(db):
    numbers = array.array("i", [1, 2, 3])
    strided = memoryview(b"a-b-c-")[::2]
    for value in (b"x", bytearray(b"x"), memoryview(b"x"), numbers, strided):
        db.put(bytearray(b"key"), value)
        assert db.get(memoryview(b"key")) == bytes(value)
    batch = db.write_batch()
    batch.put(bytearray(b"k2"), memoryview(b"v2"))
    batch.write()
    assert list(db.iterator(start=bytearray(b"k2"), stop=memoryview(b"k3"))) == [(b"k2", b"v2")]


@pytest.mark.parametrize("wrong", ["text", 1, None, [1, 2], object()])
def test_what_is_not_bytes_like_is_a_type_error(db, wrong):
    batch, it, raw = db.write_batch(), db.iterator(), db.raw_iterator()
    for call in (
        lambda: db.get(wrong),
        lambda: db.put(wrong, b""),
        lambda: db.put(b"", wrong),
        lambda: db.delete(wrong),
        lambda: db[wrong],
        lambda: db.get_many([b"", wrong]),
        lambda: db.get_view(wrong),
        lambda: batch.put(b"", wrong),
        lambda: batch.delete(wrong),
        lambda: it.seek(wrong),
        lambda: raw.seek(wrong),
        lambda: db.prefixed_db(wrong),
        # None means no bound there.
        lambda: db.approximate_size(1 if wrong is None else wrong, b""),
        lambda: db.approximate_sizes((b"", 1 if wrong is None else wrong)),
        lambda: db.approximate_count(b"", 1 if wrong is None else wrong),
        lambda: db.count(1 if wrong is None else wrong),
        lambda: db.count(prefix=1 if wrong is None else wrong),
    ):
        with pytest.raises(TypeError):
            call()


def test_every_threshold_comes_back_as_a_key_and_as_a_value(db, data):
    model = {}
    for edge in EDGES:
        batch = {b"value of %d" % edge: data.value(edge)}
        if edge <= MAX_KEY_BYTES:
            batch[data.long_key(edge)] = b"%d" % edge
        else:
            with pytest.raises(aidb.InvalidArgumentError):
                db.put(data.long_key(edge), b"")
        with db.write_batch() as writes:
            for key, value in batch.items():
                writes.put(key, value)
        model.update(batch)
    for _ in ("memtable and tables", "tables"):
        assert all(db.get(key) == value for key, value in model.items())
        assert db.get_many(list(model)) == list(model.values())
        assert list(db) == sorted(model.items())
        assert list(db.iterator(reverse=True)) == sorted(model.items(), reverse=True)
        db.flush()
        db.compact_range()


def test_a_large_value_comes_back_whole(db):
    value = os.urandom(1 << 20) * 3 + b"tail"
    db.put(b"large", value)
    assert db.get(b"large") == value
    db.flush()
    assert db.get(b"large") == value
    assert db.get_view(b"large") == value
    assert list(db.values()) == [value]


def test_a_view_is_read_only_and_outlives_its_entry(db):
    value = os.urandom(100_000)
    db.put(b"key", value)
    db.flush()
    view = db.get_view(b"key")
    assert isinstance(view, memoryview) and view.readonly and view.format == "B" and view.nbytes == len(value)
    with pytest.raises(TypeError):
        view[0] = 1
    part = view[10:20]
    db.delete(b"key")
    db.compact_range()
    db.close()
    view.release()
    assert part == value[10:20]


def test_get_many_keeps_the_order_and_repeats(db):
    for number in range(100):
        db.put(b"%d" % number, b"value %d" % number)
    keys = (b"%d" % (number % 150) for number in range(300, 0, -1))
    expected = [b"value %d" % (n % 150) if n % 150 < 100 else None for n in range(300, 0, -1)]
    assert db.get_many(keys) == expected
    assert db.get_many([]) == []


@pytest.mark.parametrize("convert", [str, os.fsencode, pathlib.Path])
def test_a_path_may_be_text_bytes_or_path_like(path, convert):
    with aidb.open(convert(path)) as db:
        db.put(b"key", b"value")
        assert db.name == str(path)
    with aidb.DB(path) as db:
        assert db.get(b"key") == b"value"
    with pytest.raises(TypeError):
        aidb.open(7)


def test_a_name_beyond_ascii_works(tmp_path):
    with aidb.open(tmp_path / "données ✓") as db:
        db.put("clé".encode(), b"")
        assert "données ✓" in repr(db)


@pytest.mark.parametrize("name", ["", b"", "with\0nul", b"with\0nul"])
def test_an_empty_path_and_one_with_a_nul_byte_are_invalid_arguments(path, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with aidb.open(path) as db, pytest.raises(aidb.InvalidArgumentError, match="empty|NUL"):
        db.checkpoint(name)
    before = sorted(os.listdir())
    for call in (
        lambda: aidb.open(name),
        lambda: aidb.DB(name),
        lambda: aidb.destroy_db(name),
        lambda: aidb.repair_db(name, tmp_path / "new"),
        lambda: aidb.repair_db(path, name),
    ):
        with pytest.raises(aidb.InvalidArgumentError, match="empty|NUL"):
            call()
    assert sorted(os.listdir()) == before


def test_open_creates_only_if_asked(path):
    with pytest.raises(aidb.InvalidArgumentError):
        aidb.open(path, create_if_missing=False)
    assert not path.exists()
    aidb.open(path).close()
    aidb.open(path, create_if_missing=False).close()
    with pytest.raises(aidb.InvalidArgumentError):
        aidb.open(path, error_if_exists=True)


def test_a_second_open_is_locked_until_the_first_closes(path):
    with aidb.open(path), pytest.raises(aidb.LockedError):
        aidb.open(path)
    aidb.open(path).close()


def test_read_only_reads_and_refuses_writes(path):
    with aidb.open(path) as db:
        db.put(b"key", b"value")
    with aidb.open(path, read_only=True) as db:
        assert db.get(b"key") == b"value"
        with pytest.raises(aidb.Error):
            db.put(b"key", b"other")


def test_every_option_is_taken_by_name(path, tmp_path):
    options = dict(
        create_if_missing=True,
        error_if_exists=False,
        read_only=False,
        write_buffer_size="1MiB",
        block_cache_size=0,
        block_size=1024,
        block_restart_interval=4,
        compression="zstd",
        bloom_bits_per_key=16,
        max_open_files=100,
        level0_compaction_trigger=3,
        level_base_size="8MiB",
        level_size_multiplier=8,
        target_file_size=2 << 20,
        background_threads=1,
        lock_timeout=10,
        transaction_timeout=60_000,
        info_log=tmp_path / "log",
        info_log_file_size="1MiB",
        info_log_files=2,
    )
    assert sorted(options) == sorted(aidb.OPTIONS)
    with aidb.open(path, **options) as db:
        db.put(b"key", b"value")
    assert (tmp_path / "log").exists()


def test_an_info_log_is_any_path_and_nothing_else(path, tmp_path):
    class OwnPath:
        def __init__(self, path):
            self.path = path

        def __fspath__(self):
            return self.path

    log = tmp_path / "log"
    for given in (
        log,
        str(log),
        os.fsencode(log),
        OwnPath(str(log)),
        OwnPath(os.fsencode(log)),
        str(tmp_path / "caf\udce9"),
        os.fsencode(tmp_path) + b"/caf\xe9",
    ):
        with aidb.open(path, info_log=given):
            pass
        written = pathlib.Path(os.fsdecode(given))
        assert "opening with info_log=" in written.read_text(), given
        written.unlink()
    for given in (5, 5.0, True, [], object()):
        with pytest.raises(TypeError, match="option info_log takes a str, bytes or os.PathLike, not '"):
            aidb.open(path, info_log=given)
    for given in ("", b"", OwnPath("")):
        with pytest.raises(aidb.InvalidArgumentError, match="info_log|the path is empty"):
            aidb.open(path, info_log=given)
    for given in (None, "none"):
        with aidb.open(path, info_log=given):
            pass
    assert not log.exists()


def test_what_is_a_path_by_its_type_is_no_word(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for given in (pathlib.Path("none"), b"stderr"):
        with aidb.open(path, info_log=given):
            pass
        assert pathlib.Path(os.fsdecode(given)).stat().st_size > 0


@pytest.mark.parametrize("kind", [str, os.fsencode, pathlib.Path])
def test_every_path_is_str_bytes_or_path_like(tmp_path, kind):
    given = {name: kind(str(tmp_path / name)) for name in ("db", "copy", "new", "log")}
    with aidb.open(given["db"], info_log=given["log"]) as db:
        db.put(b"a", b"1")
        db.checkpoint(given["copy"])
    aidb.repair_db(given["copy"], given["new"])
    for name in ("db", "copy", "new"):
        with aidb.DB(given[name], create_if_missing=False) as db:
            assert db.get(b"a") == b"1"
        aidb.destroy_db(given[name])
        assert not (tmp_path / name).exists()
    for call in (
        lambda: aidb.open(5),
        lambda: aidb.destroy_db(None),
        lambda: aidb.repair_db(5.0, given["new"]),
        lambda: aidb.repair_db(given["db"], []),
    ):
        with pytest.raises(TypeError, match="str, bytes or os.PathLike"):
            call()


def test_an_info_log_is_no_file_of_the_database(path, tmp_path):
    with aidb.open(path) as db:
        db.put(b"a", b"1")
    (tmp_path / "linked").symlink_to(path / "LOCK")
    os.link(path / "CURRENT", tmp_path / "named")
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    for log in [*path.iterdir(), tmp_path / "linked", tmp_path / "named", path / "000123.log", path]:
        with pytest.raises(aidb.InvalidArgumentError, match="option info_log = "):
            aidb.open(path, info_log=log)
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before


def test_repair_takes_a_directory_wherever_its_path_leads(path, tmp_path, monkeypatch):
    with aidb.open(path) as db:
        db.put(b"a", b"1")
    (tmp_path / "link").symlink_to(path)
    monkeypatch.chdir(path)
    for number, (name, into) in enumerate(
        [(".", "../new"), ("./", "../new/"), ("../link", "../link/../new"), ("../link/", "../new/."), ("..//db//", "../new//")]
    ):
        if number == 3:
            os.mkdir("../new")
        assert aidb.repair_db(name, into)["is_ok"]
        monkeypatch.chdir(tmp_path / "new")
        with aidb.open(".") as db:
            assert db.get(b"a") == b"1"
        monkeypatch.chdir(path)
        aidb.destroy_db("../new")
        assert sorted(os.listdir("..")) == ["db", "link"], (name, into)
    # Repair accepts the current directory as target, and refuses any target inside the damaged database.
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert aidb.repair_db("../link", ".")["is_ok"]
    names = sorted(os.listdir(path))
    for into in ("../link/below", "../db/below", "../link/.."):
        with pytest.raises(aidb.InvalidArgumentError):
            aidb.repair_db("../link", into)
    assert sorted(os.listdir(path)) == names


def test_an_options_error_has_the_name_that_the_caller_gave(path):
    for name in ("lru_cache_size", "bloom_filter_bits", "max_file_size", "block_cache_size"):
        with pytest.raises(aidb.InvalidArgumentError, match=f"^option {name} = "):
            aidb.open(path, **{name: -1})


def test_an_unknown_option_has_at_most_three_near_names_and_the_nearest_first(path):
    def told(name):
        with pytest.raises(aidb.InvalidArgumentError) as raised:
            aidb.open(path, **{name: 1})
        return str(raised.value)

    assert told("blok_size").endswith("did you mean: block_size?")
    near = told("size").split("did you mean: ")[1].rstrip("?").split(", ")
    assert near == ["block_size", "level_base_size", "block_cache_size"]
    assert told("zzzzzzz") == 'unknown option "zzzzzzz" (docs/guide.md lists all)'


def test_plyvels_names_and_none_are_taken(path):
    with aidb.DB(
        str(path),
        create_if_missing=True,
        error_if_exists=False,
        paranoid_checks=True,
        write_buffer_size=None,
        max_open_files=512,
        lru_cache_size=1 << 20,
        block_size=2048,
        block_restart_interval=32,
        max_file_size=1 << 21,
        compression=None,
        bloom_filter_bits=10,
    ) as db:
        db.put(b"key", b"value")
        assert db.get(b"key") == b"value"


@pytest.mark.parametrize(
    "options",
    [
        dict(block_cach_size=1),
        dict(nonsense=None),
        dict(block_size=1),
        dict(block_size=-1),
        dict(block_size=1 << 80),
        dict(block_size="many"),
        dict(block_size=True),
        dict(compression="rar"),
        dict(read_only="maybe"),
        dict(bloom_filter_bits=10, bloom_bits_per_key=10),
        dict(read_only=True, error_if_exists=True),
    ],
    ids=str,
)
def test_a_wrong_option_is_an_invalid_argument(path, options):
    for call in (aidb.open, aidb.DB):
        with pytest.raises(aidb.InvalidArgumentError):
            call(path, **options)
    assert not path.exists()


def test_a_misspelt_option_lists_near_names(path):
    with pytest.raises(ValueError, match="block_cache_size"):
        aidb.open(path, block_cach_size=1)


@pytest.mark.parametrize("value", [1.5, [], b"1"])
def test_an_option_of_a_wrong_type_is_a_type_error(path, value):
    with pytest.raises(TypeError, match="block_size"):
        aidb.open(path, block_size=value)


def test_a_key_beyond_the_limit_is_an_invalid_argument(db):
    key = bytes((16 << 20) + 1)
    for call in (db.get, db.delete, lambda key: db.put(key, b""), db.write_batch().delete):
        with pytest.raises(aidb.InvalidArgumentError):
            call(key)
    db.put(key[:-1], b"longest")
    assert db.get(key[:-1]) == b"longest"


def test_flush_and_compaction_keep_every_entry(tiny_db):
    model = {}
    for number in range(3000):
        key = b"%04d" % (number * 7 % 1000)
        if number % 5 == 4:
            tiny_db.delete(key)
            model.pop(key, None)
        else:
            tiny_db.put(key, b"%d" % number)
            model[key] = b"%d" % number
    tiny_db.flush()
    assert list(tiny_db) == sorted(model.items())
    tiny_db.compact_range(b"0200", b"0400")
    tiny_db.compact_range(start=b"0900")
    tiny_db.compact_range(None, b"0100")
    tiny_db.compact_range()
    assert list(tiny_db) == sorted(model.items())
    assert tiny_db.stats()["flushes"] > 0


def test_sizes_grow_with_what_is_in_the_range(db):
    for number in range(20_000):
        db.put(b"%06d" % number, os.urandom(100))
    db.flush()
    whole = db.approximate_size(b"", b"\xff")
    assert 1_000_000 < whole < 5_000_000
    half, none = db.approximate_sizes((b"000000", b"010000"), (b"x", b"y"))
    assert none < half < whole
    assert db.approximate_size() == db.approximate_size(None, None) == whole
    assert db.approximate_sizes((None, b"x"), (b"x", None)) == [whole, 0]
    assert db.approximate_sizes() == []


def test_a_property_answers_in_the_type_it_was_asked_in(db):
    assert db.get_property("nonsense") is None
    assert db.get_property(b"nonsense") is None
    assert db.get_property(b"\xff") is None
    report = db.get_property("aidb.stats")
    assert isinstance(report, str) and report
    assert isinstance(db.get_property(b"aidb.stats"), bytes)
    with pytest.raises(TypeError):
        db.get_property(7)


def test_stats_are_numbers_and_levels(db):
    before = db.stats()
    db.put(b"key", b"value")
    after = db.stats()
    assert after["operations_written"] == before["operations_written"] + 1
    assert after["sequence"] > before["sequence"]
    assert set(after["levels"][0]) == {"tables", "bytes", "entries"}


def test_close_is_final_repeatable_and_durable(path):
    db = aidb.open(path)
    db.put(b"key", b"value")
    assert not db.closed and "open" in repr(db)
    db.close()
    db.close()
    assert db.closed and "closed" in repr(db) and db.name == str(path)
    for call in (
        lambda: db.get(b"key"),
        lambda: db[b"key"],
        lambda: b"key" in db,
        lambda: db.get_many([b"key"]),
        lambda: db.get_view(b"key"),
        lambda: db.put(b"key", b"value"),
        lambda: db.delete(b"key"),
        lambda: db.iterator(),
        lambda: iter(db),
        lambda: db.keys(),
        lambda: db.raw_iterator(),
        lambda: db.snapshot(),
        lambda: db.flush(),
        lambda: db.compact_range(),
        lambda: db.approximate_size(b"", b"z"),
        lambda: db.approximate_count(),
        lambda: db.count(),
        lambda: db.get_property("aidb.stats"),
        lambda: db.stats(),
        lambda: list(db.prefixed_db(b"k")),
        lambda: len(db.mapping()),
    ):
        with pytest.raises(aidb.ClosedError):
            call()
    with aidb.open(path) as db:
        assert db.get(b"key") == b"value"


def test_a_block_that_raises_closes_the_database_too(path):
    with pytest.raises(ZeroDivisionError), aidb.open(path) as db:
        db.put(b"key", b"value")
        raise ZeroDivisionError
    assert db.closed


def test_destroy_removes_the_database(path):
    with aidb.open(path) as db:
        db.put(b"key", b"value")
        with pytest.raises(aidb.LockedError):
            aidb.destroy_db(path)
    aidb.destroy_db(str(path))
    assert not path.exists()
    aidb.destroy_db(path, lru_cache_size=1)
    with pytest.raises(TypeError):
        aidb.destroy_db(None)


FOREIGN = {
    "LevelDB": {"CURRENT": "MANIFEST-000004\n", "000005.log": "x", "LOCK": "", "LOG": "x"},
    "RocksDB": {"CURRENT": "MANIFEST-000005\n", "IDENTITY": "x", "000009.sst": "x"},
    "AiDb did not write": {"CURRENT": "my own file\n", "000001.log": "precious"},
    "000001.log": {"000001.log": "precious"},
    "LOCK": {"LOCK": "x", "LOG": "x"},
}


@pytest.mark.parametrize("named", FOREIGN)
def test_a_directory_of_somebody_elses_is_not_touched(tmp_path, named):
    directory = tmp_path / "theirs"
    directory.mkdir()
    for name, text in FOREIGN[named].items():
        (directory / name).write_text(text)
    for call in (
        lambda: aidb.destroy_db(directory),
        lambda: aidb.open(directory),
        lambda: aidb.open(directory, read_only=True),
        lambda: aidb.open(directory, error_if_exists=True),
        lambda: aidb.repair_db(directory, tmp_path / "new"),
    ):
        with pytest.raises(aidb.InvalidArgumentError, match=named):
            call()
    found = {file.name: file.read_text() for file in directory.iterdir()}
    assert found == FOREIGN[named]
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("url", ["aidb://host/db", "s3://bucket/db", "file:///tmp/db", "S3://x"])
def test_a_path_with_a_scheme_is_unsupported_and_makes_no_directory(path, tmp_path, monkeypatch, url):
    monkeypatch.chdir(tmp_path)
    with aidb.open(path) as db:
        with pytest.raises(aidb.UnsupportedError, match="scheme|begins|URL"):
            db.checkpoint(url)
    before = sorted(os.listdir())
    for given in (url, url.encode(), pathlib.Path(url)):
        for call in (
            lambda: aidb.open(given),
            lambda: aidb.DB(given),
            lambda: aidb.destroy_db(given),
            lambda: aidb.repair_db(given, tmp_path / "new"),
            lambda: aidb.repair_db(path, given),
        ):
            with pytest.raises(aidb.UnsupportedError):
                call()
    with pytest.raises(aidb.UnsupportedError):
        aidb.open(path, info_log=url)
    assert sorted(os.listdir()) == before


def test_destroy_refuses_what_is_not_a_database(tmp_path):
    (tmp_path / "letter.txt").write_text("keep me")
    with pytest.raises(aidb.InvalidArgumentError):
        aidb.destroy_db(tmp_path)
    with pytest.raises(aidb.InvalidArgumentError):
        aidb.open(tmp_path)
    assert (tmp_path / "letter.txt").read_text() == "keep me"


def test_a_subclass_is_a_database(path):
    class Counted(aidb.DB):
        def __init__(self, name, **options):
            self.puts = 0

        def put(self, key, value, **keywords):
            self.puts += 1
            super().put(key, value, **keywords)

    with Counted(path, block_size=1024) as db:
        db.put(b"key", b"value")
        assert (db.puts, db.get(b"key")) == (1, b"value")
        assert isinstance(db, aidb.Reader) and isinstance(db, aidb.Writer)


@pytest.mark.parametrize(
    "name", ["Reader", "Writer", "PrefixedDB", "Snapshot", "WriteBatch", "Iterator", "RawIterator"]
)
def test_other_handles_are_not_made_directly(name):
    with pytest.raises(TypeError):
        getattr(aidb, name)()
