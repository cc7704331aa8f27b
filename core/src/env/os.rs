//! The operating system's files, clock, threads and randomness, through std.
//!
//! * OS-1  Only regular files are opened: a path that has become a pipe or a device is an error; opening it
//!         does not block.
//! * OS-2  Interrupted system calls are repeated; no caller sees EINTR.
//! * OS-3  A directory is durable when [`Env::create_dir_all`] returns, even if it already existed: the process
//!         that made it may have been killed before it synced.
//! * OS-4  No write exceeds the process's file size limit, because the system would send a signal that ends the
//!         process by default. Such a write fails with the same error instead, without the signal.
//! * OS-5  `pthread_cancel` cannot end a thread while it opens, reads or closes a file, as reads of the
//!         database do. For all other operations the caller disables cancellation (the C API's `cancel.rs`);
//!         they take so long that the cost does not matter.
//!
//! Linux is tested; macOS shares this file (std's `sync_data` is a full flush there) and is untested.
//!
//! Elsewhere: the lock (`os_lock.rs`), system calls that std lacks and that need unsafe code (`unix.rs`).

use std::fs;
use std::io::{self, Read};
use std::mem;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::log_file::OsLog;
use super::unix::{Uncancelled, retry};
use super::{
    DirLock, Env, File, FileIdentity, InfoLogFile, PathKind, Thread, ThreadName, descriptors,
    os_lock, unix,
};
use crate::error::{Error, Result};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, thread};

/// The environment of a real database: the operating system.
#[derive(Debug)]
pub struct OsEnv {
    started: Instant,
}

impl OsEnv {
    /// The operating system's environment. Its monotonic clock starts at zero now.
    pub fn new() -> OsEnv {
        OsEnv {
            started: Instant::now(),
        }
    }
}

impl Default for OsEnv {
    fn default() -> OsEnv {
        OsEnv::new()
    }
}

/// The file size limit is checked again after this many bytes written to a file, or after a sync. The check is
/// a system call that costs half as much as a small write; a sync costs more.
const LOOK_BYTES: u64 = 4 << 10;

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// This much of a removed file's space is freed at a time.
const RELEASED_BYTES: u64 = 2 << 20;

struct OsFile {
    file: fs::File,
    path: PathBuf,
    /// The file size limit in bytes, at its last check (OS-4).
    largest: AtomicU64,
    /// Bytes written since then; `LOOK_BYTES` if the limit has to be checked again.
    unlooked: AtomicU64,
    /// Set in the file's drop, and dropped after `file` (OS-5).
    closing: Option<Uncancelled>,
}

impl Drop for OsFile {
    fn drop(&mut self) {
        self.closing = Some(Uncancelled::begin());
    }
}

/// Opens `path` with `options` and ensures OS-1.
fn open(action: &str, path: &Path, options: &mut fs::OpenOptions) -> Result<Arc<dyn File>> {
    // O_NONBLOCK has no effect on a regular file, and keeps the open of a pipe from waiting for its other end.
    let file = descriptors::open(path, options.custom_flags(libc::O_NONBLOCK))
        .map_err(|source| Error::io(action, path, source))?;
    let metadata = file
        .metadata()
        .map_err(|source| Error::io("stat", path, source))?;
    if !metadata.is_file() {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
        return Err(Error::io(action, path, source));
    }
    Ok(Arc::new(OsFile {
        file,
        path: path.to_path_buf(),
        largest: AtomicU64::new(unix::file_size_limit()),
        unlooked: AtomicU64::new(0),
        closing: None,
    }))
}

impl File for OsFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let _uncancelled = Uncancelled::begin();
        let mut filled = 0;
        while filled < buffer.len() {
            let read = retry(|| {
                self.file
                    .read_at(&mut buffer[filled..], offset + filled as u64)
            })
            .map_err(|source| Error::io("read", &self.path, source))?;
            if read == 0 {
                break;
            }
            filled += read;
        }
        Ok(filled)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check_write(offset, bytes.len() as u64)
            .and_then(|()| self.file.write_all_at(bytes, offset))
            .map_err(|source| Error::io("write", &self.path, source))
    }

    fn sync(&self) -> Result<()> {
        self.unlooked.store(LOOK_BYTES, Ordering::Relaxed);
        self.file
            .sync_data()
            .map_err(|source| Error::io("sync", &self.path, source))
    }

    fn start_writeback(&self, offset: u64, length: u64) {
        unix::start_writeback(&self.file, offset, length);
    }

    fn len(&self) -> Result<u64> {
        let metadata = self.file.metadata();
        metadata
            .map(|metadata| metadata.len())
            .map_err(|source| Error::io("stat", &self.path, source))
    }

    fn set_len(&self, length: u64) -> Result<()> {
        let failed = |source| Error::io("change the length of", &self.path, source);
        if self.check_length(length).is_err() && self.len()? < length {
            return Err(failed(too_large()));
        }
        retry(|| self.file.set_len(length)).map_err(failed)
    }

    fn allocate(&self, length: u64) -> Result<()> {
        let allocated = self
            .check_length(length)
            .and_then(|()| retry(|| unix::allocate(&self.file, length)));
        match allocated {
            Err(error) if !is_about_the_disk(&error) => self.fill(length),
            outcome => {
                outcome.map_err(|source| Error::io("set space aside in", &self.path, source))
            }
        }
    }
}

/// Whether a refusal of space is due to the disk, and not to the call itself: some file systems lack the call, and
/// sandboxes refuse it with various errors.
fn is_about_the_disk(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG | libc::EIO)
    )
}

/// The error that the system returns, besides a signal, for a write beyond the file size limit.
fn too_large() -> io::Error {
    io::Error::from_raw_os_error(libc::EFBIG)
}

impl OsFile {
    /// Refuses a write that ends beyond the limit of a file's size (OS-4). The limit may have changed since the last
    /// check.
    #[inline]
    fn check_write(&self, offset: u64, length: u64) -> io::Result<()> {
        let end = offset.saturating_add(length);
        // Two threads may both add to the same count, so a check may come one small write too late.
        let unlooked = self.unlooked.load(Ordering::Relaxed).saturating_add(length);
        if unlooked >= LOOK_BYTES || end > self.largest.load(Ordering::Relaxed) {
            return self.check_length(end);
        }
        self.unlooked.store(unlooked, Ordering::Relaxed);
        Ok(())
    }

    /// Refuses a file of `length` bytes if it is beyond the present limit.
    fn check_length(&self, length: u64) -> io::Result<()> {
        let limit = unix::file_size_limit();
        self.largest.store(limit, Ordering::Relaxed);
        self.unlooked.store(0, Ordering::Relaxed);
        match length <= limit {
            true => Ok(()),
            false => Err(too_large()),
        }
    }

    /// Writes zeros up to `length`, to set space aside if the file system has no call for that.
    fn fill(&self, length: u64) -> Result<()> {
        let mut end = self.len()?;
        while end < length {
            let piece = (length - end).min(ZEROS.len() as u64);
            self.write_at(end, &ZEROS[..piece as usize])?;
            end += piece;
        }
        debug_assert!(
            self.len().map_or(true, |filled| filled >= length),
            "the space is set aside up to the length"
        );
        Ok(())
    }
}

/// Whether a sandbox or an old system refuses the call itself.
fn is_refused(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOSYS | libc::EPERM | libc::EACCES)
    )
}

/// 64 random bits from the system's generator, if there is no call for it.
fn random_from_device() -> io::Result<u64> {
    let device = Path::new("/dev/urandom");
    let mut bytes = [0; 8];
    descriptors::open(device, fs::OpenOptions::new().read(true))?.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// The directory that holds `path`, also for a bare name.
fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

/// Frees the space of a removed file in pieces. If the file system reports freed space to the drive (ext4 with
/// `discard`), every sync waits until the piece is freed; for a whole table that would take a tenth of a second. A
/// file that has another name, in a checkpoint, keeps its space.
fn release(file: &fs::File) {
    let Ok(metadata) = file.metadata() else {
        return;
    };
    if !metadata.is_file() || metadata.nlink() > 0 {
        return;
    }
    let mut length = metadata.len();
    while length > RELEASED_BYTES {
        let before = length;
        length = (length - 1) / RELEASED_BYTES * RELEASED_BYTES;
        debug_assert!(
            length < before && before - length <= RELEASED_BYTES,
            "each piece is freed, and none is too large"
        );
        if file.set_len(length).is_err() {
            return;
        }
    }
}

impl Env for OsEnv {
    fn open_read(&self, path: &Path) -> Result<Arc<dyn File>> {
        open("open for reading", path, fs::OpenOptions::new().read(true))
    }

    fn open_write(&self, path: &Path) -> Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        open("open for writing", path, options.read(true).write(true))
    }

    fn create_new(&self, path: &Path) -> Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        let options = options.read(true).write(true).create_new(true);
        open("create", path, options)
    }

    fn open_info_log(&self, path: &Path) -> Result<Box<dyn InfoLogFile>> {
        Ok(Box::new(OsLog::open(path)?))
    }

    fn kind(&self, path: &Path) -> Result<PathKind> {
        match retry(|| fs::metadata(path)) {
            Ok(metadata) if metadata.is_file() => Ok(PathKind::File(metadata.len())),
            Ok(metadata) if metadata.is_dir() => Ok(PathKind::Directory),
            Ok(_) => Ok(PathKind::Other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(PathKind::Missing),
            Err(error) => Err(Error::io("stat", path, error)),
        }
    }

    fn link_target(&self, path: &Path) -> Option<PathBuf> {
        retry(|| fs::read_link(path)).ok()
    }

    fn identity(&self, path: &Path) -> Option<FileIdentity> {
        let metadata = retry(|| fs::metadata(path)).ok()?;
        Some((metadata.dev(), metadata.ino()))
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        let failed = |source| Error::io("list", dir, source);
        let mut names = Vec::new();
        for entry in descriptors::read_dir(dir).map_err(failed)? {
            // A name that is not UTF-8 is not AiDb's. Its replacement is not either, so it stays unknown.
            let name = entry.map_err(failed)?.file_name();
            names.push(name.to_string_lossy().into_owned());
        }
        Ok(names)
    }

    fn create_dir_all(&self, dir: &Path) -> Result<()> {
        let mut missing = Vec::new();
        let mut at = dir;
        while self.kind(at)? == PathKind::Missing {
            missing.push(at);
            let parent = parent_of(at);
            if parent == at {
                break;
            }
            at = parent;
        }
        match descriptors::open_dir(parent_of(at)) {
            // The parent may not be read, as above some users' homes. Then this process cannot have made `at`.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            _ => self.sync_dir(parent_of(at))?,
        }
        for path in missing.into_iter().rev() {
            match retry(|| fs::create_dir(path)) {
                Ok(()) => {}
                // Another process has just made it. Its entry must be durable all the same (OS-3).
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io("create directory", path, error)),
            }
            self.sync_dir(parent_of(path))?;
        }
        match self.kind(dir)? {
            PathKind::Directory => Ok(()),
            _ => {
                let source = io::Error::from_raw_os_error(libc::ENOTDIR);
                Err(Error::io("create directory", dir, source))
            }
        }
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        // If it cannot be opened, for example because no descriptor is free, its space is freed at once.
        let mut options = fs::OpenOptions::new();
        options
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW);
        let file = descriptors::open(path, &options);
        retry(|| fs::remove_file(path)).map_err(|source| Error::io("remove", path, source))?;
        if let Ok(file) = file {
            release(&file);
        }
        Ok(())
    }

    fn remove_dir(&self, dir: &Path) -> Result<()> {
        retry(|| fs::remove_dir(dir)).map_err(|source| Error::io("remove directory", dir, source))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        retry(|| fs::rename(from, to)).map_err(|source| {
            let action = format!("rename to {}:", to.display());
            Error::io(&action, from, source)
        })
    }

    fn hard_link(&self, from: &Path, to: &Path) -> Result<()> {
        retry(|| fs::hard_link(from, to)).map_err(|source| {
            let action = format!("link as {}:", to.display());
            Error::io(&action, from, source)
        })
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        let failed = |source| Error::io("sync directory", dir, source);
        let handle = descriptors::open_dir(dir).map_err(failed)?;
        match handle.sync_all() {
            // Some network file systems have no sync of a directory, because each change of it is durable.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
            other => other.map_err(failed),
        }
    }

    fn free_space(&self, dir: &Path) -> Result<u64> {
        retry(|| unix::free_space(dir))
            .map_err(|source| Error::io("ask for the free space of", dir, source))
    }

    fn canonical(&self, path: &Path) -> Result<PathBuf> {
        match retry(|| fs::canonicalize(path)) {
            // In a sandbox without readlink the links stay in the path, which will do for opening it and for
            // messages.
            Err(error) if is_refused(&error) => std::path::absolute(path),
            outcome => outcome,
        }
        .map_err(|source| Error::io("resolve", path, source))
    }

    fn lock(&self, dir: &Path, exclusive: bool, timeout: Duration) -> Result<Box<dyn DirLock>> {
        os_lock::lock(dir, exclusive, timeout)
    }

    fn now_micros(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }

    fn wall_micros(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| since.as_micros() as u64)
    }

    fn random(&self) -> Result<u64> {
        let random = match unix::random() {
            Err(error) if is_refused(&error) => random_from_device(),
            outcome => outcome,
        };
        random.map_err(|source| {
            Error::io(
                "read random bytes from",
                Path::new("the operating system"),
                source,
            )
        })
    }

    fn open_file_limit(&self) -> u64 {
        unix::open_file_limit()
    }

    fn largest_file(&self) -> u64 {
        unix::file_size_limit()
    }

    fn spawn(&self, name: ThreadName, work: Box<dyn FnOnce() + Send>) -> Result<Box<dyn Thread>> {
        spawn(name, work)
    }
}

/// A thread. In a forked child the handle must be neither joined nor dropped: the C library may have given the
/// thread's place to one of the child's own threads, and would act on that one.
struct OsThread {
    /// `None` once joined.
    handle: Option<thread::JoinHandle<()>>,
    /// `fork_count` of the process that it runs in.
    forks: u32,
}

impl OsThread {
    fn is_ours(&self) -> bool {
        unix::fork_count() == self.forks
    }
}

impl Thread for OsThread {
    fn join(mut self: Box<Self>) {
        if self.is_ours()
            && let Some(handle) = self.handle.take()
        {
            // The panic hook has reported a panic of the thread, and the code that gave it work handles the state.
            let _ = handle.join();
        }
    }
}

impl Drop for OsThread {
    fn drop(&mut self) {
        if !self.is_ours() {
            mem::forget(self.handle.take());
        }
    }
}

/// Starts an ordinary thread. Shared with the other environments.
pub(super) fn spawn(name: ThreadName, work: Box<dyn FnOnce() + Send>) -> Result<Box<dyn Thread>> {
    #[cfg(test)]
    let work = super::test_passes::inherited(work);
    let builder = thread::Builder::new().name(name.to_owned());
    let work = move || {
        let _uncancelled = Uncancelled::begin();
        work();
    };
    match builder.spawn(work) {
        Ok(handle) => Ok(Box::new(OsThread {
            handle: Some(handle),
            forks: unix::fork_count(),
        })),
        Err(source) => Err(Error::io("start the thread", Path::new(name), source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::test_dir::TestDir;

    #[test]
    fn a_file_reads_back_what_was_written_and_stops_at_its_end() {
        let (dir, env) = (TestDir::new(), OsEnv::new());
        let path = dir.path().join("f");
        let file = env.create_new(&path).unwrap();
        file.write_at(3, b"hello").unwrap();
        file.start_writeback(0, 8);
        file.sync().unwrap();
        let mut buffer = [9; 16];
        assert_eq!(file.read_at(0, &mut buffer).unwrap(), 8);
        assert_eq!(&buffer[..8], b"\0\0\0hello");
        assert_eq!(file.read_at(100, &mut buffer).unwrap(), 0);
        file.set_len(4).unwrap();
        assert_eq!(env.kind(&path).unwrap(), PathKind::File(4));
        assert_eq!(file.len().unwrap(), 4);
        assert!(env.create_new(&path).is_err());
        env.hard_link(&path, &dir.path().join("g")).unwrap();
        env.rename(&path, &dir.path().join("h")).unwrap();
        env.sync_dir(dir.path()).unwrap();
        let mut names = env.list(dir.path()).unwrap();
        names.sort();
        assert_eq!(names, ["g", "h"]);
        assert_eq!(env.kind(&path).unwrap(), PathKind::Missing);
    }

    #[test]
    fn a_removed_file_gives_its_space_back_in_pieces_unless_it_has_another_name() {
        let dir = TestDir::new();
        let env = OsEnv::new();
        let large = 3 * RELEASED_BYTES + 1;
        let create = |name: &str| {
            let path = dir.path().join(name);
            let file = fs::File::create(&path).unwrap();
            file.set_len(large).unwrap();
            (path, file)
        };
        let length = |file: &fs::File| file.metadata().unwrap().len();

        let (path, file) = create("one name");
        env.remove_file(&path).unwrap();
        assert_eq!(env.kind(&path).unwrap(), PathKind::Missing);
        assert_eq!(length(&file), RELEASED_BYTES);

        let (path, file) = create("two names");
        fs::hard_link(&path, dir.path().join("other name")).unwrap();
        env.remove_file(&path).unwrap();
        assert_eq!(length(&file), large);

        let (path, file) = create("behind a link");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        env.remove_file(&link).unwrap();
        assert_eq!(env.kind(&link).unwrap(), PathKind::Missing);
        assert_eq!(length(&file), large);
    }

    /// OS-1.
    #[test]
    fn a_pipe_and_a_directory_are_not_opened_as_files() {
        let (dir, env) = (TestDir::new(), OsEnv::new());
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        if made.is_ok_and(|status| status.success()) {
            assert_eq!(env.kind(&pipe).unwrap(), PathKind::Other);
            assert!(env.open_read(&pipe).is_err());
            assert!(env.open_write(&pipe).is_err());
        }
        assert!(env.open_read(dir.path()).is_err());
        assert!(env.open_write(dir.path()).is_err());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_file_system_that_reports_no_blocks_is_not_a_full_one() {
        let env = OsEnv::new();
        assert_eq!(env.free_space(Path::new("/proc")).unwrap(), u64::MAX);
        assert_ne!(env.free_space(Path::new("/")).unwrap(), u64::MAX);
    }

    /// OS-4.
    #[test]
    fn a_file_is_refused_what_is_beyond_its_limit_and_taken_once_that_is_raised() {
        let (dir, env) = (TestDir::new(), OsEnv::new());
        let file = OsFile {
            file: fs::File::create_new(dir.path().join("f")).unwrap(),
            path: dir.path().join("f"),
            largest: AtomicU64::new(3),
            unlooked: AtomicU64::new(0),
            closing: None,
        };
        // The process has no limit. That is checked again before a write is refused.
        file.write_at(0, b"four").unwrap();
        assert_eq!(file.largest.load(Ordering::Relaxed), env.largest_file());
        // Up to a page of writes rely on the last check.
        let unlooked = || file.unlooked.load(Ordering::Relaxed);
        for (length, left) in [
            (LOOK_BYTES - 2, LOOK_BYTES - 2),
            (1, LOOK_BYTES - 1),
            (1, 0),
            (1, 1),
        ] {
            file.write_at(0, &vec![1; length as usize]).unwrap();
            assert_eq!(unlooked(), left);
        }
        for (length, left) in [
            (LOOK_BYTES - 2, LOOK_BYTES - 1),
            (2, 0),
            (LOOK_BYTES, 0),
            (LOOK_BYTES + 1, 0),
        ] {
            file.write_at(0, &vec![1; length as usize]).unwrap();
            assert_eq!(unlooked(), left);
        }
        assert_eq!(too_large().raw_os_error(), Some(libc::EFBIG));
        for (code, is_about) in [
            (libc::ENOSPC, true),
            (libc::EDQUOT, true),
            (libc::EFBIG, true),
            (libc::EIO, true),
            (libc::EPERM, false),
            (libc::ENOSYS, false),
            (libc::EOPNOTSUPP, false),
        ] {
            let error = io::Error::from_raw_os_error(code);
            assert_eq!(is_about_the_disk(&error), is_about, "{error}");
        }
        assert_ne!(random_from_device().unwrap(), random_from_device().unwrap());
    }

    #[test]
    fn directories_are_created_with_their_parents() {
        let (dir, env) = (TestDir::new(), OsEnv::new());
        let deep = dir.path().join("a/b/c");
        env.create_dir_all(&deep).unwrap();
        env.create_dir_all(&deep).unwrap();
        assert_eq!(env.kind(&deep).unwrap(), PathKind::Directory);
        env.create_new(&dir.path().join("file")).unwrap();
        assert!(env.create_dir_all(&dir.path().join("file")).is_err());
        assert!(env.create_dir_all(&dir.path().join("file/below")).is_err());
    }

    #[test]
    fn random_bits_differ_and_limits_are_sane() {
        let env = OsEnv::new();
        assert_ne!(env.random().unwrap(), env.random().unwrap());
        assert!(env.open_file_limit() >= 16);
        assert!(env.now_micros() <= env.now_micros());
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = env.spawn("aidb-test", Box::new(move || sender.send(7).unwrap()));
        thread.unwrap().join();
        assert_eq!(receiver.recv(), Ok(7));
    }
}

#[cfg(test)]
mod edges;
