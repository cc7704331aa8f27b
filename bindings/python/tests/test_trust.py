"""Checkpoint, verify and repair."""

import asyncio
import threading

import aidb
import pytest
from aidb import aio


def fill(db, count=3000):
    with db.write_batch() as batch:
        for number in range(count):
            batch.put(b"key %06d" % number, b"value %d" % number * 5)
    db.flush()


def flip(file, offset=40):
    content = bytearray(file.read_bytes())
    content[offset] ^= 1
    file.write_bytes(content)


def tables(path):
    return sorted(path.glob("*.sst"), key=lambda file: file.stat().st_size)


def test_a_checkpoint_opens_by_itself_and_goes_its_own_way(db, tmp_path):
    fill(db)
    db.put(b"last", b"1")
    copy_path = tmp_path / "copies" / "one"
    db.checkpoint(copy_path)
    with aidb.open(copy_path, create_if_missing=False) as copy:
        assert list(copy) == list(db)
        copy.put(b"last", b"2")
    assert db.get(b"last") == b"1"
    for used in (copy_path, db.name, __file__):
        with pytest.raises(aidb.InvalidArgumentError):
            db.checkpoint(used)
    db.checkpoint(bytes(tmp_path / "two"))
    db.checkpoint(str(tmp_path / "three"))
    with pytest.raises(TypeError):
        db.checkpoint(None)


def test_checkpoints_are_made_while_others_write(db, tmp_path):
    stop = threading.Event()
    acknowledged = 0

    def write():
        nonlocal acknowledged
        while not stop.is_set():
            db.put(b"%08d" % acknowledged, b"x" * 50)
            acknowledged += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for round in range(4):
            before = acknowledged
            db.checkpoint(tmp_path / str(round))
            with aidb.open(tmp_path / str(round)) as copy:
                keys = list(copy.keys())
            assert len(keys) >= before
            assert keys == [b"%08d" % number for number in range(len(keys))]
    finally:
        stop.set()
        writer.join()


def test_verify_reports_damage_by_file_and_offset(db, path):
    fill(db)
    steps = []
    report = db.verify(lambda done, total: steps.append((done, total)))
    assert report["is_ok"] and report["is_complete"] and report["damage"] == []
    assert report["entries"] == 3000 and report["tables"] == 1
    assert steps[-1] == (report["bytes"], report["bytes"])
    table = tables(path)[-1]
    flip(table)
    report = db.verify()
    assert not report["is_ok"] and report["damaged_places"] == 1
    [damage] = report["damage"]
    assert damage["file"] == str(table) and damage["offset"] == 24 and "checksum" in damage["message"]
    assert damage["kind"] == "Corruption"
    flip(table)
    assert db.verify(progress=None)["is_ok"]


def test_the_progress_of_verify_can_end_it(db):
    fill(db)
    report = db.verify(lambda done, total: False)
    assert not report["is_complete"] and not report["is_ok"] and report["damaged_places"] == 0
    assert db.verify(lambda done, total: None)["is_complete"]

    def fail(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        db.verify(fail)
    with pytest.raises(TypeError):
        db.verify(lambda: None)
    with pytest.raises(TypeError):
        db.verify(7)
    with pytest.raises(aidb.ClosedError):
        db.verify(lambda done, total: db.close())
    with pytest.raises(aidb.ClosedError):
        db.verify()
    with pytest.raises(aidb.ClosedError):
        db.checkpoint("anywhere")


def test_an_unfinished_copy_is_replaced_by_a_checkpoint_or_a_repair_and_never_repaired(path, tmp_path):
    copy, into = tmp_path / "copy", tmp_path / "into"
    for unfinished in (copy, into):
        unfinished.mkdir()
        (unfinished / "AIDB-INCOMPLETE").write_text("aidb incomplete\n")
    with pytest.raises(aidb.CorruptionError):
        aidb.repair_db(copy, tmp_path / "more")
    with aidb.DB(path) as db:
        db.put(b"k", b"v")
        db.checkpoint(copy)
    aidb.repair_db(path, into)
    for made in (copy, into):
        with aidb.DB(made, create_if_missing=False) as db:
            assert db.get(b"k") == b"v"


def test_repair_salvages_into_a_new_directory_and_says_what_is_lost(path, tmp_path):
    with aidb.open(path) as db:
        fill(db)
        with pytest.raises(aidb.LockedError):
            aidb.repair_db(path, tmp_path / "into")
    flip(tables(path)[-1])
    (path / "CURRENT").unlink()
    with pytest.raises(aidb.CorruptionError):
        aidb.open(path)
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    report = aidb.repair_db(path, tmp_path / "into", compression="zstd")
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before
    assert not report["is_ok"] and report["lost_places"] == len(report["lost"]) == 2
    lost = next(lost for lost in report["lost"] if lost["file"].endswith(".sst"))
    assert lost["offset"] == 24 < lost["end"]
    assert lost["largest_key"] > b"key 000000"
    with aidb.open(tmp_path / "into", create_if_missing=False) as db:
        entries = dict(db)
        assert db.verify()["is_ok"]
    assert len(entries) == report["entries_written"] > 2900
    for number in range(3000):
        key = b"key %06d" % number
        assert entries.get(key) == (None if key < lost["largest_key"] else b"value %d" % number * 5)
    for wrong in (tmp_path / "into", path):
        with pytest.raises(aidb.InvalidArgumentError):
            aidb.repair_db(path, wrong)
    with pytest.raises(aidb.InvalidArgumentError):
        aidb.repair_db(tmp_path / "nothing", tmp_path / "more")


def test_asyncio_reaches_them_too(path, tmp_path):
    async def main():
        async with await aio.open(path) as db:
            await db.put(b"key", b"value")
            await db.checkpoint(tmp_path / "copy")
            steps = []
            report = await db.verify(lambda done, total: steps.append(done))
            assert report["is_ok"] and steps
        async with await aio.open(tmp_path / "copy") as copy:
            assert await copy.get(b"key") == b"value"

    asyncio.run(main())
