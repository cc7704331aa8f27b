//! The lock of a database directory: `flock` on its file `LOCK`, and a table of this process's own locks.
//!
//! * LOCK-1  One exclusive holder, or any number of shared ones, over all processes (`flock`) and inside this one
//!           (the table, by the directory's device and inode: a symbolic link or another spelling does not get around
//!           it).
//! * LOCK-2  A refused opener changes nothing: it neither changes the text in `LOCK` nor releases another
//!           opener's lock. `flock` belongs to the open file description, so closing a second descriptor is
//!           harmless; POSIX record locks would all go with the first descriptor closed.
//! * LOCK-3  The exclusive holder writes its process id, host and start time into `LOCK`, and empties it on release.
//! * LOCK-4  A forked child holds nothing: its copies of the descriptors are closed and the counter that
//!           [`DirLock::is_held`] compares has changed (`unix.rs`, UNIX-2). It starts with an empty table,
//!           because a thread that the child does not have may have locked the parent's.
//!
//! Waiting: within this process, the holder wakes the next opener. For a lock of another process the system has
//! no wait with a time limit, so the opener tries again every few milliseconds, until the timeout and no
//! longer.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::ptr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::unix::{self, LockSlot, retry};
use super::utc::utc_text;
use super::{DirLock, descriptors};
use crate::error::{Error, Holder, Result};
use crate::sync::process::AtomicPtr;
use crate::sync::{Condvar, Mutex};

/// The lock file's name in the database directory.
const LOCK_NAME: &str = "LOCK";
/// How long to wait before trying again to get a lock that another process holds.
const ASK_AGAIN: Duration = Duration::from_millis(5);
/// A link in the place of `LOCK` is refused, and opening a pipe does not wait.
const OPEN_FLAGS: i32 = libc::O_NOFOLLOW | libc::O_NONBLOCK;
/// The text in `LOCK` is shorter than this; more is not read.
const MAX_HOLDER_BYTES: u64 = 512;

/// The locks that this process holds on one directory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    Exclusive,
    /// This many shared locks, at least one; and when the first was taken, in seconds of the wall clock.
    Shared(usize, u64),
}

/// Device and inode of a directory.
type Identity = (u64, u64);

#[derive(Default)]
struct Table {
    held: Mutex<HashMap<Identity, Held>>,
    released: Condvar,
}

static TABLE: AtomicPtr<Table> = AtomicPtr::new(ptr::null_mut());

/// The process's table, made on first use and never freed. A forked child starts with an empty one (LOCK-4).
fn table() -> &'static Table {
    unix::leaked_or_new(&TABLE)
}

/// Takes the lock of `dir`; see [`super::Env::lock`].
pub(super) fn lock(dir: &Path, exclusive: bool, timeout: Duration) -> Result<Box<dyn DirLock>> {
    take(dir, exclusive, timeout).map(|lock| Box::new(lock) as Box<dyn DirLock>)
}

fn take(dir: &Path, exclusive: bool, timeout: Duration) -> Result<OsLock> {
    let metadata = retry(|| fs::metadata(dir)).map_err(|error| Error::io("lock", dir, error))?;
    if !metadata.is_dir() {
        let source = io::Error::from_raw_os_error(libc::ENOTDIR);
        return Err(Error::io("lock", dir, source));
    }
    let identity = (metadata.dev(), metadata.ino());
    let table = table();
    let started = Instant::now();
    let mut held = table.held.lock();
    loop {
        let refusal = match (held.get(&identity).copied(), exclusive) {
            (None, _) | (Some(Held::Shared(..)), false) => {
                match lock_file(&dir.join(LOCK_NAME), exclusive)? {
                    FileLock::Taken(slot) => {
                        debug_assert!(
                            slot.is_some() || !exclusive,
                            "LOCK-1: who may write has the lock of the file"
                        );
                        add(&mut held, identity, exclusive);
                        return Ok(OsLock {
                            table,
                            identity,
                            exclusive,
                            slot,
                            forks: unix::fork_count(),
                        });
                    }
                    FileLock::HeldBy(refusal) => refusal,
                }
            }
            (Some(Held::Exclusive), _) => {
                Refusal::of_holder("this process already has it open", &dir.join(LOCK_NAME))
            }
            (Some(Held::Shared(_, since)), true) => {
                // Readers leave no name in the lock file; this process knows its own.
                let holder = this_process(since);
                Refusal {
                    sentence: format!("this process already has it open for reading ({holder})"),
                    holder: Some(holder),
                }
            }
        };
        let left = timeout.saturating_sub(started.elapsed());
        if left.is_zero() {
            let message = format!("{}: {}", dir.display(), refusal.sentence);
            return Err(Error::locked(message, refusal.holder));
        }
        table.released.wait_for(&mut held, left.min(ASK_AGAIN));
    }
}

fn add(held: &mut HashMap<Identity, Held>, identity: Identity, exclusive: bool) {
    debug_assert!(
        !exclusive || !held.contains_key(&identity),
        "LOCK-1: an exclusive holder is alone"
    );
    debug_assert!(
        held.get(&identity) != Some(&Held::Exclusive),
        "LOCK-1: an exclusive holder is alone"
    );
    let now = match (held.get(&identity), exclusive) {
        (_, true) => Held::Exclusive,
        (Some(&Held::Shared(count, since)), false) => Held::Shared(count + 1, since),
        (_, false) => Held::Shared(1, wall_seconds()),
    };
    held.insert(identity, now);
}

enum FileLock {
    /// Taken. `None` for a read-only directory without `LOCK`, in which no process can write.
    Taken(Option<&'static LockSlot>),
    HeldBy(Refusal),
}

/// Why the lock was refused.
struct Refusal {
    /// A description of the holder, for a person.
    sentence: String,
    holder: Option<Holder>,
}

impl Refusal {
    fn unnamed(sentence: impl Into<String>) -> Refusal {
        Refusal {
            sentence: sentence.into(),
            holder: None,
        }
    }

    /// The error for `what`, with the holder named in the lock file at `path`.
    fn of_holder(what: &str, path: &Path) -> Refusal {
        let text = read_holder(path);
        Refusal {
            sentence: format!("{what} ({text})"),
            holder: Holder::parse(&text),
        }
    }
}

fn lock_file(path: &Path, exclusive: bool) -> Result<FileLock> {
    let failed = |source| Error::io("lock", path, source);
    loop {
        let opened = unix::open_in_slot(|| open_lock_file(path, exclusive));
        let slot = match opened {
            Ok(slot) => slot,
            Err(error) if !exclusive && is_read_only(&error) => {
                return match retry(|| fs::symlink_metadata(path)) {
                    Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                        Ok(FileLock::Taken(None))
                    }
                    _ => Err(failed(error)),
                };
            }
            Err(error) => return Err(failed(error)),
        };
        let outcome = slot.with(|file| take_lock(file, path, exclusive));
        match outcome.unwrap_or(Ok(Attempt::Stale)) {
            Ok(Attempt::Taken) => return Ok(FileLock::Taken(Some(slot))),
            Ok(Attempt::Refused(refusal)) => {
                drop(slot.take());
                return Ok(FileLock::HeldBy(refusal));
            }
            Ok(Attempt::Stale) => drop(slot.take()),
            Err(error) => {
                drop(slot.take());
                return Err(failed(error));
            }
        }
    }
}

fn open_lock_file(path: &Path, exclusive: bool) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    let mut read_write = || descriptors::open(path, options.custom_flags(OPEN_FLAGS));
    if exclusive {
        return read_write();
    }
    match open_to_read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => read_write(),
        other => other,
    }
}

fn open_to_read(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    descriptors::open(path, options.read(true).custom_flags(OPEN_FLAGS))
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EROFS | libc::EACCES | libc::EPERM)
    )
}

enum Attempt {
    Taken,
    Refused(Refusal),
    /// The file was removed or replaced (by `destroy`) before it was locked: open the new one.
    Stale,
}

fn take_lock(file: &fs::File, path: &Path, exclusive: bool) -> io::Result<Attempt> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file",
        ));
    }
    let result = match exclusive {
        true => file.try_lock(),
        false => file.try_lock_shared(),
    };
    match result {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            return Ok(Attempt::Refused(describe_holder(file, path, exclusive)));
        }
        Err(fs::TryLockError::Error(error)) => return Err(error),
    }
    match retry(|| fs::symlink_metadata(path)) {
        Ok(now) if (now.dev(), now.ino()) == (metadata.dev(), metadata.ino()) => {}
        Ok(_) => return Ok(Attempt::Stale),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Attempt::Stale),
        Err(error) => return Err(error),
    }
    if exclusive {
        // The text is only for people, so a full disk must not keep the database from opening.
        let _ = write_holder(file);
    }
    Ok(Attempt::Taken)
}

/// The holder of the refused lock. If readers hold it, the text may be that of a killed process, so it is not used.
fn describe_holder(file: &fs::File, path: &Path, exclusive: bool) -> Refusal {
    if exclusive && file.try_lock_shared().is_ok() {
        let _ = file.unlock();
        return Refusal::unnamed("another process has it open for reading");
    }
    Refusal::of_holder("another process has it open", path)
}

fn wall_seconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}

/// This process, as the holder of a lock since `seconds` of the wall clock.
pub(super) fn this_process(seconds: u64) -> Holder {
    Holder {
        pid: std::process::id(),
        host: unix::host_name(),
        since: utc_text(seconds),
    }
}

fn write_holder(mut file: &fs::File) -> io::Result<()> {
    let text = format!("{}\n", this_process(wall_seconds()));
    debug_assert!(
        text.len() as u64 <= MAX_HOLDER_BYTES,
        "LOCK-3: a refused opener can read all of it"
    );
    file.set_len(0)?;
    // The write would cause a signal instead of an error (OS-4).
    if text.len() as u64 > unix::file_size_limit() {
        return Ok(());
    }
    file.rewind()?;
    file.write_all(text.as_bytes())
}

fn read_holder(path: &Path) -> String {
    let mut text = Vec::new();
    let read =
        open_to_read(path).and_then(|file| file.take(MAX_HOLDER_BYTES).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    match read {
        Ok(_) if !text.is_empty() => text,
        _ => "it left no name".to_owned(),
    }
}

struct OsLock {
    table: &'static Table,
    identity: Identity,
    exclusive: bool,
    slot: Option<&'static LockSlot>,
    forks: u32,
}

impl DirLock for OsLock {
    #[inline]
    fn is_held(&self) -> bool {
        unix::fork_count() == self.forks
    }
}

impl Drop for OsLock {
    fn drop(&mut self) {
        // In a forked child the slot may have a new owner and the table may be locked for ever (LOCK-4).
        if !self.is_held() {
            return;
        }
        let mut held = self.table.held.lock();
        debug_assert!(
            (held.get(&self.identity) == Some(&Held::Exclusive)) == self.exclusive,
            "LOCK-1: it is held in the way in which it was taken"
        );
        debug_assert!(
            held.contains_key(&self.identity),
            "LOCK-1: what is held is in the table"
        );
        if let Some(file) = self.slot.and_then(LockSlot::take) {
            if self.exclusive {
                let _ = file.set_len(0);
            }
            // Explicitly, because a program that is being started may have a copy of the descriptor until its exec.
            let _ = file.unlock();
        }
        match held.get(&self.identity).copied() {
            Some(Held::Shared(count, since)) if count > 1 => {
                held.insert(self.identity, Held::Shared(count - 1, since));
            }
            _ => {
                held.remove(&self.identity);
            }
        }
        drop(held);
        self.table.released.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::test_dir::TestDir;
    use crate::error::ErrorKind;
    use crate::sync::process::Ordering;
    use std::process::Command;

    const NOW: Duration = Duration::ZERO;

    fn refusal(dir: &Path, exclusive: bool) -> String {
        let error = lock(dir, exclusive, NOW).err().expect("the lock is held");
        assert_eq!(error.kind(), ErrorKind::Locked);
        error.to_string()
    }

    /// LOCK-2.
    #[test]
    fn a_second_opener_is_refused_and_releases_nothing() {
        let dir = TestDir::new();
        let first = lock(dir.path(), true, NOW).unwrap();
        assert!(first.is_held());
        for exclusive in [true, false] {
            let message = refusal(dir.path(), exclusive);
            let pid = format!("pid {}", std::process::id());
            assert!(message.contains(&pid), "{message}");
            assert!(message.contains("since 20"), "{message}");
            let error = lock(dir.path(), exclusive, NOW).err().unwrap();
            assert_eq!(error.holder().unwrap().pid, std::process::id());
        }
        refusal(dir.path(), true);
        drop(first);
        drop(lock(dir.path(), true, NOW).unwrap());
    }

    /// LOCK-1.
    #[test]
    fn a_symbolic_link_is_no_way_around() {
        let dir = TestDir::new();
        let real = dir.path().join("real");
        fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, dir.path().join("link")).unwrap();
        let _first = lock(&real, true, NOW).unwrap();
        refusal(&dir.path().join("link"), true);
        refusal(&dir.path().join("link/../real/."), false);
    }

    #[test]
    fn a_removed_lock_file_does_not_let_this_process_in_twice() {
        let dir = TestDir::new();
        let _first = lock(dir.path(), true, NOW).unwrap();
        fs::remove_file(dir.path().join(LOCK_NAME)).unwrap();
        refusal(dir.path(), true);
    }

    /// LOCK-1.
    #[test]
    fn readers_share_and_keep_a_writer_out() {
        let dir = TestDir::new();
        let one = lock(dir.path(), false, NOW).unwrap();
        let two = lock(dir.path(), false, NOW).unwrap();
        drop(one);
        let error = lock(dir.path(), true, NOW).err().unwrap();
        assert!(error.to_string().contains("for reading"), "{error}");
        // Readers write nothing into the lock file, but this process knows its own.
        let holder = error.holder().unwrap();
        assert_eq!(holder.pid, std::process::id());
        assert!(error.to_string().contains(&holder.to_string()), "{error}");
        drop(two);
        drop(lock(dir.path(), true, NOW).unwrap());
    }

    /// On Linux no user can create files in /sys, not even root, who ignores ordinary permissions.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_directory_that_nobody_can_write_is_shared_without_a_lock_file() {
        let dir = Path::new("/sys/kernel");
        if !dir.is_dir() {
            return;
        }
        let one = lock(dir, false, NOW).unwrap();
        let two = lock(dir, false, NOW).unwrap();
        assert!(one.is_held() && two.is_held());
        assert!(lock(dir, true, NOW).is_err());
        drop((one, two));
        let error = lock(dir, true, NOW).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Io, "no reader is in the way");
    }

    #[test]
    fn a_directory_that_is_not_there_is_none_that_nobody_can_write() {
        let dir = TestDir::new();
        let path = dir.path().join("gone").join(LOCK_NAME);
        for exclusive in [true, false] {
            assert!(lock_file(&path, exclusive).is_err());
        }
    }

    #[test]
    fn a_waiting_opener_gets_the_lock_when_it_is_released() {
        let dir = TestDir::new();
        let first = lock(dir.path(), true, NOW).unwrap();
        let path = dir.path().to_path_buf();
        let waiter = std::thread::spawn(move || {
            lock(&path, true, Duration::from_secs(60)).map(|lock| lock.is_held())
        });
        drop(first);
        assert!(waiter.join().unwrap().unwrap());
    }

    #[test]
    fn another_process_is_refused_and_named() {
        let dir = TestDir::new();
        let path = dir.path().join(LOCK_NAME);
        let program = "exec 9>>\"$0\"; flock -n 9 || exit 3; echo 'pid 1 on host moon, since 2001' >\"$0\"; \
                       echo ready; read wait";
        let child = Command::new("sh")
            .args(["-c", program])
            .arg(&path)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn();
        let Ok(mut child) = child else { return };
        let mut ready = [0; 5];
        let heard = child.stdout.as_mut().unwrap().read_exact(&mut ready);
        if heard.is_ok() {
            assert!(refusal(dir.path(), true).contains("pid 1 on host moon"));
            assert!(refusal(dir.path(), false).contains("pid 1 on host moon"));
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.contains("moon"), "a refused opener changed {text:?}");
        }
        drop(child.stdin.take());
        child.wait().unwrap();
        drop(lock(dir.path(), true, NOW).unwrap());
    }

    /// LOCK-3.
    #[test]
    fn a_stale_text_is_replaced_and_release_empties_the_file() {
        let dir = TestDir::new();
        let path = dir.path().join(LOCK_NAME);
        fs::write(
            &path,
            "pid 99999 on host gone, since long ago, and more".repeat(20),
        )
        .unwrap();
        let first = lock(dir.path(), true, NOW).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(&format!("pid {}", std::process::id())));
        assert_eq!(text.lines().count(), 1);
        drop(first);
        assert_eq!(fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn a_lock_file_that_is_a_link_or_a_directory_is_an_error() {
        let dir = TestDir::new();
        let path = dir.path().join(LOCK_NAME);
        std::os::unix::fs::symlink("elsewhere", &path).unwrap();
        assert!(lock(dir.path(), true, NOW).is_err());
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(lock(dir.path(), true, NOW).is_err());
        assert!(lock(dir.path(), false, NOW).is_err());
    }

    /// UNIX-2. The parent "dies": its descriptor is closed without an unlock, as the kernel would do. If the child
    /// still had its copy, the lock would stay taken.
    #[test]
    fn a_forked_child_neither_believes_in_nor_keeps_the_lock() {
        let dir = TestDir::new();
        let first = take(dir.path(), true, NOW).unwrap();
        let child = unix::testing::Child::fork(|| if first.is_held() { 1 } else { 0 });
        assert!(first.is_held());
        drop(first.slot.and_then(LockSlot::take));
        drop(first);
        // The child's handler may not have run yet, so wait for it. The child waits for the order to end.
        let again = lock(dir.path(), true, Duration::from_secs(10));
        assert_eq!(
            child.finish(),
            0,
            "the child believes that it holds the lock"
        );
        assert!(again.is_ok(), "the child kept the lock");
    }

    /// A thread that the child does not have may have locked the parent's table; an opener in the child would wait
    /// for ever.
    #[test]
    fn a_forked_child_does_not_take_over_the_table_of_its_parent() {
        let dir = TestDir::new();
        // This registers the fork handler.
        let lock = take(dir.path(), true, NOW).unwrap();
        let here = || TABLE.load(Ordering::SeqCst);
        let child = unix::testing::Child::fork(|| i32::from(!here().is_null()));
        assert!(!here().is_null());
        assert_eq!(child.finish(), 0, "LOCK-4");
        drop(lock);
    }
}
