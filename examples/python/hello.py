"""AiDb in one page: open, put, get, a batch, a snapshot, an iterator. Usage: hello.py [directory]"""

import sys
import tempfile

import aidb


def main(directory: str) -> None:
    with aidb.open(directory) as db:
        db.put(b"apple", b"red")
        print("apple is", db.get(b"apple").decode())
        print("cherry is", db.get(b"cherry", b"unknown").decode())

        snapshot = db.snapshot()

        # All of a batch is stored, or none of it; with sync it also survives power loss.
        with db.write_batch(transaction=True, sync=True) as batch:
            batch.put(b"banana", b"yellow")
            batch.put(b"cherry", b"dark red")
            batch.delete(b"apple")

        print("now:")
        for key, value in db:
            print(f"  {key.decode()} is {value.decode()}")

        print("from b on, backwards:")
        for key in db.iterator(start=b"b", reverse=True, include_value=False):
            print(f"  {key.decode()}")

        # One small write deletes every key that begins with "b", however many there are.
        db.delete_prefix(b"b")
        print("left:", db.count())

        with snapshot:
            print("before the batch:", dict(snapshot.items()))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(scratch)
