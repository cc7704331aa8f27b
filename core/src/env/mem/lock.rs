//! The locks of databases in memory: who has which directory, and who waits for it.
//!
//! Elsewhere: the lock of the operating system (`os_lock.rs`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::clock::Clock;
use crate::env::{DirLock, os_lock};
use crate::error::{Error, Result};
use crate::sync::{Arc, Condvar, Mutex};

/// The directories that are locked.
#[derive(Default)]
pub(super) struct Locks {
    held: Mutex<BTreeMap<PathBuf, Held>>,
    released: Condvar,
}

/// Each with the second of the wall clock at which the lock was taken; for shared locks, the first of them.
#[derive(Clone, Copy)]
enum Held {
    Exclusive(u64),
    /// How many shared locks, at least one.
    Shared(usize, u64),
}

impl Locks {
    /// Takes the lock of `dir`, waiting at most `timeout`; as [`Env::lock`](crate::env::Env::lock).
    pub(super) fn take(
        locks: &Arc<Locks>,
        dir: PathBuf,
        exclusive: bool,
        timeout: Duration,
        clock: &Clock,
    ) -> Result<MemLock> {
        let deadline = Instant::now().checked_add(timeout);
        let mut held = locks.held.lock();
        loop {
            let since = || Duration::from_micros(clock.wall_micros()).as_secs();
            let now = match (held.get(&dir).copied(), exclusive) {
                (None, true) => Ok(Held::Exclusive(since())),
                (None, false) => Ok(Held::Shared(1, since())),
                (Some(Held::Shared(count, since)), false) => Ok(Held::Shared(count + 1, since)),
                (Some(Held::Shared(_, since)), true) => Err((" for reading", since)),
                (Some(Held::Exclusive(since)), _) => Err(("", since)),
            };
            let (purpose, since) = match now {
                Ok(now) => {
                    let before = held.insert(dir.clone(), now);
                    debug_assert!(
                        before.is_none() || !matches!(now, Held::Exclusive(_)),
                        "LOCK-1: an exclusive holder is alone"
                    );
                    debug_assert!(
                        !matches!(before, Some(Held::Exclusive(_))),
                        "LOCK-1: no one joins an exclusive holder"
                    );
                    let locks = locks.clone();
                    return Ok(MemLock { locks, dir });
                }
                Err(refusal) => refusal,
            };
            let timed_out = match deadline {
                Some(deadline) => locks.released.wait_until(&mut held, deadline).timed_out(),
                None => {
                    locks.released.wait(&mut held);
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
}

/// A lock that is held until this is dropped.
pub(super) struct MemLock {
    locks: Arc<Locks>,
    dir: PathBuf,
}

impl DirLock for MemLock {
    fn is_held(&self) -> bool {
        true
    }
}

impl Drop for MemLock {
    fn drop(&mut self) {
        let mut held = self.locks.held.lock();
        debug_assert!(
            held.contains_key(&self.dir),
            "LOCK-1: what is held is in the table"
        );
        debug_assert!(
            !matches!(held.get(&self.dir), Some(Held::Shared(0, _))),
            "LOCK-1: a shared lock has a holder"
        );
        match held.get_mut(&self.dir) {
            Some(Held::Shared(count, _)) if *count > 1 => *count -= 1,
            _ => {
                held.remove(&self.dir);
            }
        }
        drop(held);
        self.locks.released.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use crate::env::{Env, MemEnv};
    use crate::error::ErrorKind;

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
}
