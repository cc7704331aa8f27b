//! Forks: `fork-handles DIR`, `fork-load DIR`, `fork-lock DIR`.
//!
//! A forked child may print nothing, because a thread of the parent may have held the lock of standard output. It
//! answers by its exit status. An alarm ends a child that hangs, and its parent sees that.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use aidb::{Cursor, DB, ErrorKind, Iter, IterOptions, Options, ReadOptions, Snapshot};

use crate::say;

/// A child that takes this many seconds hangs.
const MAX_SECONDS: u32 = 30;
/// Children of a process under load, and of one that keeps opening and closing.
const CHILDREN: u64 = 150;
const CHILDREN_THAT_STAY: u64 = 40;

/// Forks. The child runs `work` and exits with its result; the parent gets the child's process id.
fn fork(work: impl FnOnce() -> i32) -> libc::pid_t {
    // SAFETY: the child goes on with a copy of this one thread. Besides AiDb it calls the allocator, which the C
    // library makes usable after a fork.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork failed");
    if pid == 0 {
        // SAFETY: takes a number.
        unsafe { libc::alarm(MAX_SECONDS) };
        let answer = work();
        // An ordinary exit: destructors of the library and of the C library run too. The destructor of Rust's own
        // runtime does not: it waits for a lock that a thread of the parent may have held while it was starting or
        // ending.
        // SAFETY: takes a number, and does not return; nothing else runs in the child.
        unsafe { libc::exit(answer) };
    }
    pid
}

/// Waits for a child and checks that it succeeded.
fn check_end(pid: libc::pid_t, what: &str) {
    let mut status = 0;
    // SAFETY: `status` is a writable int, and `pid` our own child.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    assert!(
        !libc::WIFSIGNALED(status) || libc::WTERMSIG(status) != libc::SIGALRM,
        "{what}: the child hangs"
    );
    assert_eq!(
        status,
        0,
        "{what}: call {} is wrong",
        libc::WEXITSTATUS(status)
    );
}

/// Whether `result` is `Closed`.
fn closed<T>(result: aidb::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == ErrorKind::Closed)
}

/// The handles that a program may have.
struct Handles {
    db: DB,
    snapshot: Snapshot,
    cursor: Cursor,
    iter: Iter,
}

impl Handles {
    fn of(db: &DB) -> Handles {
        let mut cursor = db.cursor(IterOptions::default()).unwrap();
        cursor.first().unwrap();
        Handles {
            db: db.clone(),
            snapshot: db.snapshot().unwrap(),
            cursor,
            iter: db.iter(),
        }
    }

    /// Every call on every handle returns `Closed`, and the handles can be dropped. Returns 0, or the number of the
    /// call that does not.
    fn check(mut self, dir: &Path) -> i32 {
        let db = &self.db;
        let through = ReadOptions::new().snapshot(Some(&self.snapshot));
        let answers = [
            closed(db.put(b"k", b"v")),
            closed(db.delete(b"k")),
            closed(db.get(b"k")),
            closed(db.get_many(&[b"k"])),
            closed(db.get_with(b"k", &through)),
            closed(db.contains_key(b"k")),
            closed(db.snapshot()),
            closed(db.cursor(IterOptions::default())),
            closed(db.flush()),
            closed(db.compact_range(None, None)),
            closed(db.approximate_size(Some(b"a"), Some(b"b"))),
            closed(db.approximate_count(None, None)),
            closed(db.count(None, None)),
            closed(db.stats()),
            closed(db.verify()),
            closed(db.checkpoint(dir.with_extension("of-a-child"))),
            closed(self.cursor.first()),
            closed(self.cursor.next()),
            self.iter.next().is_some_and(closed),
            db.is_closed(),
            db.close().is_ok(),
        ];
        let wrong = answers.iter().position(|right| !right);
        drop(self);
        wrong.map_or(0, |at| at as i32 + 1)
    }
}

/// One child, while no other thread works.
pub fn handles(arguments: &[String]) {
    let dir = Path::new(&arguments[0]);
    let db = DB::open(dir, Options::new()).unwrap();
    db.put(b"k", b"parent").unwrap();
    let given = Handles::of(&db);
    let child = fork(|| match given.check(dir) {
        // The parent has the lock. The child has just dropped its copies of the parent's handles.
        0 => match DB::open(dir, Options::new()) {
            Err(error) if error.kind() == ErrorKind::Locked => 0,
            _ => 100,
        },
        wrong => wrong,
    });
    check_end(child, "a fork without load");
    assert_eq!(db.get(b"k").unwrap().as_deref(), Some(&b"parent"[..]));
    db.put(b"k", b"still").unwrap();
    db.flush().unwrap();
    db.close().unwrap();
    say("1 child, every call of it answered Closed");
}

/// Children of a process whose threads write, read, flush, open and close at that moment.
pub fn under_load(arguments: &[String]) {
    let dir = Path::new(&arguments[0]);
    // Tables and blocks appear and disappear all the time.
    let options = || {
        Options::new()
            .write_buffer_size(16 << 10)
            .block_cache_size(16 << 10)
            .max_open_files(8)
    };
    let db = DB::open(dir, options()).unwrap();
    let (stop, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let going_on = || !stop.load(Ordering::Relaxed);
    std::thread::scope(|scope| {
        for writer in 0..3u8 {
            let (db, written) = (db.clone(), &written);
            scope.spawn(move || {
                for number in 0u64.. {
                    if !going_on() {
                        return;
                    }
                    let key = [&[writer][..], &number.to_be_bytes()].concat();
                    db.put(&key, &[writer; 100]).unwrap();
                    written.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        scope.spawn(|| {
            while going_on() {
                assert!(db.iter().take(2000).all(|entry| entry.is_ok()));
                db.flush().unwrap();
            }
        });
        scope.spawn(|| {
            // A thread holds the list's lock much of the time, and a child drops a snapshot.
            while going_on() {
                drop(db.snapshot().unwrap());
            }
        });
        scope.spawn(|| {
            while going_on() {
                DB::open(dir.with_extension("other"), options()).unwrap();
            }
        });
        for number in 0..CHILDREN {
            // Waits for a write since the last fork, so that each fork finds the writers at work.
            let before = written.load(Ordering::Relaxed);
            while written.load(Ordering::Relaxed) == before {
                std::thread::yield_now();
            }
            let given = Handles::of(&db);
            let child = fork(|| given.check(dir));
            check_end(child, &format!("child {number} under load"));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let (found, written) = (db.iter().count() as u64, written.into_inner());
    assert_eq!(found, written, "the parent goes on undisturbed");
    db.close().unwrap();
    say(&format!(
        "{CHILDREN} children beside {written} writes, every call of them answered Closed"
    ));
}

/// Children that outlive this process, which holds the lock and is killed.
pub fn lock(arguments: &[String]) {
    let dir = Path::new(&arguments[0]);
    let other = dir.to_path_buf();
    let stop = AtomicBool::new(false);
    let opened = AtomicU64::new(0);
    std::thread::scope(|scope| {
        // The process also forks in the middle of an open, before the descriptor is known to be a lock's.
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                DB::open(&other, Options::new()).unwrap();
                opened.fetch_add(1, Ordering::Relaxed);
            }
        });
        for _ in 0..CHILDREN_THAT_STAY {
            let before = opened.load(Ordering::Relaxed);
            while opened.load(Ordering::Relaxed) == before {
                std::thread::yield_now();
            }
            fork(stay);
        }
        stop.store(true, Ordering::Relaxed);
    });
    let db = DB::open(dir, Options::new()).unwrap();
    db.put(b"k", b"parent").unwrap();
    fork(|| {
        let answer = stay();
        // The child's own handle, in a process forked from one with threads.
        let own = DB::open(dir, Options::new());
        if own.is_ok_and(|own| own.put(b"k", b"child").is_ok()) {
            // SAFETY: the bytes are readable; standard output is a pipe. Nothing takes a lock of this process.
            unsafe { libc::write(1, b"a child opened\n".as_ptr().cast(), 15) };
        }
        answer
    });
    say("ready");
    loop {
        // SAFETY: waits for a signal; the one that comes is SIGKILL.
        unsafe { libc::pause() };
    }
}

/// Runs until standard input ends.
fn stay() -> i32 {
    let mut byte = 0u8;
    // SAFETY: `byte` is one writable byte; std's own lock of standard input is not needed.
    while unsafe { libc::read(0, (&raw mut byte).cast(), 1) } > 0 {}
    0
}
