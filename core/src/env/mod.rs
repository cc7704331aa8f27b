//! The only access to files, directory syncs, locks, clock, threads and randomness.
//!
//! Nothing else in this crate touches `std::fs` or `std::time` (a test searches the sources for it), so one
//! fault injector reaches every disk access and a test can control the clock.
//!
//! * `os.rs`    the operating system; its lock is in `os_lock.rs`, its unsafe code in `unix.rs` and in
//!   `descriptors.rs`, which keeps files off the standard streams' descriptors
//! * `log_file.rs` its text log files; `stderr.rs` the standard error stream
//! * `mem/`     files in memory, for fast tests; models the power loss from a seed
//! * `pages.rs` memory from the system, in huge pages
//! * `reserve.rs` wraps another environment: uses reserved space when the disk is full
//! * `names.rs` whether names in a directory are durable, also after failed syncs
//! * `closed.rs` a stand-in for a closed file
//! * `fault.rs` wraps another environment: counts operations and makes some fail, from a seed
//! * `dice.rs`  draws that a seed repeats, for `mem/` and `fault.rs`
//!
//! Every method names the path in its error. Offsets and lengths are bytes.

mod closed;
mod descriptors;
mod dice;
#[cfg(test)]
mod edges;
mod fault;
mod log_file;
mod mem;
mod names;
mod os;
mod os_lock;
mod pages;
mod reserve;
mod stderr;
#[cfg(test)]
pub(crate) mod test_dir;
#[cfg(test)]
pub(crate) mod test_passes;
#[cfg(test)]
pub(crate) mod test_process;
mod unix;
mod utc;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::sync::Arc;

pub(crate) use closed::ClosedFile;
pub use fault::{Call, Fault, FaultEnv, Hook};
pub use mem::{Effect, MemEnv, PowerCut, PowerLoss};
pub(crate) use names::{DirSyncs, DurableName, Names};
pub use os::OsEnv;
#[cfg(test)]
pub(crate) use pages::tests::{MAPPED, UNMAPPED};
pub(crate) use pages::{Mapping, SYSTEM_PAGE_BYTES, discard, map, unmap};
pub(crate) use reserve::{MIN_UNIT, Reserve, ReservingEnv, Share};
pub(crate) use stderr::write_to_stderr;
pub use unix::fork_count;
pub(crate) use unix::return_free_memory;
pub(crate) use utc::utc_text;

/// An argument that makes a method private to the engine: code outside this crate cannot name the type, so it
/// can neither call nor implement such a method. The engine's own environments use these methods among
/// themselves: for the reserve, for directories with uncertain names, and for what a disk model should forget.
mod engine_only {
    /// See the module.
    #[derive(Debug, Clone, Copy)]
    pub struct EngineOnly;
}
pub(crate) use engine_only::EngineOnly;

/// A file opened by an [`Env`]. Any number of threads may use it at once; dropping it closes it.
pub trait File: Send + Sync {
    /// Reads into `buffer` from `offset` until it is full or the file ends; returns the number of bytes read.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize>;

    /// Writes all of `bytes` at `offset`, extending the file if needed. After an error any part may be written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Makes the file's bytes and length durable (fdatasync; a full flush of the drive's cache on macOS).
    fn sync(&self) -> Result<()>;

    /// Asks the system to start writing back `length` bytes from `offset`, without waiting. A hint, without a
    /// guarantee; by default it does nothing.
    fn start_writeback(&self, _offset: u64, _length: u64) {}

    /// The file's length in bytes.
    fn len(&self) -> Result<u64>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts or extends (with zeros) the file to `length` bytes.
    fn set_len(&self, length: u64) -> Result<()>;

    /// Extends the file, which must not be longer, to `length` bytes, and allocates disk space for all of them;
    /// the added bytes read as zeros. After an error the file may be longer than before.
    fn allocate(&self, length: u64) -> Result<()>;

    /// As [`File::write_at`], for bytes that may be lost: they never use reserved space.
    #[doc(hidden)]
    fn write_if_room(&self, offset: u64, bytes: &[u8], _: EngineOnly) -> Result<()> {
        self.write_at(offset, bytes)
    }

    /// Simulates a failed sync: unsynced bytes stay readable, may be durable or not, and no later sync changes
    /// that. Only environments that model a disk implement this.
    #[doc(hidden)]
    fn forget_unsynced(&self, _: EngineOnly) {}
}

/// A file of lines, opened by [`Env::open_info_log`].
pub trait InfoLogFile: Send + Sync {
    /// Adds `line` after the file's end. After an error a part of it may be there.
    fn append(&self, line: &[u8]) -> Result<()>;

    /// The file's length in bytes.
    fn len(&self) -> Result<u64>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Whether `path` still names this file; also true if that is unknown.
    fn has_name(&self, path: &Path) -> bool;

    /// Removes all lines.
    fn clear(&self) -> Result<()>;

    /// Runs `work` unless another handle of this file, in any process, is running such work; returns whether it
    /// ran.
    fn alone(&self, work: &mut dyn FnMut()) -> bool;
}

/// The kind of thing at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathKind {
    /// Nothing is there.
    Missing,
    /// An ordinary file of this many bytes.
    File(u64),
    /// A directory.
    Directory,
    /// Anything else: a device, a socket, a pipe.
    Other,
}

/// A file, whatever its name: its device, and its number there.
pub type FileIdentity = (u64, u64);

/// Holds a database's lock until it is dropped.
pub trait DirLock: Send + Sync {
    /// Whether this process still holds the lock: false in a child after `fork`.
    fn is_held(&self) -> bool;
}

/// The name of a thread, which says what [`Env::spawn`] starts it for.
pub type ThreadName = &'static str;

/// A running background thread.
pub trait Thread: Send {
    /// Waits until the thread has ended.
    fn join(self: Box<Self>);
}

/// Files, locks, clock, threads and randomness. A program may bring its own ([`Options::env`](crate::Options::env)),
/// for example one that counts or slows down the operations of another one.
///
/// An environment must implement the methods without a default. The defaults are correct for every environment,
/// but know no symbolic links and no limits; an environment that wraps another should forward them. The hidden
/// methods are for the engine's own environments alone: code outside cannot call or forward them, and need not,
/// because the engine wraps the given environment in its own. Only a [`FaultEnv`] that is to model failed syncs
/// depends on them, so it must wrap the [`MemEnv`] itself.
pub trait Env: Send + Sync + 'static {
    /// Opens an existing file for reading.
    fn open_read(&self, path: &Path) -> Result<Arc<dyn File>>;

    /// Opens an existing file for reading and writing.
    fn open_write(&self, path: &Path) -> Result<Arc<dyn File>>;

    /// Creates a file for reading and writing; an error if the path exists. Durable after [`Env::sync_dir`].
    fn create_new(&self, path: &Path) -> Result<Arc<dyn File>>;

    /// Opens a file of lines for people, created if it is missing.
    fn open_info_log(&self, path: &Path) -> Result<Box<dyn InfoLogFile>> {
        Ok(Box::new(PlainLog::open(self, path)?))
    }

    /// What `path` is, following symbolic links.
    fn kind(&self, path: &Path) -> Result<PathKind>;

    /// The target of the symbolic link `path`, as written in it; `None` if it is not a link, or if that is
    /// unknown.
    fn link_target(&self, _path: &Path) -> Option<PathBuf> {
        None
    }

    /// The identity of the file that `path` leads to, the same under every name; `None` if there is no file, or
    /// if that is unknown.
    fn identity(&self, _path: &Path) -> Option<FileIdentity> {
        None
    }

    /// The names in a directory, in no order.
    fn list(&self, dir: &Path) -> Result<Vec<String>>;

    /// Creates a directory, and its missing parents; not an error if it exists. Before it returns, it syncs the
    /// parent of each of these, and the parent of the first directory that already existed, so that all are durable.
    fn create_dir_all(&self, dir: &Path) -> Result<()>;

    /// Removes a file. Durable after [`Env::sync_dir`]. Unless it has another name, a process still reading it
    /// may find it cut short.
    fn remove_file(&self, path: &Path) -> Result<()>;

    /// Removes an empty directory.
    fn remove_dir(&self, dir: &Path) -> Result<()>;

    /// Renames a file, replacing `to`; or a directory, if `to` is missing or an empty directory. Durable after
    /// [`Env::sync_dir`] of the directory that holds it.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;

    /// Makes `to` a second name of the file `from` (a hard link). Durable after [`Env::sync_dir`].
    fn hard_link(&self, from: &Path, to: &Path) -> Result<()>;

    /// Makes the directory's entries durable: files created, renamed and removed in it.
    fn sync_dir(&self, dir: &Path) -> Result<()>;

    /// The free bytes for files in `dir` on its file system; `u64::MAX` if there is no bound.
    fn free_space(&self, dir: &Path) -> Result<u64>;

    /// `path` made absolute, with symbolic links resolved; it must exist.
    fn canonical(&self, path: &Path) -> Result<PathBuf>;

    /// Takes the lock of the database in `dir` (its file is `LOCK`), shared with other readers or exclusive,
    /// waiting at most `timeout`. If another opener holds it: `Locked`, naming that process's id, host and start
    /// time. A second opener in this process is refused as well, by the directory's identity, not its name.
    fn lock(&self, dir: &Path, exclusive: bool, timeout: Duration) -> Result<Box<dyn DirLock>>;

    /// Microseconds on a clock that never goes back; its zero is arbitrary.
    fn now_micros(&self) -> u64;

    /// Microseconds since 1970-01-01 UTC by the system's clock, which may jump.
    fn wall_micros(&self) -> u64;

    /// 64 random bits, for file ids.
    fn random(&self) -> Result<u64>;

    /// How many files this process may have open at once.
    fn open_file_limit(&self) -> u64;

    /// The largest allowed length of a file in bytes: `u64::MAX` if there is no limit.
    fn largest_file(&self) -> u64 {
        u64::MAX
    }

    /// Starts a thread that runs `work`.
    fn spawn(&self, name: ThreadName, work: Box<dyn FnOnce() + Send>) -> Result<Box<dyn Thread>>;

    /// How many calls of [`Env::sync_dir`] have failed here. Environments that do not count return 0.
    #[doc(hidden)]
    fn failed_dir_syncs(&self, _: EngineOnly) -> u64 {
        0
    }

    /// The error of the last failed call.
    #[doc(hidden)]
    fn dir_sync_failure(&self, _: EngineOnly) -> Option<Error> {
        None
    }

    /// Simulates a failed [`Env::sync_dir`]: unsynced changes stay visible, may be durable or not, and no later
    /// sync changes that. Only environments that model a disk implement this.
    #[doc(hidden)]
    fn forget_unsynced(&self, _dir: &Path, _: EngineOnly) {}
}

/// A log in a file of any environment, for one handle at a time.
struct PlainLog(Arc<dyn File>);

impl PlainLog {
    fn open(env: &(impl Env + ?Sized), path: &Path) -> Result<PlainLog> {
        let file = match env.kind(path)? {
            PathKind::Missing => env.create_new(path)?,
            _ => env.open_write(path)?,
        };
        Ok(PlainLog(file))
    }
}

impl InfoLogFile for PlainLog {
    fn append(&self, line: &[u8]) -> Result<()> {
        self.0.write_at(self.0.len()?, line)
    }

    fn len(&self) -> Result<u64> {
        self.0.len()
    }

    fn has_name(&self, _path: &Path) -> bool {
        true
    }

    fn clear(&self) -> Result<()> {
        self.0.set_len(0)
    }

    fn alone(&self, work: &mut dyn FnMut()) -> bool {
        work();
        true
    }
}
