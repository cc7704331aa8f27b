//! Group commit: synced writers that come together share a sync.
//!
//! The environment here is the operating system's with two changes: it counts the syncs of files, and each takes
//! at least as long as on a fast disk, so that the test means the same on a file system whose sync is free.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aidb::env::{DirLock, Env, File, OsEnv, PathKind, Thread, ThreadName};
use aidb::{DB, Options, Result, WriteOptions};

/// Counts syncs of log files, which is every file but tables and manifest.
struct CountingEnv {
    os: OsEnv,
    syncs: Arc<AtomicU64>,
}

struct CountingFile {
    file: Arc<dyn File>,
    syncs: Arc<AtomicU64>,
}

impl File for CountingFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        self.file.read_at(offset, buffer)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.file.write_at(offset, bytes)
    }
    fn sync(&self) -> Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_micros(100));
        self.file.sync()
    }
    fn start_writeback(&self, offset: u64, length: u64) {
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
    fn wrap(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(CountingFile {
            file,
            syncs: Arc::clone(&self.syncs),
        })
    }
}

impl Env for CountingEnv {
    fn open_read(&self, path: &Path) -> Result<Arc<dyn File>> {
        self.os.open_read(path)
    }
    fn open_write(&self, path: &Path) -> Result<Arc<dyn File>> {
        Ok(self.wrap(self.os.open_write(path)?))
    }
    fn create_new(&self, path: &Path) -> Result<Arc<dyn File>> {
        Ok(self.wrap(self.os.create_new(path)?))
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

fn open() -> (tempfile::TempDir, DB, Arc<AtomicU64>) {
    let dir = tempfile::tempdir().unwrap();
    let syncs = Arc::new(AtomicU64::new(0));
    let env = CountingEnv {
        os: OsEnv::new(),
        syncs: Arc::clone(&syncs),
    };
    let db = DB::open(dir.path(), Options::new().env(Arc::new(env))).unwrap();
    syncs.store(0, Ordering::Relaxed);
    (dir, db, syncs)
}

#[test]
fn eight_synced_writers_share_their_syncs() {
    let (_dir, db, syncs) = open();
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
    let counted = syncs.load(Ordering::Relaxed);
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
    let (_dir, db, syncs) = open();
    for number in 0..50u32 {
        db.put_with(&number.to_be_bytes(), b"value", &WriteOptions::synced())
            .unwrap();
        let counted = syncs.load(Ordering::Relaxed);
        assert!(
            counted > u64::from(number),
            "{counted} syncs at put {number}"
        );
    }
}
