"""Runs one engine's Python package in one process: every workload once, each timed.

`engines.py ENGINE DIRECTORY ENTRIES` prints a JSON object: workload -> [seconds and CPU seconds per operation].

Every engine: blocks of 4 KiB, Snappy, block cache 256 MiB, memtable 64 MiB, Bloom filters of 10 bits per key, no syncs;
otherwise its defaults.
"""

import json
import os
import random
import sys
import time

VALUE_BYTES = 100
BATCH = 100
STEPS = 10


def key(number):
    return b"%016d" % number


def steps_of(entries):
    found = []
    for entry in entries:
        found.append(entry)
        if len(found) == STEPS:
            break
    return found


class Plyvel:
    """plyvel, and aidb, which has plyvel's interface."""

    def __init__(self, module, path, options):
        self.db = module.DB(path, create_if_missing=True, **options)
        self.put = self.db.put
        self.get = self.db.get
        self.delete = self.db.delete

    def batch(self, entries):
        with self.db.write_batch() as batch:
            for name, value in entries:
                batch.put(name, value)

    def compact(self):
        self.db.compact_range()

    def entries(self, backward=False):
        return self.db.iterator(reverse=backward)

    def some(self, start):
        with self.db.iterator(start=start) as iterator:
            return steps_of(iterator)

    def close(self):
        self.db.close()


class Rocksdict:
    def __init__(self, path):
        import rocksdict

        options = rocksdict.Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_write_buffer_size(64 << 20)
        options.set_compression_type(rocksdict.DBCompressionType.snappy())
        blocks = rocksdict.BlockBasedOptions()
        blocks.set_block_size(4096)
        blocks.set_block_cache(rocksdict.Cache(256 << 20))
        blocks.set_bloom_filter(10, False)
        options.set_block_based_table_factory(blocks)
        self.new_batch = lambda: rocksdict.WriteBatch(raw_mode=True)
        self.db = rocksdict.Rdict(path, options)
        self.put = self.db.put
        self.get = self.db.get
        self.delete = self.db.delete

    def batch(self, entries):
        batch = self.new_batch()
        for name, value in entries:
            batch.put(name, value)
        self.db.write(batch)

    def compact(self):
        self.db.flush()
        self.db.compact_range(None, None)

    def entries(self, backward=False):
        return self.db.items(backwards=backward)

    def some(self, start):
        return steps_of(self.db.items(from_key=start))

    def close(self):
        self.db.close()


def opened(engine, path):
    if engine == "rocksdict":
        return Rocksdict(path)
    if engine == "plyvel":
        import plyvel

        return Plyvel(
            plyvel,
            path,
            {
                "write_buffer_size": 64 << 20,
                "lru_cache_size": 256 << 20,
                "block_size": 4096,
                "bloom_filter_bits": 10,
                "compression": "snappy",
            },
        )
    import aidb

    return Plyvel(
        aidb,
        path,
        {
            "write_buffer_size": 64 << 20,
            "block_cache_size": 256 << 20,
            "block_size": 4096,
            "bloom_bits_per_key": 10,
            "compression": "snappy",
        },
    )


def main():
    engine, directory, entries = sys.argv[1], sys.argv[2], int(sys.argv[3])
    db = opened(engine, os.path.join(directory, "db"))
    source = random.Random(1)
    order = list(range(entries))
    source.shuffle(order)
    # Half of each value is noise.
    values = [source.randbytes(VALUE_BYTES // 2).ljust(VALUE_BYTES, b"v") for _ in range(1000)]
    # Every second number is a key; the numbers between are absent.
    names = [key(2 * number) for number in order]
    absent = [key(2 * number + 1) for number in order]
    taken = {}

    def timed(name, operations, work):
        began, spent = time.perf_counter(), time.process_time()
        work()
        taken[name] = [
            (time.perf_counter() - began) / operations,
            (time.process_time() - spent) / operations,
        ]

    def put():
        for number, name in enumerate(names):
            db.put(name, values[number % 1000])

    def get():
        for name in names:
            if len(db.get(name)) != VALUE_BYTES:
                sys.exit(f"{engine}: a value differs from the written one")

    def get_absent():
        for name in absent:
            if db.get(name) is not None:
                sys.exit(f"{engine}: found an entry that was never written")

    def scan(backward=False):
        seen = sum(1 for _ in db.entries(backward))
        if seen != entries:
            sys.exit(f"{engine}: a scan met {seen} of {entries} entries")

    def seek():
        for name in names[: entries // STEPS]:
            db.some(name)

    def batches():
        for start in range(0, entries, BATCH):
            part = names[start : start + BATCH]
            db.batch([(name, values[0]) for name in part])

    def delete():
        for name in names:
            db.delete(name)

    timed("put", entries, put)
    timed("get, memtable", entries, get)
    db.compact()
    scan()
    timed("get, cached", entries, get)
    timed("get, absent", entries, get_absent)
    timed("scan", entries, scan)
    timed("scan, backward", entries, lambda: scan(True))
    timed("seek + 10", entries // STEPS, seek)
    timed("batch of 100", entries, batches)
    timed("delete", entries, delete)
    db.close()
    print(json.dumps(taken))


if __name__ == "__main__":
    main()
