//! The only door to files, directory syncs, locks, clock, threads and randomness.
//!
//! Nothing else in this crate touches `std::fs` or `std::time` (a test reads the sources for it), so one fault
//! injector reaches every disk access and a test can hold the clock.
//!
//! * `os.rs`    the operating system; its lock is in `os_lock.rs`, its unsafe code in `unix.rs` and in `descriptors.rs`,
//!   which keeps files off the standard streams' descriptors
//! * `log_file.rs` its files of lines for people; `stderr.rs` the standard error stream
//! * `mem.rs`   files in memory, for fast tests; models the loss of power from a seed
//! * `pages.rs` memory from the system, in huge pages
//! * `reserve.rs` wraps another environment: draws on space set aside when the disk is full
//! * `names.rs` whether names in a directory are durable, after syncs that failed too
//! * `closed.rs` what stands for a file that was let go
//! * `fault.rs` wraps another environment: counts operations and makes some fail, from a seed
//!
//! Every method names the path in its error. Offsets and lengths are bytes.

mod closed;
mod descriptors;
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
pub use fault::{Fault, FaultEnv, Hook, Operation};
pub use mem::{Effect, Loss, MemEnv, PowerCut};
pub(crate) use names::{DirSyncs, Names};
pub use os::OsEnv;
#[cfg(test)]
pub(crate) use pages::tests::{MAPPED, UNMAPPED};
pub(crate) use pages::{Mapping, SYSTEM_PAGE_BYTES, discard, map, unmap};
pub(crate) use reserve::{Reserve, ReservingEnv, SMALLEST_UNIT, Share};
pub(crate) use stderr::write_to_stderr;
pub use unix::fork_count;
pub(crate) use unix::return_free_memory;
pub(crate) use utc::utc_text;

/// In the arguments of a method that is the engine's alone: nobody outside of this crate can name it, so nobody there can
/// call such a method, or implement it. The engine's own environments tell each other by them what no user's environment
/// needs to know: about the reserve, about directories in doubt, and what a model of a disk is to forget.
mod engine_only {
    /// See the module.
    #[derive(Debug, Clone, Copy)]
    pub struct EngineOnly;
}
pub(crate) use engine_only::EngineOnly;

/// A file opened by an [`Env`]. Any number of threads may use it at once; dropping it closes it.
pub trait File: Send + Sync {
    /// Reads into `buffer` from `offset` until it is full or the file ends; the bytes read.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize>;

    /// Writes all of `bytes` at `offset`, extending the file if needed. After an error any part may be written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Makes the file's bytes and length durable (fdatasync; a full flush of the drive's cache on macOS).
    fn sync(&self) -> Result<()>;

    /// Asks the system to start writing `length` bytes from `offset` back, without waiting. A hint: no promise, and by
    /// default nothing.
    fn start_writeback(&self, _offset: u64, _length: u64) {}

    /// The file's length in bytes.
    fn len(&self) -> Result<u64>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts or extends (with zeros) the file to `length` bytes.
    fn set_len(&self, length: u64) -> Result<()>;

    /// Makes the file, which is at most that long, `length` bytes long, with space on the disk set aside for all of
    /// them; what is added reads as zeros. After an error it may be longer than it was.
    fn allocate(&self, length: u64) -> Result<()>;

    /// As [`File::write_at`], for bytes that nobody will miss: they never draw on space that was set aside for others.
    #[doc(hidden)]
    fn write_if_room(&self, offset: u64, bytes: &[u8], _: EngineOnly) -> Result<()> {
        self.write_at(offset, bytes)
    }

    /// Does what a failed sync may do: what was not synced stays readable, is durable or not, and no later sync changes
    /// that. Only environments that model a disk have an answer to this.
    #[doc(hidden)]
    fn forget_unsynced(&self, _: EngineOnly) {}
}

/// A file of lines, opened by [`Env::open_log`].
pub trait LogFile: Send + Sync {
    /// Adds `line` after the file's end. After an error a part of it may be there.
    fn append(&self, line: &[u8]) -> Result<()>;

    /// The file's length in bytes.
    fn len(&self) -> Result<u64>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Whether `path` still names this file; true also if nobody can tell.
    fn has_name(&self, path: &Path) -> bool;

    /// Removes all lines.
    fn clear(&self) -> Result<()>;

    /// Runs `work` unless another handle of this file, in whatever process, is running some; whether it ran.
    fn alone(&self, work: &mut dyn FnMut()) -> bool;
}

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// Why [`Env::spawn`] was asked for a thread; also the thread's name.
pub type ThreadName = &'static str;

/// A running background thread.
pub trait Thread: Send {
    /// Waits until the thread has ended.
    fn join(self: Box<Self>);
}

/// Files, locks, clock, threads and randomness. A program may bring its own ([`Options::env`](crate::Options::env)), for
/// example one that counts or slows down what another one does.
///
/// What has no default is what an environment must have. The defaults are right for every environment, but know no symbolic
/// links and no limits; one that wraps another should pass them on. The engine puts its own wrapper around what it is given.
pub trait Env: Send + Sync + 'static {
    /// Opens an existing file for reading.
    fn open_read(&self, path: &Path) -> Result<Arc<dyn File>>;

    /// Opens an existing file for reading and writing.
    fn open_write(&self, path: &Path) -> Result<Arc<dyn File>>;

    /// Creates a file for reading and writing; an error if the path exists. Durable after [`Env::sync_dir`].
    fn create_new(&self, path: &Path) -> Result<Arc<dyn File>>;

    /// Opens a file of lines for people, created if it is missing.
    fn open_log(&self, path: &Path) -> Result<Box<dyn LogFile>> {
        Ok(Box::new(PlainLog::open(self, path)?))
    }

    /// What `path` is, following symbolic links.
    fn kind(&self, path: &Path) -> Result<PathKind>;

    /// Where the symbolic link `path` leads, as it is written there; `None` if it is none, or nobody can tell.
    fn link_target(&self, _path: &Path) -> Option<PathBuf> {
        None
    }

    /// What tells the file that `path` leads to from all others, by whatever name; `None` if there is none, or nobody can tell.
    fn identity(&self, _path: &Path) -> Option<FileIdentity> {
        None
    }

    /// The names in a directory, in no order.
    fn list(&self, dir: &Path) -> Result<Vec<String>>;

    /// Creates a directory, and its missing parents; not an error if it exists. The parents of those and of the
    /// first that exists are synced before this returns, so that all are durable.
    fn create_dir_all(&self, dir: &Path) -> Result<()>;

    /// Removes a file. Durable after [`Env::sync_dir`]. Unless it has another name, who still reads it may find it cut short.
    fn remove_file(&self, path: &Path) -> Result<()>;

    /// Removes an empty directory.
    fn remove_dir(&self, dir: &Path) -> Result<()>;

    /// Renames a file, replacing `to`, or a directory, where `to` is missing or an empty one. Durable after
    /// [`Env::sync_dir`] of the directory that holds it.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;

    /// Makes `to` a second name of the file `from` (a hard link). Durable after [`Env::sync_dir`].
    fn hard_link(&self, from: &Path, to: &Path) -> Result<()>;

    /// Makes the directory's entries durable: files created, renamed and removed in it.
    fn sync_dir(&self, dir: &Path) -> Result<()>;

    /// Bytes that files in `dir` may still take of its file system; `u64::MAX` if it knows no bound.
    fn free_space(&self, dir: &Path) -> Result<u64>;

    /// `path` made absolute, with symbolic links resolved; it must exist.
    fn canonical(&self, path: &Path) -> Result<PathBuf>;

    /// Takes the lock of the database in `dir` (its file is `LOCK`), shared with other readers or exclusive,
    /// waiting at most `timeout`. If another opener holds it: `Locked`, naming that process's id, host and start
    /// time. A second opener in this process is refused as well, by the directory's identity, not its name.
    fn lock(&self, dir: &Path, exclusive: bool, timeout: Duration) -> Result<Box<dyn DirLock>>;

    /// Microseconds on a clock that never goes back; its zero means nothing.
    fn now_micros(&self) -> u64;

    /// Microseconds since 1970-01-01 UTC by the system's clock, which may jump.
    fn wall_micros(&self) -> u64;

    /// 64 random bits, for file ids.
    fn random(&self) -> Result<u64>;

    /// How many files this process may have open at once.
    fn open_file_limit(&self) -> u64;

    /// How many bytes long a file may be: `u64::MAX` where nobody has set a limit.
    fn largest_file(&self) -> u64 {
        u64::MAX
    }

    /// Starts a thread that runs `work`.
    fn spawn(&self, name: ThreadName, work: Box<dyn FnOnce() + Send>) -> Result<Box<dyn Thread>>;

    /// How many calls of [`Env::sync_dir`] have failed here. Environments that do not count answer 0.
    #[doc(hidden)]
    fn failed_dir_syncs(&self, _: EngineOnly) -> u64 {
        0
    }

    /// The error of the last of them.
    #[doc(hidden)]
    fn dir_sync_failure(&self, _: EngineOnly) -> Option<Error> {
        None
    }

    /// Does what a failed [`Env::sync_dir`] may do: changes that were not synced stay visible, are durable or not, and no
    /// later sync changes that. Only environments that model a disk have an answer to this.
    #[doc(hidden)]
    fn forget_unsynced(&self, _dir: &Path, _: EngineOnly) {}
}

/// A log over any environment's files, for one handle at a time.
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

impl LogFile for PlainLog {
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
