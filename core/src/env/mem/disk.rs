//! The disk in memory: its directories, and how much its files may take.
//!
//! Elsewhere: one directory (`directory.rs`), one file (`file.rs`), what a power loss leaves of them (`cut.rs`).

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::directory::{Directory, NameChange};
use super::file::MemFile;
use crate::env::PathKind;
use crate::error::{Error, Result};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, RwLock};

/// Files take space in blocks of this many bytes.
const BLOCK_BYTES: u64 = 4096;
/// The quota if [`Disk::set_quota`] was not called.
const NO_QUOTA: u64 = u64::MAX;

/// The directories by path.
pub(super) type Directories = BTreeMap<PathBuf, Directory>;

pub(super) struct Disk {
    /// Every change locks this for reading, a power cut for writing (MEM-3). Taken before all other locks here.
    still: RwLock<()>,
    directories: Mutex<Directories>,
    quota: AtomicU64,
}

impl Disk {
    pub(super) fn new(directories: Directories) -> Disk {
        debug_assert!(
            is_tree(&directories),
            "CUT-2: no directory is without its parent"
        );
        Disk {
            still: RwLock::new(()),
            directories: Mutex::new(directories),
            quota: AtomicU64::new(NO_QUOTA),
        }
    }

    /// Runs `work`, which changes something, not during a power cut (MEM-3).
    pub(super) fn changing<T>(&self, work: impl FnOnce() -> T) -> T {
        let _moving = self.still.read();
        work()
    }

    /// Runs `work` on the directories while nothing changes (MEM-3).
    pub(super) fn while_still<T>(&self, work: impl FnOnce(&Directories) -> T) -> T {
        let _still = self.still.write();
        work(&self.directories.lock())
    }

    /// Lets the files take at most `bytes`. `None` lifts it.
    pub(super) fn set_quota(&self, bytes: Option<u64>) {
        let value = bytes.unwrap_or(NO_QUOTA);
        self.quota.store(value, Ordering::SeqCst);
    }

    /// Bytes that the files take, in blocks of 4096.
    pub(super) fn used_bytes(&self) -> u64 {
        let directories = self.directories.lock();
        let files: BTreeMap<*const MemFile, &Arc<MemFile>> = directories
            .values()
            .flat_map(|directory| directory.names().values())
            .map(|file| (Arc::as_ptr(file), file))
            .collect();
        files.values().map(|file| blocks(file.len())).sum()
    }

    /// How many bytes the quota lets a file have whose length is now `length`.
    pub(super) fn room_for(&self, length: u64) -> u64 {
        match self.quota.load(Ordering::SeqCst) {
            NO_QUOTA => u64::MAX,
            quota => {
                let free = quota.saturating_sub(self.used_bytes()) / BLOCK_BYTES * BLOCK_BYTES;
                blocks(length) + free
            }
        }
    }

    /// As [`MemEnv::leave_unsynced`](super::MemEnv::leave_unsynced).
    pub(super) fn leave_unsynced(&self, dir: &Path) -> Result<()> {
        self.create_dir_all(dir)?;
        let mut directories = self.directories.lock();
        if let Some(directory) = directories.get_mut(&normal(dir)) {
            directory.leave_unsynced();
        }
        Ok(())
    }

    /// Runs `work` on the directory that holds `path`, and the name of `path` in it.
    fn in_parent<T>(
        &self,
        action: &str,
        path: &Path,
        work: impl FnOnce(&mut Directory, String) -> std::result::Result<T, i32>,
    ) -> Result<T> {
        let _moving = self.still.read();
        let mut directories = self.directories.lock();
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
    pub(super) fn rename_dir(&self, from: &Path, to: &Path) -> Result<()> {
        let _moving = self.still.read();
        let mut directories = self.directories.lock();
        let is_used = directories.iter().any(|(path, directory)| {
            path.parent() == Some(to) || path == to && !directory.names().is_empty()
        });
        let parent = to.parent().and_then(|parent| directories.get(parent));
        let name = to.file_name().unwrap_or_default().to_string_lossy();
        let is_file = parent.is_some_and(|parent| parent.names().contains_key(&*name));
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
                    directory.leave(old);
                    to.to_path_buf()
                }
                Ok(rest) => to.join(rest),
                Err(_) => old,
            };
            directories.insert(new, directory);
        }
        debug_assert!(
            !directories.keys().any(|path| path.starts_with(from)),
            "MEM-2: nothing stays behind a rename"
        );
        Ok(())
    }

    /// The file at `path`.
    pub(super) fn open(&self, action: &str, path: &Path) -> Result<Arc<MemFile>> {
        self.in_parent(action, path, |directory, name| {
            directory.names().get(&name).cloned().ok_or(libc::ENOENT)
        })
    }

    /// A new, empty file at `path`.
    pub(super) fn create_new(&self, path: &Path) -> Result<Arc<MemFile>> {
        self.in_parent("create", path, |directory, name| {
            if directory.names().contains_key(&name) {
                return Err(libc::EEXIST);
            }
            let file = Arc::new(MemFile::default());
            directory.change(NameChange::Added(name, file.clone()));
            Ok(file)
        })
    }

    pub(super) fn kind(&self, path: &Path) -> Result<PathKind> {
        let path = normal(path);
        let directories = self.directories.lock();
        if directories.contains_key(&path) {
            return Ok(PathKind::Directory);
        }
        let parent = path.parent().and_then(|parent| directories.get(parent));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match parent.and_then(|parent| parent.names().get(&*name)) {
            Some(file) => Ok(PathKind::File(file.len())),
            None => Ok(PathKind::Missing),
        }
    }

    pub(super) fn list(&self, dir: &Path) -> Result<Vec<String>> {
        let dir = normal(dir);
        let directories = self.directories.lock();
        let Some(directory) = directories.get(&dir) else {
            let source = io::Error::from_raw_os_error(libc::ENOENT);
            return Err(Error::io("list", &dir, source));
        };
        let below = directories
            .keys()
            .filter(|path| path.parent() == Some(&dir))
            .filter_map(|path| path.file_name())
            .map(|name| name.to_string_lossy().into_owned());
        Ok(directory.names().keys().cloned().chain(below).collect())
    }

    pub(super) fn create_dir_all(&self, dir: &Path) -> Result<()> {
        let _moving = self.still.read();
        let dir = normal(dir);
        let mut directories = self.directories.lock();
        let mut path = PathBuf::new();
        for component in dir.components() {
            let name = component.as_os_str().to_string_lossy();
            let parent = directories.get(&path);
            if parent.is_some_and(|parent| parent.names().contains_key(&*name)) {
                let source = io::Error::from_raw_os_error(libc::ENOTDIR);
                return Err(Error::io("create directory", &dir, source));
            }
            path.push(component);
            directories.entry(path.clone()).or_default().settle();
        }
        debug_assert!(is_tree(&directories), "all missing parents were made");
        Ok(())
    }

    pub(super) fn remove_file(&self, path: &Path) -> Result<()> {
        self.in_parent("remove", path, |directory, name| {
            if !directory.names().contains_key(&name) {
                return Err(libc::ENOENT);
            }
            directory.change(NameChange::Removed(name));
            Ok(())
        })
    }

    pub(super) fn remove_dir(&self, dir: &Path) -> Result<()> {
        let _moving = self.still.read();
        let dir = normal(dir);
        let mut directories = self.directories.lock();
        let has_directories = directories.keys().any(|path| path.parent() == Some(&dir));
        let code = match directories.get(&dir) {
            None => libc::ENOENT,
            Some(found) if has_directories || !found.names().is_empty() => libc::ENOTEMPTY,
            Some(_) => {
                directories.remove(&dir);
                debug_assert!(is_tree(&directories), "only an empty directory is removed");
                return Ok(());
            }
        };
        let source = io::Error::from_raw_os_error(code);
        Err(Error::io("remove directory", &dir, source))
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> Result<()> {
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
            let file = directory.names().get(&name).cloned().ok_or(libc::ENOENT)?;
            directory.change(NameChange::Renamed(name, target.into_owned(), file));
            Ok(())
        })
    }

    pub(super) fn hard_link(&self, from: &Path, to: &Path) -> Result<()> {
        let file = self.in_parent("link", from, |directory, name| {
            directory.names().get(&name).cloned().ok_or(libc::ENOENT)
        })?;
        self.in_parent("link", to, |directory, name| {
            if directory.names().contains_key(&name) {
                return Err(libc::EEXIST);
            }
            directory.change(NameChange::Added(name, file));
            Ok(())
        })
    }

    pub(super) fn sync_dir(&self, dir: &Path) -> Result<()> {
        let _moving = self.still.read();
        let dir = normal(dir);
        let mut directories = self.directories.lock();
        for (path, below) in directories.iter_mut() {
            if path.parent() == Some(&dir) {
                below.settle();
            }
        }
        match directories.get_mut(&dir) {
            Some(directory) => {
                directory.sync();
                Ok(())
            }
            None => {
                let source = io::Error::from_raw_os_error(libc::ENOENT);
                Err(Error::io("sync directory", &dir, source))
            }
        }
    }

    pub(super) fn forget_unsynced(&self, dir: &Path) {
        let _moving = self.still.read();
        let mut directories = self.directories.lock();
        if let Some(directory) = directories.get_mut(&normal(dir)) {
            directory.fail_sync();
        }
    }

    /// Notes that the entries of all directories are durable.
    pub(super) fn settle(&self) {
        for directory in self.directories.lock().values_mut() {
            directory.settle();
        }
    }
}

/// Whether each directory has its parent.
fn is_tree(directories: &Directories) -> bool {
    let mut parents = directories.keys().filter_map(|path| path.parent());
    parents.all(|parent| directories.contains_key(parent))
}

fn blocks(length: u64) -> u64 {
    length.div_ceil(BLOCK_BYTES).saturating_mul(BLOCK_BYTES)
}

/// `path` from the root, without `.` and `..`.
pub(super) fn normal(path: &Path) -> PathBuf {
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
