"""Keys and values at the engine's thresholds: what tests/data is to the tests in Rust.

The sizes are read from tests/data/edges.txt, which a test in Rust compares with the table of thresholds; the kinds of bytes
are those of tests/data/src/fill.rs.
"""

from pathlib import Path

MAX_KEY_BYTES = 16 << 20

with open(Path(__file__).resolve().parents[3] / "tests" / "data" / "edges.txt") as lines:
    #: The sizes right below, at and right above every threshold, up to 16 MiB + 1.
    EDGES = [int(line.rstrip(",\n")) for line in lines]

WORDS = [b"level ", b"table ", b"block ", b"key ", b"of a ", b"value, ", b"the ", b"log. "]


def constant(rng, length):
    return rng.randbytes(1) * length


def text(rng, length):
    # A piece of a few hundred words, over and over.
    piece = b"".join(rng.choices(WORDS, k=300))
    return (piece * (length // len(piece) + 1))[:length]


def half(rng, length):
    pieces = bytearray(b"." * length)
    for at in range(8):
        pieces[at::16] = rng.randbytes(len(range(at, length, 16)))
    return bytes(pieces)


def noise(rng, length):
    return rng.randbytes(length)


def runs(rng, length):
    pieces, total = [], 0
    while total < length:
        run = rng.choice([constant, noise])(rng, min(1 + rng.randrange(1000), length - total))
        pieces.append(run)
        total += len(run)
    return b"".join(pieces)


FILLS = [constant, text, half, noise, runs]


class Data:
    """Draws keys and values; the larger a size is compared with ``mean``, the rarer it is drawn."""

    def __init__(self, rng, most=(256 << 10) + 1, mean=500):
        self.rng, self.mean = rng, mean
        self.edges = [edge for edge in EDGES if edge <= most]

    def size(self):
        if self.rng.random() < 1 / 3:
            edge = self.rng.choice(self.edges)
            if self.rng.random() * edge < 4 * self.mean:
                return edge
        return self.rng.randrange(121)

    def value(self, length=None):
        fill = self.rng.choice(FILLS)
        return fill(self.rng, self.size() if length is None else length)

    def long_key(self, length=None):
        """A key whose beginning a third of the long keys of its kind share, and whose end is its own."""
        length = self.size() if length is None else length
        stem = type(self.rng)(self.rng.randrange(3))
        tail = self.rng.randbytes(min(length, 6))
        return self.rng.choice(FILLS)(stem, length - len(tail)) + tail
