"""Python's turn in the cross-language test; the rules are in README.md beside this file."""

import sys
from pathlib import Path

import aidb

with open(Path(__file__).resolve().parents[1] / "data" / "edges.txt") as lines:
    EDGES = [edge for edge in (int(line.rstrip(",\n")) for line in lines) if edge <= 262_145]


def key(turn, index):
    return bytes([turn, index, 0x00, 0xFF])


def pattern(turn, length):
    round_ = bytes((turn + at) % 251 for at in range(251))
    return (round_ * (length // 251 + 1))[:length]


def written(turn):
    """The entries that the turn writes, beside the deletes."""
    entries = {}
    for index in range(200):
        entries[key(turn, index)] = bytes((31 * turn + index + at) % 256 for at in range(7 * index % 50))
    entries[b"\xff\xff" + bytes([turn])] = b""
    entries[b"big" + bytes([turn])] = pattern(turn, 100_000)
    for number, edge in enumerate(EDGES):
        entries[bytes([turn, number, 0x01, 0xFF])] = pattern(turn, edge)
    entries[b""] = bytes([turn])
    return entries


def expected(turns):
    """The entries after this many turns."""
    entries = {}
    for turn in range(turns):
        entries.update(written(turn))
        if turn > 0:
            for index in (5, *range(190, 200)):
                del entries[key(turn - 1, index)]
    return sorted(entries.items())


def operations(turns):
    """How many operations there were in this many turns."""
    return sum(len(written(turn)) + (3 if turn > 0 else 1) for turn in range(turns))


def compare(reader, entries):
    if list(reader) != entries:
        sys.exit("Python: the iterator differs")
    for name, value in entries:
        if reader.get(name) != value:
            sys.exit(f"Python: get differs at {name!r}")


def main(path, turn):
    with aidb.open(path) as db:
        before, now = expected(turn), expected(turn + 1)
        compare(db, before)
        with db.snapshot() as snapshot:
            with db.write_batch(transaction=True) as batch:
                batch.delete_prefix(bytes([turn]))
                for name, value in written(turn).items():
                    batch.put(name, value)
                if turn > 0:
                    batch.delete(key(turn - 1, 5))
                    batch.delete_range(key(turn - 1, 190), key(turn - 1, 200))
            if (snapshot.sequence, batch.sequence) != (operations(turn), operations(turn + 1)):
                sys.exit(f"Python: the numbers are {snapshot.sequence} and {batch.sequence}")
            compare(snapshot, before)
            compare(db, now)
    print(f"turn {turn}: Python read {len(before)} entries and left {len(now)}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
