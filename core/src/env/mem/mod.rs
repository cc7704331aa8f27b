//! Files in memory, for fast tests, with a model of a power loss.
//!
//! Every file and directory exists twice: as running programs see it, and as it is on the disk. A change
//! reaches the first at once and waits in a list until a sync moves it to the second. [`MemEnv::power_cut`]
//! (`cut.rs`) starts from the disk's state, lets a seed decide which waiting changes arrive, and returns a
//! new environment with the result.
//!
//! * MEM-1  Synced changes survive a power cut: bytes and length after [`File::sync`], names after
//!          [`Env::sync_dir`]. Making or removing a directory is durable at once, except with
//!          [`MemEnv::leave_unsynced`]; renaming one is durable after a sync of its parent.
//! * MEM-2  Unsynced changes are kept, dropped, or torn, in any combination ([`PowerLoss`]): later ones may survive
//!          and earlier ones not. A rename happens completely or not at all. Bytes and names whose sync failed
//!          stay in this state, whatever is synced later (`forget_unsynced` of [`File`] and of [`Env`]).
//! * MEM-3  A cut sees all files at one moment, although other threads may be writing.
//! * MEM-4  Only the clock depends on the real system: `random` is computed from a fixed seed, and after a cut
//!          from that seed and the cut's.
//!
//! There are no symbolic links; a relative path starts at `/`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

mod clock;
mod cut;
mod directory;
mod disk;
mod file;
mod handle;
mod history;
mod lock;
#[cfg(test)]
mod tests;

use super::dice::Dice;
use super::{DirLock, EngineOnly, Env, File, PathKind, Thread, ThreadName, os};
use crate::error::{Error, Result};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};

pub use cut::{Effect, PowerCut, PowerLoss};

use clock::Clock;
use directory::Directory;
use disk::{Directories, Disk, normal};
use file::MemFile;
use handle::Handle;
use lock::Locks;

/// Where the random numbers of an environment begin that no power cut made.
const FIRST_RANDOM: u64 = 0x5eed;

/// An environment in memory. Clones share everything, so a test can close a database and open it again.
#[derive(Clone)]
pub struct MemEnv {
    disk: Arc<Disk>,
    locks: Arc<Locks>,
    clock: Arc<Clock>,
    random: Arc<AtomicU64>,
}

impl MemEnv {
    /// An empty environment: one directory, `/`.
    pub fn new() -> MemEnv {
        let root = BTreeMap::from([(PathBuf::from("/"), Directory::default())]);
        MemEnv::with(root, FIRST_RANDOM)
    }

    /// An environment with these directories, whose random numbers begin at `random`.
    fn with(directories: Directories, random: u64) -> MemEnv {
        MemEnv {
            disk: Arc::new(Disk::new(directories)),
            locks: Arc::default(),
            clock: Arc::new(Clock::new()),
            random: Arc::new(AtomicU64::new(random)),
        }
    }

    /// Lets the files hold at most `bytes`, in blocks of 4096: writes that need more get `NoSpace`. `None` lifts it.
    pub fn set_quota(&self, bytes: Option<u64>) {
        self.disk.set_quota(bytes);
    }

    /// Bytes that the files take, in blocks of 4096.
    pub fn used_bytes(&self) -> u64 {
        self.disk.used_bytes()
    }

    /// Makes the directory `dir` like a process that is killed before it syncs the parent: a power cut may remove it,
    /// with everything in it, until [`Env::create_dir_all`] or a sync of the parent.
    pub fn leave_unsynced(&self, dir: &Path) -> Result<()> {
        self.disk.leave_unsynced(dir)
    }

    /// Stops both clocks at `micros`; call it again to move them. `None` lets them run again.
    pub fn hold_clock(&self, micros: Option<u64>) {
        self.clock.hold(micros);
    }

    fn handle(&self, file: Arc<MemFile>, path: &Path) -> Arc<dyn File> {
        Arc::new(Handle::new(self.disk.clone(), file, normal(path)))
    }
}

impl Default for MemEnv {
    fn default() -> MemEnv {
        MemEnv::new()
    }
}

impl Env for MemEnv {
    fn open_read(&self, path: &Path) -> Result<Arc<dyn File>> {
        let file = self.disk.open("open for reading", path)?;
        Ok(self.handle(file, path))
    }

    fn open_write(&self, path: &Path) -> Result<Arc<dyn File>> {
        let file = self.disk.open("open for writing", path)?;
        Ok(self.handle(file, path))
    }

    fn create_new(&self, path: &Path) -> Result<Arc<dyn File>> {
        let file = self.disk.create_new(path)?;
        Ok(self.handle(file, path))
    }

    fn kind(&self, path: &Path) -> Result<PathKind> {
        self.disk.kind(path)
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> Result<()> {
        self.disk.create_dir_all(dir)
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        self.disk.remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> Result<()> {
        self.disk.remove_dir(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.disk.rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> Result<()> {
        self.disk.hard_link(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        self.disk.sync_dir(dir)
    }

    fn forget_unsynced(&self, dir: &Path, _: EngineOnly) {
        self.disk.forget_unsynced(dir);
    }

    fn free_space(&self, _dir: &Path) -> Result<u64> {
        Ok(self.disk.room_for(0))
    }

    fn canonical(&self, path: &Path) -> Result<PathBuf> {
        match self.kind(path)? {
            PathKind::Missing => {
                let source = io::Error::from_raw_os_error(libc::ENOENT);
                Err(Error::io("resolve", path, source))
            }
            _ => Ok(normal(path)),
        }
    }

    fn lock(&self, dir: &Path, exclusive: bool, timeout: Duration) -> Result<Box<dyn DirLock>> {
        let dir = normal(dir);
        if self.kind(&dir)? != PathKind::Directory {
            let source = io::Error::from_raw_os_error(libc::ENOENT);
            return Err(Error::io("lock", &dir, source));
        }
        let lock = Locks::take(&self.locks, dir, exclusive, timeout, &self.clock)?;
        Ok(Box::new(lock))
    }

    fn now_micros(&self) -> u64 {
        self.clock.now_micros()
    }

    fn wall_micros(&self) -> u64 {
        self.clock.wall_micros()
    }

    fn random(&self) -> Result<u64> {
        let seed = self.random.fetch_add(1, Ordering::Relaxed);
        Ok(Dice::new(seed).next())
    }

    fn open_file_limit(&self) -> u64 {
        1024
    }

    fn spawn(&self, name: ThreadName, work: Box<dyn FnOnce() + Send>) -> Result<Box<dyn Thread>> {
        os::spawn(name, work)
    }
}
