"""Step 2 of the demo: adds the files of a list to the index, one transactional batch per file.

    extend.py DATABASE ROOT LIST

README.md beside this file has the rules for words and keys.
"""

import re
import sys
import time
from collections import Counter
from pathlib import Path

import aidb
from tqdm import tqdm

WORD = re.compile(rb"[a-z_][a-z0-9_]*")


def words(text: bytes) -> Counter[bytes]:
    """How often each word stands in the text."""
    return Counter(word for word in WORD.findall(text.lower()) if 2 <= len(word) <= 64)


def main(database: str, root: str, names: str) -> None:
    started = time.perf_counter()
    files = Path(names).read_text().splitlines()
    entries = 0
    with aidb.open(database, create_if_missing=False) as db:
        # disable=None shows the bar on a terminal only.
        for file in tqdm(files, disable=None, unit="files", leave=False):
            counts = words(Path(root, file).read_bytes())
            path = file.encode()
            with db.write_batch(transaction=True) as batch:
                batch.put(b"\0" + path, b"%d" % counts.total())
                for word, count in counts.items():
                    batch.put(word + b"\0" + path, b"%d" % count)
            entries += len(counts) + 1
    spent = time.perf_counter() - started
    print(f"Python: added {len(files)} files: {entries} entries in {spent:.1f} s ({entries / spent:.0f} entries/s)")


if __name__ == "__main__":
    main(*sys.argv[1:])
