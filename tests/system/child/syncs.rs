//! Checks which syncs the engine asks of the operating system, and what it does with the results: `syncs DIR`.
//!
//! This program has its own `fsync` and `fdatasync`. While watched they record each call, and pass it on or return EIO.
//! So the test sees a sync that `OsEnv` leaves out, or whose error it drops: no file system would show it.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use aidb::env::{Env, OsEnv};
use aidb::{DB, Error, ErrorKind, Options, WriteOptions};

use crate::say;

/// A call: its path, and whether it was `fdatasync`.
type Call = (PathBuf, bool);

#[derive(Default)]
struct Calls {
    seen: Vec<Call>,
    /// The number of the call that fails.
    fails: Option<usize>,
}

static WATCHED: AtomicBool = AtomicBool::new(false);
static CALLS: Mutex<Calls> = Mutex::new(Calls {
    seen: Vec::new(),
    fails: None,
});

#[unsafe(no_mangle)]
extern "C" fn fsync(file: libc::c_int) -> libc::c_int {
    call(libc::SYS_fsync, file)
}

#[unsafe(no_mangle)]
extern "C" fn fdatasync(file: libc::c_int) -> libc::c_int {
    call(libc::SYS_fdatasync, file)
}

fn call(number: libc::c_long, file: libc::c_int) -> libc::c_int {
    if WATCHED.load(Ordering::SeqCst) {
        let path = std::fs::read_link(format!("/proc/self/fd/{file}")).unwrap_or_default();
        let mut calls = CALLS.lock().unwrap();
        let index = calls.seen.len();
        calls.seen.push((path, number == libc::SYS_fdatasync));
        if calls.fails == Some(index) {
            // SAFETY: the location is this thread's own errno.
            unsafe { *libc::__errno_location() = libc::EIO };
            return -1;
        }
    }
    // SAFETY: both calls take a descriptor, of whatever value, and touch no memory.
    unsafe { libc::syscall(number, file) as libc::c_int }
}

/// Runs `work` with the call number `fails` failing. Returns its result and all calls.
fn watch<T>(fails: Option<usize>, work: impl FnOnce() -> T) -> (T, Vec<Call>) {
    *CALLS.lock().unwrap() = Calls {
        seen: Vec::new(),
        fails,
    };
    WATCHED.store(true, Ordering::SeqCst);
    let answer = work();
    WATCHED.store(false, Ordering::SeqCst);
    (answer, std::mem::take(&mut CALLS.lock().unwrap().seen))
}

/// Checks that `work` asks for these syncs, and fails if any of them does.
fn asks_for(expected: &[(&Path, bool)], mut work: impl FnMut(&str) -> Result<(), Error>) {
    let (answer, calls) = watch(None, || work("whole"));
    answer.unwrap();
    let found: Vec<(&Path, bool)> = calls.iter().map(|(path, data)| (&**path, *data)).collect();
    assert_eq!(found, expected);
    for fails in 0..expected.len() {
        let (answer, _) = watch(Some(fails), || work(&format!("fails-{fails}")));
        let error = answer.expect_err("a failed sync is reported");
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    }
}

fn environment(dir: &Path) {
    let env = OsEnv::new();
    let file = dir.join("file");
    let handle = env.create_new(&file).unwrap();
    handle.write_at(0, b"bytes").unwrap();
    asks_for(&[(&file, true)], |_| handle.sync());
    asks_for(&[(dir, false)], |_| env.sync_dir(dir));
    // An earlier process may have created the directory and died before its sync.
    let above = dir.parent().unwrap();
    asks_for(&[(above, false)], |_| env.create_dir_all(dir));
    let base = |name: &str| dir.join(name);
    let whole = base("whole");
    let expected = [(above, false), (dir, false), (&*whole, false)];
    asks_for(&expected, |name| {
        env.create_dir_all(&base(name).join("deep"))
    });
}

/// Runs a database, with a second try of whatever fails. Returns the failed steps, and the right contents.
struct Life {
    dir: PathBuf,
    errors: Vec<Error>,
    written: Vec<[u8; 2]>,
}

impl Life {
    fn options() -> Options {
        Options::new()
            .manual_background(true)
            .write_buffer_size(32 << 10)
    }

    fn twice<T>(&mut self, mut work: impl FnMut() -> Result<T, Error>) -> T {
        work().unwrap_or_else(|error| {
            self.errors.push(error);
            work().expect("the cause is gone, so it works")
        })
    }

    fn open(&mut self) -> DB {
        let path = self.dir.join("new/db");
        self.twice(|| DB::open(&path, Life::options()))
    }

    fn write(&mut self, db: &DB, name: u8) {
        for number in 0..20 {
            let sync = number % 7 == 0;
            self.twice(|| {
                db.put_with(
                    &[name, number],
                    &[number; 100],
                    &WriteOptions::new().sync(sync),
                )
            });
            self.written.push([name, number]);
        }
    }

    fn run(&mut self) {
        let db = self.open();
        self.write(&db, b'a');
        self.twice(|| db.flush());
        self.write(&db, b'b');
        self.twice(|| db.compact_range(None, None));
        self.write(&db, b'c');
        // Dropped, so that the next open has a log to replay.
        drop(db);
        let db = self.open();
        self.write(&db, b'd');
        let copy = self.dir.join("copy");
        self.twice(|| db.checkpoint(&copy));
        self.twice(|| db.close());
        let (from, into) = (self.dir.join("new/db"), self.dir.join("repaired"));
        let report = self.twice(|| DB::repair(&from, &into, &Life::options()));
        assert!(report.is_ok(), "{report:?}");
    }

    fn check(&self) {
        for name in ["new/db", "copy", "repaired"] {
            let db = DB::open(self.dir.join(name), Life::options()).unwrap();
            for key in &self.written {
                let value = db.get(key).unwrap();
                assert_eq!(value.as_deref(), Some(&[key[1]; 100][..]), "{name}");
            }
            assert!(db.verify().unwrap().is_ok());
        }
    }
}

/// Whether a call was for a file whose name begins like this.
fn is_for((path, _): &Call, name: &str) -> bool {
    let found = path.file_name().unwrap_or_default();
    found.to_string_lossy().starts_with(name)
}

/// A new manifest is an attempt: if it fails the old one goes on. The engine syncs its file and its directory.
fn begins_a_manifest(calls: &[Call], index: usize) -> bool {
    is_for(&calls[index], "MANIFEST") || index > 0 && is_for(&calls[index - 1], "MANIFEST")
}

pub fn run(arguments: &[String]) {
    let [dir] = arguments else {
        panic!("syncs DIR");
    };
    let dir = std::fs::canonicalize(dir).unwrap();
    environment(&dir);
    let (mut fails, mut silent, mut ahead) = (None, 0, 0);
    loop {
        let name = format!("life-{}", fails.map_or(0, |n| n + 1));
        let mut life = Life {
            dir: dir.join(name),
            errors: Vec::new(),
            written: Vec::new(),
        };
        let ((), calls) = watch(fails, || life.run());
        life.check();
        match fails {
            None => assert!(life.errors.is_empty()),
            Some(n) if n >= calls.len() => break,
            Some(n) => match &life.errors[..] {
                [error] => assert_eq!(error.kind(), ErrorKind::Io, "{error}"),
                [] if begins_a_manifest(&calls, n) => silent += 1,
                // A log can do without a file made ahead.
                [] if is_for(&calls[n], "BLANK-LOG") => ahead += 1,
                [] => panic!("the failure of sync {n}, of {:?}, was dropped", calls[n]),
                errors => panic!("sync {n}: {errors:?}"),
            },
        }
        std::fs::remove_dir_all(&life.dir).unwrap();
        fails = Some(fails.map_or(0, |n| n + 1));
    }
    let syncs = fails.unwrap_or_default();
    assert!(syncs > 30 && silent > 0, "{syncs} syncs, {silent} silent");
    assert!(ahead > 0, "no log was made ahead");
    say(&format!(
        "each of {syncs} syncs failed once; {silent} of those began a manifest, and the old one went on; {ahead} made a log ahead"
    ));
}
