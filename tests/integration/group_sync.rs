//! Group commit: synced writers at the same time share a sync; and the engine does not write unsynced data back early.
//!
//! The environment here is the operating system's with two changes: it counts calls on files, and each sync takes at
//! least as long as on a fast disk, so that the test means the same on a file system whose sync is free.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aidb::env::{DirLock, Env, File, OsEnv, PathKind, Thread, ThreadName};
use aidb::{DB, Options, Result, WriteOptions};

/// Calls on all files created or opened for writing.
#[derive(Default)]
struct Counts {
    syncs: AtomicU64,
    /// Bytes of logs alone whose writeback was requested.
    log_writeback: AtomicU64,
}

struct CountingEnv {
    os: OsEnv,
    counts: Arc<Counts>,
}

struct CountingFile {
    file: Arc<dyn File>,
    is_log: bool,
    counts: Arc<Counts>,
}

impl File for CountingFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        self.file.read_at(offset, buffer)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.file.write_at(offset, bytes)
    }
    fn sync(&self) -> Result<()> {
        self.counts.syncs.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_micros(100));
        self.file.sync()
    }
    fn start_writeback(&self, offset: u64, length: u64) {
        if self.is_log {
            let counter = &self.counts.log_writeback;
            counter.fetch_add(length, Ordering::Relaxed);
        }
        self.file.start_writeback(offset, length);
    }
    fn len(&self) -> Result<u64> {
        self.file.len()
    }
    fn allocate(&self, length: u64) -> Result<()> {
        self.file.allocate(length)
    }
    fn set_len(&self, length: u64) -> Result<()> {
        self.file.set_len(length)
    }
}

impl CountingEnv {
    fn wrap(&self, path: &Path, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(CountingFile {
            file,
            is_log: path.extension().is_some_and(|extension| extension == "log"),
            counts: Arc::clone(&self.counts),
        })
    }
}

impl Env for CountingEnv {
    fn open_read(&self, path: &Path) -> Result<Arc<dyn File>> {
        self.os.open_read(path)
    }
    fn open_write(&self, path: &Path) -> Result<Arc<dyn File>> {
        Ok(self.wrap(path, self.os.open_write(path)?))
    }
    fn create_new(&self, path: &Path) -> Result<Arc<dyn File>> {
        Ok(self.wrap(path, self.os.create_new(path)?))
    }
    fn kind(&self, path: &Path) -> Result<PathKind> {
        self.os.kind(path)
    }
    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        self.os.list(dir)
    }
    fn create_dir_all(&self, dir: &Path) -> Result<()> {
        self.os.create_dir_all(dir)
    }
    fn remove_file(&self, path: &Path) -> Result<()> {
        self.os.remove_file(path)
    }
    fn remove_dir(&self, dir: &Path) -> Result<()> {
        self.os.remove_dir(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.os.rename(from, to)
    }
    fn hard_link(&self, from: &Path, to: &Path) -> Result<()> {
        self.os.hard_link(from, to)
    }
    fn sync_dir(&self, dir: &Path) -> Result<()> {
        self.os.sync_dir(dir)
    }
    fn free_space(&self, dir: &Path) -> Result<u64> {
        self.os.free_space(dir)
    }
    fn canonical(&self, path: &Path) -> Result<PathBuf> {
        self.os.canonical(path)
    }
    fn lock(&self, dir: &Path, exclusive: bool, timeout: Duration) -> Result<Box<dyn DirLock>> {
        self.os.lock(dir, exclusive, timeout)
    }
    fn now_micros(&self) -> u64 {
        self.os.now_micros()
    }
    fn wall_micros(&self) -> u64 {
        self.os.wall_micros()
    }
    fn random(&self) -> Result<u64> {
        self.os.random()
    }
    fn open_file_limit(&self) -> u64 {
        self.os.open_file_limit()
    }
    fn spawn(&self, name: ThreadName, work: Box<dyn FnOnce() + Send>) -> Result<Box<dyn Thread>> {
        self.os.spawn(name, work)
    }
}

fn open() -> (tempfile::TempDir, DB, Arc<Counts>) {
    let dir = tempfile::tempdir().unwrap();
    let counts = Arc::new(Counts::default());
    let env = CountingEnv {
        os: OsEnv::new(),
        counts: Arc::clone(&counts),
    };
    let db = DB::open(dir.path(), Options::new().env(Arc::new(env))).unwrap();
    counts.syncs.store(0, Ordering::Relaxed);
    (dir, db, counts)
}

#[test]
fn eight_synced_writers_share_their_syncs() {
    let (_dir, db, counts) = open();
    let before = db.stats().unwrap().wal_syncs;
    std::thread::scope(|scope| {
        for writer in 0..8u32 {
            let db = db.clone();
            scope.spawn(move || {
                for number in 0..1000u32 {
                    let key = [writer.to_be_bytes(), number.to_be_bytes()].concat();
                    db.put_with(&key, b"value", &WriteOptions::synced())
                        .unwrap();
                }
            });
        }
    });
    let counted = counts.syncs.load(Ordering::Relaxed);
    let reported = db.stats().unwrap().wal_syncs - before;
    println!("8,000 synced puts from 8 threads: {counted} syncs, {reported} of logs by stats()");
    assert!((1000..4000).contains(&counted), "{counted} syncs");
    assert!(
        reported <= counted,
        "stats() claims {reported} of {counted}"
    );
    assert_eq!(db.iter().count(), 8000);
}

#[test]
fn a_lone_synced_writer_syncs_each_write() {
    let (_dir, db, counts) = open();
    for number in 0..50u32 {
        db.put_with(&number.to_be_bytes(), b"value", &WriteOptions::synced())
            .unwrap();
        let counted = counts.syncs.load(Ordering::Relaxed);
        assert!(
            counted > u64::from(number),
            "{counted} syncs at put {number}"
        );
    }
}

#[test]
fn logs_are_written_back_early_only_where_somebody_syncs() {
    let (_dir, db, counts) = open();
    let put = |number: u32, options: &WriteOptions| {
        db.put_with(&number.to_be_bytes(), &[7; 10_000], options)
            .unwrap();
    };
    let unsynced = WriteOptions::default();
    for number in 0..500 {
        put(number, &unsynced);
    }
    assert_eq!(counts.log_writeback.load(Ordering::Relaxed), 0);
    put(0, &WriteOptions::synced());
    for number in 0..500 {
        put(number, &unsynced);
    }
    let asked = counts.log_writeback.load(Ordering::Relaxed);
    assert!(asked > 8_000_000, "{asked} bytes of 10 MB");

    // In the next log too, but not in the log after one that nobody synced.
    for is_asked in [true, false] {
        db.flush().unwrap();
        counts.log_writeback.store(0, Ordering::Relaxed);
        for number in 0..500 {
            put(number, &unsynced);
        }
        let asked = counts.log_writeback.load(Ordering::Relaxed);
        let expected = if is_asked {
            4_000_000..=5_100_000
        } else {
            0..=0
        };
        assert!(expected.contains(&asked), "{asked} bytes of 5 MB");
    }
}
