"""A job queue: several threads take jobs, each job exactly once. Usage: job_queue.py [directory]

The queue is a range of keys, `job/<number>`. Taking the first job is a transaction that reads it, removes it and
notes who has it; a thread that comes second meets a conflict and tries again with the next job.
"""

import sys
import tempfile
import threading

import aidb

JOBS = 200
THREADS = 4


def take(transaction, name):
    """Moves the first job to those of the worker `name` and returns its number; None if no job is left."""
    with transaction.iterator(prefix=b"job/") as jobs:
        for key, work in jobs:
            number = key.removeprefix(b"job/")
            del transaction[key]
            transaction[b"taken/%s/%s" % (name, number)] = work
            return number
    return None


def main(directory: str) -> None:
    with aidb.open(directory) as db:
        with db.transaction() as transaction:
            for number in range(JOBS):
                transaction[b"job/%04d" % number] = b"sweep room %d" % number

        def work(name):
            # With so many rivals for one key, ten attempts might not be enough.
            while db.run_transaction(lambda transaction: take(transaction, name), attempts=1000) is not None:
                pass

        threads = [threading.Thread(target=work, args=(b"worker-%d" % number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        taken = [key.rpartition(b"/")[2] for key in db.iterator(prefix=b"taken/", include_value=False)]
        assert sorted(taken) == [b"%04d" % number for number in range(JOBS)]
        assert not list(db.iterator(prefix=b"job/"))
        print(f"{THREADS} threads took {JOBS} jobs, each of them once")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(scratch)
