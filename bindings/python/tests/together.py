"""Threads that start together."""

import threading


def run_all(count, work):
    """Runs ``work(index)`` in ``count`` threads that start together; raises an exception of any of them."""
    barrier, failures = threading.Barrier(count), []

    def run(index):
        try:
            barrier.wait()
            work(index)
        except BaseException as error:  # noqa: B036: it is raised below
            failures.append(error)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
