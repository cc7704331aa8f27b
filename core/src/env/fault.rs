//! Wraps an environment: counts every operation, and makes chosen ones fail.
//!
//! A test walks *every* write and sync: run the scenario with the n-th operation failing, for n = 0, 1, 2, ...
//! until [`FaultEnv::injected`] says that nothing failed any more.
//!
//! * FAULT-1  A failed operation has no effect, except a partial write, which leaves some of its bytes, as the
//!            seed decides.
//! * FAULT-2  After a failed sync its bytes or names stay visible and uncertain: they may be durable or not,
//!            even if a later sync succeeds. (Modelled by [`super::MemEnv`]; the operating system's files
//!            cannot show it.)
//!
//! Power loss is [`super::MemEnv::power_cut`]: keep a clone of the `MemEnv` that this one wraps.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::dice::Dice;
use super::{DirLock, EngineOnly, Env, File, FileIdentity, PathKind, Thread, ThreadName};
use crate::error::{Error, Result};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, RwLock};

/// An operation of an [`Env`] or a [`File`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
#[non_exhaustive]
pub enum Call {
    /// Opening an existing file.
    Open,
    /// Creating a file.
    Create,
    /// Reading from a file.
    Read,
    /// Writing to a file.
    Write,
    /// Syncing a file.
    Sync,
    /// Changing a file's length, or setting space aside for it.
    SetLen,
    /// Asking for the kind of a path, a file's length, the names in a directory, or free space.
    Look,
    /// Creating a directory.
    CreateDir,
    /// Removing a file or a directory.
    Remove,
    /// Renaming a file.
    Rename,
    /// Giving a file a second name.
    Link,
    /// Syncing a directory.
    SyncDir,
    /// Taking the lock.
    Lock,
    /// Starting a thread.
    Spawn,
    /// Asking for random bits.
    Random,
}

impl Call {
    /// Every operation.
    pub const ALL: [Call; 15] = [
        Call::Open,
        Call::Create,
        Call::Read,
        Call::Write,
        Call::Sync,
        Call::SetLen,
        Call::Look,
        Call::CreateDir,
        Call::Remove,
        Call::Rename,
        Call::Link,
        Call::SyncDir,
        Call::Lock,
        Call::Spawn,
        Call::Random,
    ];

    /// The operations that change what is on the disk, or make it durable.
    pub const CHANGES: [Call; 9] = [
        Call::Create,
        Call::Write,
        Call::Sync,
        Call::SetLen,
        Call::CreateDir,
        Call::Remove,
        Call::Rename,
        Call::Link,
        Call::SyncDir,
    ];
}

/// Which operations are to fail, and how. Made by [`Fault::new`] and narrowed by its other methods.
#[derive(Debug, Clone)]
pub struct Fault {
    operations: Vec<Call>,
    path_part: String,
    skip: u64,
    times: u64,
    code: i32,
    partial: bool,
}

impl Fault {
    /// Makes the next of `operations` fail, once, with the operating system's error `code` (such as `libc::EIO`).
    pub fn new(operations: &[Call], code: i32) -> Fault {
        Fault {
            operations: operations.to_vec(),
            path_part: String::new(),
            skip: 0,
            times: 1,
            code,
            partial: false,
        }
    }

    /// Limits it to paths that contain `part`, for example `.log`.
    pub fn on_path(mut self, part: &str) -> Fault {
        self.path_part = part.to_owned();
        self
    }

    /// Lets the first `count` of them pass.
    pub fn after(mut self, count: u64) -> Fault {
        self.skip = count;
        self
    }

    /// Makes `count` of them fail, one after the other.
    pub fn times(mut self, count: u64) -> Fault {
        self.times = count;
        self
    }

    /// Makes all of them fail from then on, until [`FaultEnv::clear`].
    pub fn always(self) -> Fault {
        self.times(u64::MAX)
    }

    /// Makes a failing write leave a part of its bytes, from none to all but one.
    pub fn partial(mut self) -> Fault {
        self.partial = true;
        self
    }

    fn concerns(&self, operation: Call, path: &Path) -> bool {
        self.times > 0
            && self.operations.contains(&operation)
            && path.to_string_lossy().contains(&self.path_part)
    }
}

/// Called before every operation, on the thread that makes it. It may wait, or look at the disk.
pub type Hook = Arc<dyn Fn(Call, &Path) + Send + Sync>;

/// Another environment, with faults. Clones share everything.
#[derive(Clone)]
pub struct FaultEnv {
    inner: Arc<dyn Env>,
    shared: Arc<Faults>,
}

struct Faults {
    counts: [AtomicU64; Call::ALL.len()],
    injected: AtomicU64,
    faults: Mutex<Vec<Fault>>,
    hook: RwLock<Option<Hook>>,
    dice: Mutex<Dice>,
}

/// A fault that is due.
struct Due {
    code: i32,
    partial: bool,
}

impl Due {
    fn error(&self, action: &str, path: &Path) -> Error {
        Error::io(action, path, io::Error::from_raw_os_error(self.code))
    }
}

impl Faults {
    /// Counts an operation, and decides whether it fails.
    fn due(&self, operation: Call, path: &Path) -> Option<Due> {
        self.counts[operation as usize].fetch_add(1, Ordering::Relaxed);
        let hook = self.hook.read().clone();
        if let Some(hook) = hook {
            hook(operation, path);
        }
        let mut faults = self.faults.lock();
        let fault = faults.iter_mut().find(|f| f.concerns(operation, path))?;
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        debug_assert!(fault.times > 0, "a fault that is used up concerns no call");
        if fault.times < u64::MAX {
            fault.times -= 1;
        }
        self.injected.fetch_add(1, Ordering::Relaxed);
        Some(Due {
            code: fault.code,
            partial: fault.partial,
        })
    }

    fn check(&self, operation: Call, action: &str, path: &Path) -> Result<()> {
        match self.due(operation, path) {
            Some(due) => Err(due.error(action, path)),
            None => Ok(()),
        }
    }
}

impl FaultEnv {
    /// Wraps `inner`, without faults yet; `seed` decides what partial writes leave.
    ///
    /// If `inner` is a [`MemEnv`](super::MemEnv), a sync that fails leaves what a failed sync of a disk leaves: bytes
    /// and names that may be durable or not, and that no later sync makes durable. With other environments, a failed
    /// sync changes nothing.
    pub fn new(inner: Arc<dyn Env>, seed: u64) -> FaultEnv {
        FaultEnv {
            inner,
            shared: Arc::new(Faults {
                counts: Default::default(),
                injected: AtomicU64::new(0),
                faults: Mutex::default(),
                hook: RwLock::new(None),
                dice: Mutex::new(Dice::new(seed)),
            }),
        }
    }

    /// Adds a fault. If several concern an operation, the one that was added first decides.
    pub fn inject(&self, fault: Fault) {
        self.shared.faults.lock().push(fault);
    }

    /// Removes all faults: the disk works again.
    pub fn clear(&self) {
        self.shared.faults.lock().clear();
    }

    /// How many operations have failed by injection. A test that wants faults must not accept 0.
    pub fn injected(&self) -> u64 {
        self.shared.injected.load(Ordering::Relaxed)
    }

    /// How many operations of this kind were called, failed ones included.
    pub fn count(&self, operation: Call) -> u64 {
        self.shared.counts[operation as usize].load(Ordering::Relaxed)
    }

    /// Calls `hook` before every operation from now on; `None` stops that.
    pub fn set_hook(&self, hook: Option<Hook>) {
        *self.shared.hook.write() = hook;
    }

    fn file(&self, file: Result<Arc<dyn File>>, path: &Path) -> Result<Arc<dyn File>> {
        Ok(Arc::new(FaultFile {
            inner: file?,
            shared: self.shared.clone(),
            path: path.to_path_buf(),
        }))
    }
}

struct FaultFile {
    inner: Arc<dyn File>,
    shared: Arc<Faults>,
    path: PathBuf,
}

impl File for FaultFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        self.shared.check(Call::Read, "read", &self.path)?;
        self.inner.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let Some(due) = self.shared.due(Call::Write, &self.path) else {
            return self.inner.write_at(offset, bytes);
        };
        if due.partial && !bytes.is_empty() {
            let length = self.shared.dice.lock().below(bytes.len() as u64);
            debug_assert!(
                length < bytes.len() as u64,
                "FAULT-1: a failed write leaves a part of its bytes"
            );
            self.inner.write_at(offset, &bytes[..length as usize])?;
        }
        Err(due.error("write", &self.path))
    }

    fn sync(&self) -> Result<()> {
        let checked = self.shared.check(Call::Sync, "sync", &self.path);
        if checked.is_err() {
            self.inner.forget_unsynced(EngineOnly);
            return checked;
        }
        self.inner.sync()
    }

    fn start_writeback(&self, offset: u64, length: u64) {
        self.inner.start_writeback(offset, length);
    }

    fn len(&self) -> Result<u64> {
        self.shared.check(Call::Look, "stat", &self.path)?;
        self.inner.len()
    }

    fn set_len(&self, length: u64) -> Result<()> {
        let action = "change the length of";
        self.shared.check(Call::SetLen, action, &self.path)?;
        self.inner.set_len(length)
    }

    fn allocate(&self, length: u64) -> Result<()> {
        let action = "set space aside in";
        self.shared.check(Call::SetLen, action, &self.path)?;
        self.inner.allocate(length)
    }

    fn forget_unsynced(&self, only: EngineOnly) {
        self.inner.forget_unsynced(only);
    }
}

impl Env for FaultEnv {
    fn open_read(&self, path: &Path) -> Result<Arc<dyn File>> {
        self.shared.check(Call::Open, "open for reading", path)?;
        self.file(self.inner.open_read(path), path)
    }

    fn open_write(&self, path: &Path) -> Result<Arc<dyn File>> {
        self.shared.check(Call::Open, "open for writing", path)?;
        self.file(self.inner.open_write(path), path)
    }

    fn create_new(&self, path: &Path) -> Result<Arc<dyn File>> {
        self.shared.check(Call::Create, "create", path)?;
        self.file(self.inner.create_new(path), path)
    }

    fn kind(&self, path: &Path) -> Result<PathKind> {
        self.shared.check(Call::Look, "stat", path)?;
        self.inner.kind(path)
    }

    fn link_target(&self, path: &Path) -> Option<PathBuf> {
        self.inner.link_target(path)
    }

    fn identity(&self, path: &Path) -> Option<FileIdentity> {
        self.inner.identity(path)
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        self.shared.check(Call::Look, "list", dir)?;
        self.inner.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> Result<()> {
        let action = "create directory";
        self.shared.check(Call::CreateDir, action, dir)?;
        self.inner.create_dir_all(dir)
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        self.shared.check(Call::Remove, "remove", path)?;
        self.inner.remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> Result<()> {
        let action = "remove directory";
        self.shared.check(Call::Remove, action, dir)?;
        self.inner.remove_dir(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.shared.check(Call::Rename, "rename", from)?;
        self.inner.rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> Result<()> {
        self.shared.check(Call::Link, "link", to)?;
        self.inner.hard_link(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        let checked = self.shared.check(Call::SyncDir, "sync directory", dir);
        if checked.is_err() {
            self.inner.forget_unsynced(dir, EngineOnly);
            return checked;
        }
        self.inner.sync_dir(dir)
    }

    fn forget_unsynced(&self, dir: &Path, only: EngineOnly) {
        self.inner.forget_unsynced(dir, only);
    }

    fn free_space(&self, dir: &Path) -> Result<u64> {
        let action = "ask for the free space of";
        self.shared.check(Call::Look, action, dir)?;
        self.inner.free_space(dir)
    }

    fn canonical(&self, path: &Path) -> Result<PathBuf> {
        self.shared.check(Call::Look, "resolve", path)?;
        self.inner.canonical(path)
    }

    fn lock(&self, dir: &Path, exclusive: bool, timeout: Duration) -> Result<Box<dyn DirLock>> {
        self.shared.check(Call::Lock, "lock", dir)?;
        self.inner.lock(dir, exclusive, timeout)
    }

    fn now_micros(&self) -> u64 {
        self.inner.now_micros()
    }

    fn wall_micros(&self) -> u64 {
        self.inner.wall_micros()
    }

    fn random(&self) -> Result<u64> {
        let path = Path::new("the random generator");
        self.shared.check(Call::Random, "read", path)?;
        self.inner.random()
    }

    fn open_file_limit(&self) -> u64 {
        self.inner.open_file_limit()
    }

    fn largest_file(&self) -> u64 {
        self.inner.largest_file()
    }

    fn spawn(&self, name: ThreadName, work: Box<dyn FnOnce() + Send>) -> Result<Box<dyn Thread>> {
        let path = Path::new(name);
        self.shared.check(Call::Spawn, "start the thread", path)?;
        self.inner.spawn(name, work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::MemEnv;
    use crate::error::ErrorKind;

    fn faulty() -> (MemEnv, FaultEnv) {
        let mem = MemEnv::new();
        let env = FaultEnv::new(Arc::new(mem.clone()), 1);
        (mem, env)
    }

    /// FAULT-1.
    #[test]
    fn the_chosen_operation_fails_once_and_is_counted() {
        let (_, env) = faulty();
        let fault = Fault::new(&[Call::Write, Call::Sync], libc::EIO);
        env.inject(fault.on_path(".log").after(1));
        let other = env.create_new(Path::new("/a.sst")).unwrap();
        other.write_at(0, b"x").unwrap();
        let log = env.create_new(Path::new("/a.log")).unwrap();
        log.write_at(0, b"x").unwrap();
        assert_eq!(log.sync().unwrap_err().kind(), ErrorKind::Io);
        log.sync().unwrap();
        assert_eq!(env.injected(), 1);
        assert_eq!(env.count(Call::Sync), 2);
        assert_eq!(env.count(Call::Write), 2);
        assert_eq!(env.count(Call::Rename), 0);
    }

    #[test]
    fn a_full_disk_stays_full_until_it_is_cleared() {
        let (_, env) = faulty();
        let file = env.create_new(Path::new("/a")).unwrap();
        env.inject(Fault::new(&[Call::Write, Call::Create], libc::ENOSPC).always());
        for _ in 0..3 {
            let error = file.write_at(0, b"abc").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NoSpace);
            assert!(env.create_new(Path::new("/b")).is_err());
        }
        assert_eq!(file.len().unwrap(), 0);
        env.clear();
        file.write_at(0, b"abc").unwrap();
        assert_eq!(env.injected(), 6);
    }

    /// FAULT-1.
    #[test]
    fn a_partial_write_leaves_a_beginning() {
        let (_, env) = faulty();
        env.inject(Fault::new(&[Call::Write], libc::EIO).always().partial());
        let mut lengths = std::collections::BTreeSet::new();
        for index in 0..50 {
            let file = env.create_new(Path::new(&format!("/{index}"))).unwrap();
            file.write_at(0, b"abcd").unwrap_err();
            let mut bytes = [0; 4];
            let length = file.read_at(0, &mut bytes).unwrap();
            assert_eq!(bytes[..length], b"abcd"[..length]);
            lengths.insert(length);
        }
        assert_eq!(lengths, [0, 1, 2, 3].into());
    }

    /// FAULT-2, HISTORY-1, HISTORY-2.
    #[test]
    fn what_a_failed_sync_was_for_stays_uncertain() {
        let (mem, env) = faulty();
        let file = env.create_new(Path::new("/a")).unwrap();
        env.sync_dir(Path::new("/")).unwrap();
        file.write_at(0, b"lost").unwrap();
        env.inject(Fault::new(&[Call::Sync], libc::EIO));
        file.sync().unwrap_err();
        file.write_at(4, b"kept").unwrap();
        file.sync().unwrap();
        let mut found = std::collections::BTreeSet::new();
        for seed in 0..40 {
            let after = mem.power_cut(seed).open_read(Path::new("/a")).unwrap();
            let mut bytes = [1; 8];
            assert_eq!(after.read_at(0, &mut bytes).unwrap(), 8);
            found.insert(bytes);
        }
        assert_eq!(found, [*b"\0\0\0\0kept", *b"lostkept"].into());
        let mut bytes = [0; 8];
        file.read_at(0, &mut bytes).unwrap();
        assert_eq!(&bytes, b"lostkept", "running programs still see it");
    }

    #[test]
    fn names_that_a_failed_sync_of_their_directory_was_for_stay_uncertain() {
        let (mem, env) = faulty();
        let root = Path::new("/");
        env.create_new(Path::new("/old")).unwrap();
        env.sync_dir(root).unwrap();
        env.create_new(Path::new("/new")).unwrap();
        env.remove_file(Path::new("/old")).unwrap();
        env.inject(Fault::new(&[Call::SyncDir], libc::EIO));
        env.sync_dir(root).unwrap_err();
        env.create_new(Path::new("/later")).unwrap();
        env.sync_dir(root).unwrap();
        let cuts = |mem: &MemEnv| -> std::collections::BTreeSet<Vec<String>> {
            let cuts = (0..60).map(|seed| mem.power_cut(seed).list(root).unwrap());
            cuts.collect()
        };
        let expected = [
            &["later"][..],
            &["later", "new"],
            &["later", "old"],
            &["later", "new", "old"],
        ];
        let text = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        let expected = expected.into_iter().map(text).collect();
        assert_eq!(cuts(&mem), expected);
        assert_eq!(cuts(&mem.process_crash()), expected);
        assert_eq!(mem.list(root).unwrap(), ["later", "new"]);
    }

    #[test]
    fn the_hook_sees_every_operation_first() {
        let (mem, env) = faulty();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        let hook = move |operation, path: &Path| {
            log.lock().push((operation, mem.kind(path).unwrap()));
        };
        env.set_hook(Some(Arc::new(hook)));
        env.create_new(Path::new("/a")).unwrap();
        env.remove_file(Path::new("/a")).unwrap();
        env.set_hook(None);
        env.create_new(Path::new("/b")).unwrap();
        let expected = [
            (Call::Create, PathKind::Missing),
            (Call::Remove, PathKind::File(0)),
        ];
        assert_eq!(*seen.lock(), expected);
    }
}
