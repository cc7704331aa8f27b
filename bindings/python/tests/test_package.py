"""The installed package: from the wheel, with its stubs, licences, documentation and version."""

import doctest
import inspect
import os
import pathlib
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile

import aidb
import pytest
from aidb import _aidb, aio, errors, mapping

REPOSITORY = pathlib.Path(os.environ.get("AIDB_REPOSITORY", pathlib.Path(__file__).parents[3]))


def test_the_installed_package_is_the_wheels():
    assert REPOSITORY.resolve() / "bindings" not in pathlib.Path(aidb.__file__).resolve().parents
    assert "site-packages" in aidb.__file__ and "site-packages" in _aidb.__file__


def test_the_version_is_the_workspaces():
    workspace = tomllib.loads((REPOSITORY / "Cargo.toml").read_text())
    from importlib.metadata import version

    assert aidb.__version__ == version("aidb") == workspace["workspace"]["package"]["version"]


def test_the_wheel_has_stubs_and_licences_and_serves_every_python_from_3_11():
    wheel = pathlib.Path(os.environ.get("AIDB_WHEEL") or pytest.skip("AIDB_WHEEL names no wheel"))
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "aidb/py.typed",
        "aidb/_aidb.pyi",
        "aidb/__init__.py",
        "aidb/aio.py",
        "aidb/errors.py",
        "aidb/mapping.py",
    ):
        assert any(name.endswith(wanted) for name in names), wanted
    assert "cp311-abi3" in wheel.name


def check_licences(read):
    """`read(end of a name)` must return the text of each licence, not a path to it."""
    assert read("LICENSE-MIT").count(b"Permission is hereby granted") == 1
    assert b"Apache License" in read("LICENSE-APACHE") and len(read("LICENSE-APACHE")) > 10_000
    notices = read("THIRD-PARTY-LICENSES").decode()
    assert "zstd-sys " in notices and "pyo3 " in notices and "Redistribution and use in source and binary forms" in notices


def test_the_wheel_holds_the_texts_of_its_licences_and_no_debug_information():
    wheel = zipfile.ZipFile(os.environ.get("AIDB_WHEEL") or pytest.skip("AIDB_WHEEL names no wheel"))
    check_licences(lambda end: wheel.read(only(name for name in wheel.namelist() if name.endswith("licenses/" + end))))
    module = wheel.read(only(name for name in wheel.namelist() if name.endswith(".so")))
    # In the form of section names in an ELF file.
    assert b"\0.debug_line\0" not in module and b"\0.dynsym\0" in module


def test_the_source_distribution_holds_the_texts_of_its_licences():
    sdist = tarfile.open(os.environ.get("AIDB_SDIST") or pytest.skip("AIDB_SDIST names no source distribution"))

    # The package's own directory is the shallowest; crates below it may have such files too.
    def read(end):
        found = sorted((name for name in sdist.getnames() if name.endswith("/" + end)), key=lambda name: name.count("/"))
        return sdist.extractfile(found[0]).read()

    check_licences(read)


def only(names):
    (name,) = names
    return name


def test_the_stubs_are_the_modules():
    run = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "aidb"], capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stdout + run.stderr


USES = """
from collections.abc import MutableMapping
from typing import assert_type
import aidb
from aidb import aio

with aidb.open("x", block_size="4KiB", compression=None) as db:
    assert_type(db, aidb.DB)
    assert_type(db.get(b"k"), bytes | None)
    assert_type(db.get(b"k", b""), bytes)
    assert_type(db.get_many([b"k"], 0), list[bytes | int])
    assert_type(db[b"k"], bytes)
    for key, value in db:
        assert_type(value, bytes)
    assert_type(next(db.iterator(include_value=False)), bytes)
    assert_type(next(db.iterator(reverse=True)), tuple[bytes, bytes])
    assert_type(next(db.iterator(include_key=False, include_value=False)), None)
    assert_type(db.snapshot().get(b"k"), bytes | None)
    assert_type(db.count(b"a", progress=lambda counted, total: counted < 9), int)
    assert_type(db.get_property("x"), str | None)
    m: MutableMapping[bytes, bytes] = db.mapping()
    p: aidb.Writer = db.prefixed_db(bytearray(b"p"))
    it: aidb.Iterator[bytes] = db.keys()
    with db.transaction(sync=True) as t:
        assert_type(t, aidb.Transaction)
        assert_type(t.get(b"k", 0), bytes | int)
        t.rollback_to(t.savepoint())
    assert_type(t.sequence, int | None)
    assert_type(db.run_transaction(lambda t: len(t[b"k"])), int)
    assert_type(db.get_and_delete(b"k"), bytes | None)
    reader: aidb.Reader = db.begin(read_only=True)
db.get("text")  # type: ignore[call-overload]
aidb.open("x", block_sise=1)  # type: ignore[call-arg]


async def uses() -> None:
    async with await aio.open("x") as db, db.transaction() as t:
        await t.put(b"k", b"v")

    async def work(t: aio.Transaction) -> int:
        return await t.commit()

    assert_type(await db.run_transaction(work), int)
    assert_type(await db.get_and_put(b"k", b""), bytes | None)
"""


def test_a_program_that_uses_the_package_is_checked_against_its_types(tmp_path):
    (tmp_path / "uses.py").write_text(USES)
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "uses.py"],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def public(owner):
    for name, member in vars(owner).items():
        if not name.startswith("_") and (inspect.isroutine(member) or inspect.isclass(member) or inspect.isgetsetdescriptor(member) or isinstance(member, property)):
            yield name, member


@pytest.mark.parametrize("module", [aidb, _aidb, aio, errors, mapping], ids=lambda module: module.__name__)
def test_everything_public_is_documented(module):
    assert module.__doc__
    for name in getattr(module, "__all__", None) or dir(module):
        member = getattr(module, name)
        if inspect.isclass(member) and member.__module__.startswith("aidb"):
            assert member.__doc__, name
            for inner, method in public(member):
                assert method.__doc__, f"{name}.{inner}"
        elif inspect.isroutine(member):
            assert member.__doc__, name


def test_the_samples_of_the_package_and_its_readme_run(tmp_path, monkeypatch):
    assert doctest.testmod(aidb).failed == 0
    monkeypatch.chdir(tmp_path)
    readme = (REPOSITORY / "bindings/python/README.md").read_text()
    samples = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert samples
    for sample in samples:
        exec(sample, {})


@pytest.mark.parametrize("example", sorted((REPOSITORY / "examples/python").glob("*.py")), ids=lambda path: path.name)
def test_the_examples_run(example, tmp_path):
    run = subprocess.run(
        [sys.executable, example, tmp_path / "db"], capture_output=True, text=True, timeout=120, cwd=tmp_path
    )
    assert (run.returncode, run.stderr) == (0, ""), run.stderr
    assert run.stdout
    if example.name == "hello.py":
        assert run.stdout.splitlines()[-1] == "before the batch: {b'apple': b'red'}"
