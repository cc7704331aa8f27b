"""Writes that wait for others: Ctrl-C ends the wait, and an interrupted write is not made later."""

import ctypes
import os
import subprocess
import sys
import textwrap
import threading

import pytest

# A process that takes longer hangs. The promise is 0.2 s; the machine may be busy.
MAX_SECONDS = 60
CHILD = textwrap.dedent("""
    import signal
    import sys
    import time

    import aidb

    class Interrupted(Exception):
        pass

    def handler(number, frame):
        raise Interrupted

    def is_interrupted(write):
        begin = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        try:
            write()
        except Interrupted:
            return time.monotonic() - begin < 30
        signal.setitimer(signal.ITIMER_REAL, 0)
        return False

    signal.signal(signal.SIGALRM, handler)
    db = aidb.open(sys.argv[1], write_buffer_size="1MiB", compression="none")
    db.put(b"kept", b"")
    print("open", flush=True)
    sys.stdin.readline()

    written = []

    # Far more than the memtables may hold.
    for number in range(10_000):
        if is_interrupted(lambda: db.put(b"%05d" % number, bytes(10_000))):
            break
        written.append(number)

    def write_batch():
        with db.write_batch(transaction=True) as batch:
            batch.put(b"batch", b"")

    def transaction():
        with db.transaction() as t:
            t.put(b"transaction", b"")

    commit = db.begin()
    commit.put(b"commit", b"")
    view = db.prefixed_db(b"view-")
    writes = {
        "put": lambda: db.put(b"put", b""),
        "item": lambda: view.__setitem__(b"item", b""),
        "large put": lambda: db.put(b"large put", bytes(5 << 20)),
        "delete": lambda: db.delete(b"kept"),
        "delete_range": db.delete_range,
        "delete_prefix": lambda: db.delete_prefix(b"kept"),
        "batch": write_batch,
        "transaction": transaction,
        "commit": commit.commit,
        "run_transaction": lambda: db.run_transaction(lambda t: t.put(b"run", b"")),
        "compare_and_set": lambda: db.compare_and_set(b"kept", b"", None),
        "get_and_put": lambda: db.get_and_put(b"get_and_put", b""),
    }
    for name, write in writes.items():
        print(name, is_interrupted(write), flush=True)
    sys.stdin.readline()
    try:
        # Waits for the end of the interrupted commit.
        commit.get(b"kept")
    except aidb.ClosedError as error:
        print(error)
    db.flush()
    db.put(b"last", b"")
    keys = list(db.iterator(include_value=False))
    assert keys == [b"%05d" % number for number in written] + [b"kept", b"last"], keys[-10:]
    assert 100 <= len(written) < 10_000
    db.close()
    print("closed", flush=True)
""")

SEIZE, INTERRUPT, DETACH, ALL_THREADS = 0x4206, 0x4207, 17, 0x40000000


def ptrace(request, thread):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
    if libc.ptrace(request, thread, None, None) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), f"ptrace {request:#x} of {thread}")


def freeze_all_but_the_main_thread(process):
    """Stops the threads of the database, so that it flushes nothing, and returns them."""
    threads = [int(thread) for thread in os.listdir(f"/proc/{process}/task")]
    threads.remove(process)
    for thread in threads:
        ptrace(SEIZE, thread)
        ptrace(INTERRUPT, thread)
        os.waitpid(thread, ALL_THREADS)
    return threads


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="stops threads as Linux can")
def test_a_write_that_waits_ends_with_an_interrupt_and_is_not_made_later(path):
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    # The test, which reads from the child, must not wait for ever.
    watchdog = threading.Timer(MAX_SECONDS, child.kill)
    watchdog.start()
    try:
        assert child.stdout.readline() == "open\n"
        frozen = freeze_all_but_the_main_thread(child.pid)
        assert frozen
        child.stdin.write("frozen\n")
        child.stdin.flush()
        names = ["put", "item", "large put", "delete", "delete_range", "delete_prefix"]
        names += ["batch", "transaction", "commit", "run_transaction"]
        names += ["compare_and_set", "get_and_put"]
        told = [child.stdout.readline().strip() for _ in names]
        for thread in frozen:
            ptrace(DETACH, thread)
        rest, _ = child.communicate("goes on\n")
    finally:
        watchdog.cancel()
        child.kill()
        child.wait()
    assert told == [f"{name} True" for name in names]
    commit = "the transaction has ended: it was rolled back\n"
    assert (child.returncode, rest) == (0, commit + "closed\n")


SLOW_DISK = r"""
    #include <fcntl.h>
    #include <stdlib.h>
    #include <unistd.h>

    /* Nothing becomes durable while the file SLOW exists; a waiting call creates the file MET. */
    int fdatasync(int file) {
        (void)file;
        while (access(getenv("SLOW"), F_OK) == 0) {
            close(open(getenv("MET"), O_CREAT | O_WRONLY, 0600));
            usleep(1000);
        }
        return 0;
    }
"""

SYNCED = textwrap.dedent("""
    import os
    import signal
    import sys
    import time

    import aidb

    class Interrupted(Exception):
        pass

    def handler(number, frame):
        raise Interrupted

    def is_interrupted(write):
        begin = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        try:
            write()
        except Interrupted:
            return time.monotonic() - begin < 30
        signal.setitimer(signal.ITIMER_REAL, 0)
        return False

    def write_batch():
        with db.write_batch(transaction=True, sync=True) as batch:
            batch.put(b"batch", b"")

    def transaction():
        with db.transaction(sync=True) as t:
            t.put(b"transaction", b"")

    signal.signal(signal.SIGALRM, handler)
    db = aidb.open(sys.argv[1])
    db.put(b"kept", b"", sync=True)
    db.put(b"removed", b"", sync=True)
    # Longer than the time for which the engine relies on an earlier fast sync.
    time.sleep(1.5)
    open(os.environ["SLOW"], "w").close()
    writes = {
        "put": lambda: db.put(b"put", b"", sync=True),
        "delete": lambda: db.delete(b"removed", sync=True),
        "batch": write_batch,
        "transaction": transaction,
        "put_if_absent": lambda: db.put_if_absent(b"put_if_absent", b"", sync=True),
    }
    for name, write in writes.items():
        print(name, is_interrupted(write))
    os.remove(os.environ["SLOW"])
    db.put(b"last", b"", sync=True)
    # They had reached the log when their callers were interrupted.
    assert list(db.iterator(include_value=False)) == [
        b"batch", b"kept", b"last", b"put", b"put_if_absent", b"transaction"
    ]
    db.close()
""")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs LD_PRELOAD")
def test_a_write_that_waits_for_a_slow_disk_ends_with_an_interrupt_and_is_made(path, tmp_path):
    (tmp_path / "slow.c").write_text(textwrap.dedent(SLOW_DISK))
    library, slow, met = (tmp_path / name for name in ["slow.so", "slow", "met"])
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, tmp_path / "slow.c"], check=True)
    child = subprocess.run(
        [sys.executable, "-c", SYNCED, path],
        env=dict(os.environ, LD_PRELOAD=str(library), SLOW=str(slow), MET=str(met)),
        stdout=subprocess.PIPE,
        text=True,
        timeout=MAX_SECONDS,
    )
    assert met.exists()
    names = ["put", "delete", "batch", "transaction", "put_if_absent"]
    assert child.stdout.splitlines() == [f"{name} True" for name in names]
    assert child.returncode == 0
