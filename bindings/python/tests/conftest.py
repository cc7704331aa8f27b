"""Shared by the tests: databases that spread over every level, and seeds that a failure prints."""

import os
import random
import sys

import aidb
import pytest

sys.path.insert(0, os.path.dirname(__file__))
from data import Data  # noqa: E402

# Buffers and levels so small that a few hundred entries reach every part of the tree.
TINY = dict(
    write_buffer_size="4KiB",
    block_size=256,
    target_file_size="4KiB",
    level_base_size="16KiB",
    level0_compaction_trigger=2,
    level_size_multiplier=2,
)


@pytest.fixture
def path(tmp_path):
    """A directory that does not exist yet."""
    return tmp_path / "db"


@pytest.fixture
def db(path):
    """An empty database, closed at the end."""
    with aidb.open(path) as db:
        yield db


@pytest.fixture
def tiny_db(path):
    """An empty database with tiny buffers, closed at the end."""
    with aidb.open(path, **TINY) as db:
        yield db


@pytest.fixture
def tiny():
    """The options of ``tiny_db``."""
    return dict(TINY)


@pytest.fixture
def seeded(request):
    """A random number generator; a failing test prints the variable that repeats its seed."""
    seed = int(os.environ.get("AIDB_SEED", random.randrange(1 << 32)))
    print(f"rerun with AIDB_SEED={seed} and -k {request.node.name}")
    return random.Random(seed)


@pytest.fixture
def data(seeded):
    """Draws keys and values at the engine's thresholds, from the same seed."""
    return Data(seeded)
