//! Files in memory, for fast tests, with a model of a power loss.
//!
//! Every file and directory exists twice: as running programs see it, and as it is on the disk. A change
//! reaches the first at once and waits in a list until a sync moves it to the second. [`MemEnv::power_cut`]
//! (`mem/cut.rs`) starts from the disk's state, lets a seed decide which waiting changes arrive, and returns a
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
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

mod cut;
mod history;

use super::{DirLock, EngineOnly, Env, File, PathKind, Thread, ThreadName, os, os_lock};
use crate::error::{Error, Result};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Condvar, Mutex, RwLock};

pub use cut::{Effect, PowerCut, PowerLoss};

use history::{Change, History};

/// Files take space in blocks of this many bytes.
const BLOCK_BYTES: u64 = 4096;
/// The quota if [`MemEnv::set_quota`] was not called.
const NO_QUOTA: u64 = u64::MAX;
/// The clock if [`MemEnv::hold_clock`] was not called.
const CLOCK_RUNS: u64 = u64::MAX;

/// An environment in memory. Clones share everything, so a test can close a database and open it again.
#[derive(Clone)]
pub struct MemEnv {
    shared: Arc<Disk>,
}

struct Disk {
    /// Every change locks this for reading, a power cut for writing (MEM-3). Taken before all other locks here.
    still: RwLock<()>,
    directories: Mutex<BTreeMap<PathBuf, Directory>>,
    locks: Mutex<BTreeMap<PathBuf, Held>>,
    lock_released: Condvar,
    started: Instant,
    held_clock: AtomicU64,
    random: AtomicU64,
    quota: AtomicU64,
}

/// Each with the second of the wall clock at which the lock was taken; for shared locks, the first of them.
#[derive(Clone, Copy)]
enum Held {
    Exclusive(u64),
    /// How many shared locks, at least one.
    Shared(usize, u64),
}

type Names = BTreeMap<String, Arc<MemFile>>;

#[derive(Clone, Default)]
struct Directory {
    names: Names,
    disk: History<NameChange>,
    /// Whether its own entry in its parent is not durable.
    is_unsynced: bool,
    /// Its place before a rename that is not yet durable.
    old_path: Option<PathBuf>,
}

#[derive(Clone)]
enum NameChange {
    Added(String, Arc<MemFile>),
    Removed(String),
    Renamed(String, String, Arc<MemFile>),
}

impl Change for NameChange {
    type Whole = Names;

    fn apply(&self, names: &mut Names) {
        match self {
            NameChange::Added(name, file) => {
                names.insert(name.clone(), file.clone());
            }
            NameChange::Removed(name) => {
                names.remove(name);
            }
            NameChange::Renamed(from, to, file) => {
                // If the cut dropped the creation of `from`, or kept a later file there, only `to` changes.
                if names.get(from).is_some_and(|old| Arc::ptr_eq(old, file)) {
                    names.remove(from);
                }
                names.insert(to.clone(), file.clone());
            }
        }
    }
}

impl Directory {
    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.disk.push(change);
    }

    /// Notes that its parent was synced.
    fn settle(&mut self) {
        self.is_unsynced = false;
        self.old_path = None;
    }
}

#[derive(Default)]
struct MemFile {
    content: RwLock<FileContent>,
}

/// Copied on a change, if the environment of a power cut shares it.
#[derive(Clone, Default)]
struct FileContent {
    bytes: Arc<Vec<u8>>,
    disk: History<ByteChange>,
}

#[derive(Clone)]
enum ByteChange {
    Written(u64, Arc<[u8]>),
    Length(u64),
}

impl Change for ByteChange {
    type Whole = Vec<u8>;

    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            ByteChange::Written(offset, written) => write(bytes, *offset as usize, written),
            ByteChange::Length(length) => bytes.resize(*length as usize, 0),
        }
    }
}

fn blocks(length: u64) -> u64 {
    length.div_ceil(BLOCK_BYTES).saturating_mul(BLOCK_BYTES)
}

fn write(bytes: &mut Vec<u8>, offset: usize, written: &[u8]) {
    // An appended piece is copied once, not zeroed first.
    if bytes.len() == offset {
        bytes.extend_from_slice(written);
        return;
    }
    let end = offset + written.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(written);
}

/// A small generator for decisions that a seed must repeat: Steele, Lea & Flood's SplitMix64 (2014).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number in `[0, end)`; `end` must be at least 1.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

impl MemEnv {
    /// An empty environment: one directory, `/`.
    pub fn new() -> MemEnv {
        MemEnv::with(BTreeMap::from([(PathBuf::from("/"), Directory::default())]))
    }

    fn with(directories: BTreeMap<PathBuf, Directory>) -> MemEnv {
        MemEnv {
            shared: Arc::new(Disk {
                still: RwLock::new(()),
                directories: Mutex::new(directories),
                locks: Mutex::default(),
                lock_released: Condvar::new(),
                started: Instant::now(),
                held_clock: AtomicU64::new(CLOCK_RUNS),
                random: AtomicU64::new(0x5eed),
                quota: AtomicU64::new(NO_QUOTA),
            }),
        }
    }

    /// Lets the files hold at most `bytes`, in blocks of 4096: writes that need more get `NoSpace`. `None` lifts it.
    pub fn set_quota(&self, bytes: Option<u64>) {
        let value = bytes.unwrap_or(NO_QUOTA);
        self.shared.quota.store(value, Ordering::SeqCst);
    }

    /// Bytes that the files take, in blocks of 4096.
    pub fn used_bytes(&self) -> u64 {
        let directories = self.shared.directories.lock();
        let files: BTreeMap<*const MemFile, &Arc<MemFile>> = directories
            .values()
            .flat_map(|directory| directory.names.values())
            .map(|file| (Arc::as_ptr(file), file))
            .collect();
        files
            .values()
            .map(|file| blocks(file.content.read().bytes.len() as u64))
            .sum()
    }

    /// How many bytes the quota lets a file have whose length is now `length`.
    fn room_for(&self, length: u64) -> u64 {
        match self.shared.quota.load(Ordering::SeqCst) {
            NO_QUOTA => u64::MAX,
            quota => {
                let free = quota.saturating_sub(self.used_bytes()) / BLOCK_BYTES * BLOCK_BYTES;
                blocks(length) + free
            }
        }
    }

    /// Makes the directory `dir` like a process that is killed before it syncs the parent: a power cut may remove it,
    /// with everything in it, until [`Env::create_dir_all`] or a sync of the parent.
    pub fn leave_unsynced(&self, dir: &Path) -> Result<()> {
        self.create_dir_all(dir)?;
        let mut directories = self.shared.directories.lock();
        if let Some(directory) = directories.get_mut(&normal(dir)) {
            directory.is_unsynced = true;
        }
        Ok(())
    }

    /// Stops both clocks at `micros`; call it again to move them. `None` lets them run again.
    pub fn hold_clock(&self, micros: Option<u64>) {
        let value = micros.unwrap_or(CLOCK_RUNS);
        self.shared.held_clock.store(value, Ordering::SeqCst);
    }

    fn held_clock(&self) -> Option<u64> {
        let value = self.shared.held_clock.load(Ordering::SeqCst);
        (value != CLOCK_RUNS).then_some(value)
    }

    /// Runs `work` on the directory that holds `path`, and the name of `path` in it.
    fn in_parent<T>(
        &self,
        action: &str,
        path: &Path,
        work: impl FnOnce(&mut Directory, String) -> std::result::Result<T, i32>,
    ) -> Result<T> {
        let _moving = self.shared.still.read();
        let mut directories = self.shared.directories.lock();
        let path = normal(path);
        let failed = |code| Error::io(action, &path, io::Error::from_raw_os_error(code));
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(failed(libc::EISDIR));
        };
        if directories.contains_key(&path) {
            return Err(failed(libc::EISDIR));
        }
        let name = name.to_string_lossy().into_owned();
        match directories.get_mut(parent) {
            Some(directory) => work(directory, name).map_err(failed),
            None => Err(failed(libc::ENOENT)),
        }
    }

    /// Renames a directory with its contents; `to` must be missing, or an empty directory.
    fn rename_dir(&self, from: &Path, to: &Path) -> Result<()> {
        let _moving = self.shared.still.read();
        let mut directories = self.shared.directories.lock();
        let is_used = directories.iter().any(|(path, directory)| {
            path.parent() == Some(to) || path == to && !directory.names.is_empty()
        });
        let parent = to.parent().and_then(|parent| directories.get(parent));
        let name = to.file_name().unwrap_or_default().to_string_lossy();
        let is_file = parent.is_some_and(|parent| parent.names.contains_key(&*name));
        if is_used || is_file {
            let code = if is_file {
                libc::ENOTDIR
            } else {
                libc::ENOTEMPTY
            };
            return Err(Error::io(
                "rename",
                from,
                io::Error::from_raw_os_error(code),
            ));
        }
        let below: Vec<PathBuf> = directories
            .keys()
            .filter(|path| path.starts_with(from))
            .cloned()
            .collect();
        for old in below {
            let Some(mut directory) = directories.remove(&old) else {
                continue;
            };
            let new = match old.strip_prefix(from) {
                Ok(rest) if rest.as_os_str().is_empty() => {
                    directory.old_path.get_or_insert(old);
                    to.to_path_buf()
                }
                Ok(rest) => to.join(rest),
                Err(_) => old,
            };
            directories.insert(new, directory);
        }
        Ok(())
    }

    fn open(&self, action: &str, path: &Path) -> Result<Arc<dyn File>> {
        let file = self.in_parent(action, path, |directory, name| {
            directory.names.get(&name).cloned().ok_or(libc::ENOENT)
        })?;
        Ok(self.handle(file, path))
    }

    fn handle(&self, file: Arc<MemFile>, path: &Path) -> Arc<dyn File> {
        Arc::new(Handle {
            env: self.clone(),
            file,
            path: normal(path),
        })
    }
}

impl Default for MemEnv {
    fn default() -> MemEnv {
        MemEnv::new()
    }
}

/// `path` from the root, without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => normal.push(name),
            Component::ParentDir => {
                normal.pop();
            }
            _ => {}
        }
    }
    normal
}

struct Handle {
    env: MemEnv,
    file: Arc<MemFile>,
    path: PathBuf,
}

impl Handle {
    /// Makes the file at least `end` bytes long, as far as quota and memory allow, and changes it.
    fn change(&self, action: &str, end: u64, change: ByteChange) -> Result<()> {
        let full = || {
            Error::io(
                action,
                &self.path,
                io::Error::from_raw_os_error(libc::ENOSPC),
            )
        };
        let _moving = self.env.shared.still.read();
        let length = self.file.content.read().bytes.len() as u64;
        let room = match end > length {
            true => self.env.room_for(length),
            false => u64::MAX,
        };
        let mut content = self.file.content.write();
        let added = end.min(room).saturating_sub(content.bytes.len() as u64);
        let reserved = usize::try_from(added)
            .is_ok_and(|added| Arc::make_mut(&mut content.bytes).try_reserve(added).is_ok());
        if !reserved {
            return Err(full());
        }
        // Like a system call, a write on a full disk leaves what fits.
        let fitting = match change {
            ByteChange::Written(offset, bytes) if end > room => {
                let fits = room.saturating_sub(offset).min(bytes.len() as u64) as usize;
                ByteChange::Written(offset, bytes[..fits].into())
            }
            ByteChange::Length(_) if end > room => return Err(full()),
            fitting => fitting,
        };
        if !matches!(&fitting, ByteChange::Written(_, bytes) if bytes.is_empty()) {
            fitting.apply(Arc::make_mut(&mut content.bytes));
            content.disk.push(fitting);
        }
        if end > room { Err(full()) } else { Ok(()) }
    }
}

impl File for Handle {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let content = self.file.content.read();
        let start = offset.min(content.bytes.len() as u64) as usize;
        let length = buffer.len().min(content.bytes.len() - start);
        buffer[..length].copy_from_slice(&content.bytes[start..start + length]);
        Ok(length)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let end = offset.saturating_add(bytes.len() as u64);
        let change = ByteChange::Written(offset, bytes.into());
        self.change("write", end, change)
    }

    fn sync(&self) -> Result<()> {
        let _moving = self.env.shared.still.read();
        self.file.content.write().disk.sync();
        Ok(())
    }

    fn forget_unsynced(&self, _: EngineOnly) {
        let _moving = self.env.shared.still.read();
        self.file.content.write().disk.fail_sync();
    }

    fn len(&self) -> Result<u64> {
        Ok(self.file.content.read().bytes.len() as u64)
    }

    fn set_len(&self, length: u64) -> Result<()> {
        self.change("change the length of", length, ByteChange::Length(length))
    }

    fn allocate(&self, length: u64) -> Result<()> {
        // Every byte of a file takes space here.
        match self.len()? < length {
            true => self.change("set space aside in", length, ByteChange::Length(length)),
            false => Ok(()),
        }
    }
}

impl Env for MemEnv {
    fn open_read(&self, path: &Path) -> Result<Arc<dyn File>> {
        self.open("open for reading", path)
    }

    fn open_write(&self, path: &Path) -> Result<Arc<dyn File>> {
        self.open("open for writing", path)
    }

    fn create_new(&self, path: &Path) -> Result<Arc<dyn File>> {
        let file = self.in_parent("create", path, |directory, name| {
            if directory.names.contains_key(&name) {
                return Err(libc::EEXIST);
            }
            let file = Arc::new(MemFile::default());
            directory.change(NameChange::Added(name, file.clone()));
            Ok(file)
        })?;
        Ok(self.handle(file, path))
    }

    fn kind(&self, path: &Path) -> Result<PathKind> {
        let path = normal(path);
        let directories = self.shared.directories.lock();
        if directories.contains_key(&path) {
            return Ok(PathKind::Directory);
        }
        let parent = path.parent().and_then(|parent| directories.get(parent));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match parent.and_then(|parent| parent.names.get(&*name)) {
            Some(file) => Ok(PathKind::File(file.content.read().bytes.len() as u64)),
            None => Ok(PathKind::Missing),
        }
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        let dir = normal(dir);
        let directories = self.shared.directories.lock();
        let Some(directory) = directories.get(&dir) else {
            let source = io::Error::from_raw_os_error(libc::ENOENT);
            return Err(Error::io("list", &dir, source));
        };
        let below = directories
            .keys()
            .filter(|path| path.parent() == Some(&dir))
            .filter_map(|path| path.file_name())
            .map(|name| name.to_string_lossy().into_owned());
        Ok(directory.names.keys().cloned().chain(below).collect())
    }

    fn create_dir_all(&self, dir: &Path) -> Result<()> {
        let _moving = self.shared.still.read();
        let dir = normal(dir);
        let mut directories = self.shared.directories.lock();
        let mut path = PathBuf::new();
        for component in dir.components() {
            let name = component.as_os_str().to_string_lossy();
            let parent = directories.get(&path);
            if parent.is_some_and(|parent| parent.names.contains_key(&*name)) {
                let source = io::Error::from_raw_os_error(libc::ENOTDIR);
                return Err(Error::io("create directory", &dir, source));
            }
            path.push(component);
            directories.entry(path.clone()).or_default().settle();
        }
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        self.in_parent("remove", path, |directory, name| {
            if !directory.names.contains_key(&name) {
                return Err(libc::ENOENT);
            }
            directory.change(NameChange::Removed(name));
            Ok(())
        })
    }

    fn remove_dir(&self, dir: &Path) -> Result<()> {
        let _moving = self.shared.still.read();
        let dir = normal(dir);
        let mut directories = self.shared.directories.lock();
        let has_directories = directories.keys().any(|path| path.parent() == Some(&dir));
        let code = match directories.get(&dir) {
            None => libc::ENOENT,
            Some(found) if has_directories || !found.names.is_empty() => libc::ENOTEMPTY,
            Some(_) => {
                directories.remove(&dir);
                return Ok(());
            }
        };
        let source = io::Error::from_raw_os_error(code);
        Err(Error::io("remove directory", &dir, source))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let (from, to) = (normal(from), normal(to));
        if from == to || from.parent() != to.parent() {
            // A rename across directories would be two changes that must survive together; AiDb makes none.
            let source = io::Error::from_raw_os_error(libc::EXDEV);
            return Err(Error::io("rename", &from, source));
        }
        if self.kind(&from)? == PathKind::Directory {
            return self.rename_dir(&from, &to);
        }
        let target = to.file_name().unwrap_or_default().to_string_lossy();
        self.in_parent("rename", &from, |directory, name| {
            let file = directory.names.get(&name).cloned().ok_or(libc::ENOENT)?;
            directory.change(NameChange::Renamed(name, target.into_owned(), file));
            Ok(())
        })
    }

    fn hard_link(&self, from: &Path, to: &Path) -> Result<()> {
        let file = self.in_parent("link", from, |directory, name| {
            directory.names.get(&name).cloned().ok_or(libc::ENOENT)
        })?;
        self.in_parent("link", to, |directory, name| {
            if directory.names.contains_key(&name) {
                return Err(libc::EEXIST);
            }
            directory.change(NameChange::Added(name, file));
            Ok(())
        })
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        let _moving = self.shared.still.read();
        let dir = normal(dir);
        let mut directories = self.shared.directories.lock();
        for (path, below) in directories.iter_mut() {
            if path.parent() == Some(&dir) {
                below.settle();
            }
        }
        match directories.get_mut(&dir) {
            Some(directory) => {
                directory.disk.sync();
                Ok(())
            }
            None => {
                let source = io::Error::from_raw_os_error(libc::ENOENT);
                Err(Error::io("sync directory", &dir, source))
            }
        }
    }

    fn forget_unsynced(&self, dir: &Path, _: EngineOnly) {
        let _moving = self.shared.still.read();
        let mut directories = self.shared.directories.lock();
        if let Some(directory) = directories.get_mut(&normal(dir)) {
            directory.disk.fail_sync();
        }
    }

    fn free_space(&self, _dir: &Path) -> Result<u64> {
        Ok(self.room_for(0))
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
        let deadline = Instant::now().checked_add(timeout);
        let mut locks = self.shared.locks.lock();
        loop {
            let since = || Duration::from_micros(self.wall_micros()).as_secs();
            let now = match (locks.get(&dir).copied(), exclusive) {
                (None, true) => Ok(Held::Exclusive(since())),
                (None, false) => Ok(Held::Shared(1, since())),
                (Some(Held::Shared(count, since)), false) => Ok(Held::Shared(count + 1, since)),
                (Some(Held::Shared(_, since)), true) => Err((" for reading", since)),
                (Some(Held::Exclusive(since)), _) => Err(("", since)),
            };
            let (purpose, since) = match now {
                Ok(now) => {
                    locks.insert(dir.clone(), now);
                    let shared = self.shared.clone();
                    return Ok(Box::new(MemLock { shared, dir }));
                }
                Err(refusal) => refusal,
            };
            let timed_out = match deadline {
                Some(deadline) => self
                    .shared
                    .lock_released
                    .wait_until(&mut locks, deadline)
                    .timed_out(),
                None => {
                    self.shared.lock_released.wait(&mut locks);
                    false
                }
            };
            if timed_out {
                let holder = os_lock::this_process(since);
                let message = format!(
                    "{}: this process already has it open{purpose}, in memory ({holder})",
                    dir.display()
                );
                return Err(Error::locked(message, Some(holder)));
            }
        }
    }

    fn now_micros(&self) -> u64 {
        self.held_clock()
            .unwrap_or_else(|| self.shared.started.elapsed().as_micros() as u64)
    }

    fn wall_micros(&self) -> u64 {
        self.held_clock().unwrap_or_else(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            since.map_or(0, |since| since.as_micros() as u64)
        })
    }

    fn random(&self) -> Result<u64> {
        let seed = self.shared.random.fetch_add(1, Ordering::Relaxed);
        Ok(Dice::new(seed).next())
    }

    fn open_file_limit(&self) -> u64 {
        1024
    }

    fn spawn(&self, name: ThreadName, work: Box<dyn FnOnce() + Send>) -> Result<Box<dyn Thread>> {
        os::spawn(name, work)
    }
}

struct MemLock {
    shared: Arc<Disk>,
    dir: PathBuf,
}

impl DirLock for MemLock {
    fn is_held(&self) -> bool {
        true
    }
}

impl Drop for MemLock {
    fn drop(&mut self) {
        let mut locks = self.shared.locks.lock();
        match locks.get_mut(&self.dir) {
            Some(Held::Shared(count, _)) if *count > 1 => *count -= 1,
            _ => {
                locks.remove(&self.dir);
            }
        }
        drop(locks);
        self.shared.lock_released.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use std::collections::BTreeSet;

    fn read(env: &MemEnv, path: &str) -> Option<Vec<u8>> {
        let PathKind::File(length) = env.kind(Path::new(path)).unwrap() else {
            return None;
        };
        let mut bytes = vec![0; length as usize];
        let file = env.open_read(Path::new(path)).unwrap();
        assert_eq!(file.read_at(0, &mut bytes).unwrap(), bytes.len());
        Some(bytes)
    }

    #[test]
    fn files_behave_like_files() {
        let env = MemEnv::new();
        assert!(env.create_new(Path::new("/db/a")).is_err());
        env.create_dir_all(Path::new("/db/sub")).unwrap();
        let file = env.create_new(Path::new("/db/a")).unwrap();
        assert!(env.create_new(Path::new("/db/./a")).is_err());
        file.write_at(2, b"xyz").unwrap();
        file.write_at(0, b"ab").unwrap();
        assert_eq!(read(&env, "/db/a").unwrap(), b"abxyz");
        file.set_len(7).unwrap();
        assert_eq!(file.len().unwrap(), 7);
        assert!(file.set_len(u64::MAX).is_err());
        env.hard_link(Path::new("/db/a"), Path::new("/db/b"))
            .unwrap();
        env.rename(Path::new("/db/a"), Path::new("/db/c")).unwrap();
        assert_eq!(env.list(Path::new("db")).unwrap(), ["b", "c", "sub"]);
        assert!(env.remove_dir(Path::new("/db")).is_err());
        env.remove_file(Path::new("/db/b")).unwrap();
        assert!(env.remove_file(Path::new("/db/b")).is_err());
        env.remove_file(Path::new("/db/c")).unwrap();
        env.remove_dir(Path::new("/db/sub")).unwrap();
        env.remove_dir(Path::new("/db")).unwrap();
        assert_eq!(env.kind(Path::new("/db")).unwrap(), PathKind::Missing);
        assert!(env.open_read(Path::new("/")).is_err());
    }

    /// MEM-1, CUT-1.
    #[test]
    fn what_was_synced_survives_every_power_cut() {
        let env = MemEnv::new();
        let file = env.create_new(Path::new("/a")).unwrap();
        file.write_at(0, &[7; 2000]).unwrap();
        file.sync().unwrap();
        env.sync_dir(Path::new("/")).unwrap();
        file.write_at(2000, &[8; 2000]).unwrap();
        for seed in 0..200 {
            let bytes = read(&env.power_cut(seed), "/a").expect("the name was synced");
            assert_eq!(bytes[..2000], [7; 2000], "seed {seed}");
        }
        assert_eq!(read(&env, "/a").unwrap().len(), 4000);
    }

    #[test]
    fn random_numbers_behind_cuts_of_one_seed_are_not_drawn_again() {
        let mut env = MemEnv::new();
        let mut drawn = BTreeSet::new();
        for cut in 0..64 {
            for _ in 0..16 {
                assert!(drawn.insert(env.random().unwrap()), "before cut {cut}");
            }
            env = match cut % 4 {
                3 => env.process_crash(),
                _ => env.power_cut(7),
            };
        }
    }

    /// MEM-2.
    #[test]
    fn what_was_not_synced_meets_every_fate() {
        let env = MemEnv::new();
        let file = env.create_new(Path::new("/a")).unwrap();
        env.sync_dir(Path::new("/")).unwrap();
        file.write_at(0, &[1; 1024]).unwrap();
        file.write_at(1024, &[2; 1024]).unwrap();
        let outcomes: BTreeSet<Vec<u8>> = (0..500)
            .map(|seed| {
                let mut bytes = read(&env.power_cut(seed), "/a").unwrap();
                bytes.dedup();
                bytes
            })
            .collect();
        for expected in [&b""[..], &[1], &[1, 2], &[0, 2], &[0], &[0, 1]] {
            assert!(outcomes.contains(expected), "{expected:?}");
        }
    }

    #[test]
    fn each_page_is_written_back_up_to_a_moment_of_its_own() {
        let env = MemEnv::new();
        let path = Path::new("/a");
        let file = env.create_new(path).unwrap();
        env.sync_dir(Path::new("/")).unwrap();
        file.write_at(0, &[1; 3 * 4096]).unwrap();
        file.sync().unwrap();
        for value in [2, 3] {
            file.write_at(1000, &[value; 2 * 4096]).unwrap();
        }
        let mut met = BTreeSet::new();
        let mut effects = BTreeSet::new();
        for seed in 0..200 {
            let cut = PowerCut {
                bytes: Some(PowerLoss::Writeback),
                names: None,
                seed,
            };
            let after = env.power_cut_as(cut, &mut effects);
            let mut bytes = vec![0; 3 * 4096];
            let file = after.open_read(path).unwrap();
            assert_eq!(file.read_at(0, &mut bytes).unwrap(), bytes.len());
            let pages = [1000..4096, 4096..8192, 8192..9192].map(|page| {
                let values: BTreeSet<u8> = bytes[page].iter().copied().collect();
                assert_eq!(values.len(), 1, "a page has the writes up to one moment");
                values.into_iter().next().unwrap()
            });
            assert!(
                bytes[..1000]
                    .iter()
                    .chain(&bytes[9192..])
                    .all(|&byte| byte == 1)
            );
            met.insert(pages);
        }
        assert_eq!(met.len(), 27, "each page has its own moment");
        assert!(effects.contains(&Effect::PagesApart));
    }

    #[test]
    fn names_that_were_not_synced_come_and_go_but_a_rename_is_whole() {
        let env = MemEnv::new();
        env.create_new(Path::new("/old")).unwrap();
        env.sync_dir(Path::new("/")).unwrap();
        let file = env.create_new(Path::new("/new")).unwrap();
        file.write_at(0, b"n").unwrap();
        file.sync().unwrap();
        env.rename(Path::new("/new"), Path::new("/old")).unwrap();
        let mut outcomes = BTreeSet::new();
        for seed in 0..200 {
            let after = env.power_cut(seed);
            let old = read(&after, "/old").expect("a rename never leaves nothing");
            outcomes.insert((old, after.list(Path::new("/")).unwrap().len()));
        }
        let expected = [(vec![], 1), (vec![], 2), (b"n".to_vec(), 1)];
        assert_eq!(outcomes, BTreeSet::from(expected));
    }

    #[test]
    fn a_directory_that_was_not_synced_may_go_with_all_that_is_in_it() {
        let env = MemEnv::new();
        env.create_dir_all(Path::new("/home")).unwrap();
        let db = Path::new("/home/db");
        env.leave_unsynced(db).unwrap();
        env.create_dir_all(Path::new("/home/other")).unwrap();
        env.leave_unsynced(db).unwrap();
        env.create_new(Path::new("/home/db/a")).unwrap();
        env.sync_dir(db).unwrap();
        let outcomes = |env: &MemEnv| -> BTreeSet<bool> {
            let cuts = (0..200).map(|seed| env.power_cut(seed));
            cuts.map(|after| after.kind(db).unwrap() == PathKind::Directory)
                .collect()
        };
        assert_eq!(outcomes(&env), BTreeSet::from([false, true]));
        assert_eq!(
            outcomes(&env.process_crash()),
            BTreeSet::from([false, true])
        );
        env.create_dir_all(db).unwrap();
        assert_eq!(outcomes(&env), BTreeSet::from([true]));
        env.leave_unsynced(db).unwrap();
        env.sync_dir(Path::new("/home")).unwrap();
        assert_eq!(outcomes(&env), BTreeSet::from([true]));
    }

    /// MEM-4, CUT-4.
    #[test]
    fn the_same_seed_gives_the_same_cut() {
        let env = MemEnv::new();
        for name in ["/a", "/b", "/c"] {
            let file = env.create_new(Path::new(name)).unwrap();
            file.write_at(0, name.repeat(2000).as_bytes()).unwrap();
        }
        for seed in 0..50 {
            let (one, two) = (env.power_cut(seed), env.power_cut(seed));
            for name in ["/a", "/b", "/c"] {
                assert_eq!(read(&one, name), read(&two, name), "seed {seed}");
            }
        }
    }

    #[test]
    fn locks_refuse_wait_and_are_released() {
        let env = MemEnv::new();
        let root = Path::new("/");
        let first = env.lock(root, true, Duration::ZERO).unwrap();
        let refused = env.clone().lock(root, false, Duration::ZERO).err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::Locked);
        let (other, forever) = (env.clone(), Duration::MAX);
        let waiter = std::thread::spawn(move || other.lock(Path::new("/"), false, forever).is_ok());
        drop(first);
        assert!(waiter.join().unwrap());
        let one = env.lock(root, false, Duration::ZERO).unwrap();
        let _two = env.lock(root, false, Duration::ZERO).unwrap();
        drop(one);
        assert!(env.lock(root, true, Duration::ZERO).is_err());
    }

    #[test]
    fn a_lock_in_memory_that_is_refused_names_its_holder_and_the_time_it_was_first_taken() {
        let env = MemEnv::new();
        let root = Path::new("/");
        let refused = |exclusive| {
            let error = env.lock(root, exclusive, Duration::ZERO).err().unwrap();
            let holder = error.holder().cloned().expect("the holder is this process");
            assert_eq!(holder.pid, std::process::id());
            assert!(
                error.to_string().ends_with(&format!("({holder})")),
                "{error}"
            );
            (holder.since, error.to_string().contains("for reading"))
        };
        env.hold_clock(Some(951_782_399_000_000));
        let writer = env.lock(root, true, Duration::ZERO).unwrap();
        env.hold_clock(Some(1_000_000_000_000_000));
        for exclusive in [true, false] {
            assert_eq!(
                refused(exclusive),
                ("2000-02-28 23:59:59 UTC".to_owned(), false)
            );
        }
        drop(writer);
        let reader = env.lock(root, false, Duration::ZERO).unwrap();
        env.hold_clock(Some(1_000_000_001_000_000));
        let _another = env.lock(root, false, Duration::ZERO).unwrap();
        drop(reader);
        assert_eq!(refused(true), ("2001-09-09 01:46:40 UTC".to_owned(), true));
    }

    #[test]
    fn a_held_clock_stands_still() {
        let env = MemEnv::new();
        env.hold_clock(Some(5));
        assert_eq!((env.now_micros(), env.wall_micros()), (5, 5));
        env.hold_clock(None);
        assert!(env.wall_micros() > 5);
    }
}
