//! Tracks whether names in a directory are durable.
//!
//! * NAMES-1  A failed sync of a directory leaves names uncertain for good, whichever thread asked for it: the
//!            kernel may have dropped what it could not write, and a later sync would not report that. So a
//!            name counts as durable only if, since it was made, a sync of its directory has succeeded and none
//!            has failed.
//! * NAMES-2  If two threads sync at once, the second sync begins after the first has been counted.
//! * NAMES-3  Code that needs a durable name takes a [`DurableName`], and only a successful sync of the directory
//!            makes one.

use std::io;
use std::path::Path;

use super::{EngineOnly, Env};
use crate::error::{Error, Result};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::over_io::{OverIo, Stage};

/// A point in time before some names are made; take it before making them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names {
    failures: u64,
}

/// Proof that a name survives a power loss (NAMES-3).
#[derive(Debug)]
pub(crate) struct DurableName(());

impl Names {
    pub(crate) fn made_from_now(env: &dyn Env) -> Names {
        Names {
            failures: env.failed_dir_syncs(EngineOnly),
        }
    }

    /// Whether a sync of a directory has failed since (NAMES-1).
    pub(crate) fn are_uncertain(self, env: &dyn Env) -> bool {
        let failures = env.failed_dir_syncs(EngineOnly);
        debug_assert!(
            failures >= self.failures,
            "NAMES-1: a failure counts for good, in the environment that counted before"
        );
        failures != self.failures
    }

    /// Makes the names in `dir` durable; an error if they may not be durable.
    pub(crate) fn sync(self, env: &dyn Env, dir: &Path) -> Result<DurableName> {
        env.sync_dir(dir)?;
        if !self.are_uncertain(env) {
            return Ok(DurableName(()));
        }
        Err(env.dir_sync_failure(EngineOnly).unwrap_or_else(|| {
            let source = io::Error::from_raw_os_error(libc::EIO);
            Error::io("sync directory", dir, source)
        }))
    }
}

/// Counts the syncs of directories that fail (NAMES-1, NAMES-2).
pub(crate) struct DirSyncs {
    /// Held while a directory is synced (NAMES-2).
    syncing: OverIo<()>,
    failures: AtomicU64,
    last: Mutex<Option<Error>>,
}

impl Default for DirSyncs {
    fn default() -> DirSyncs {
        DirSyncs {
            syncing: OverIo::new(Stage::File, ()),
            failures: AtomicU64::new(0),
            last: Mutex::new(None),
        }
    }
}

impl DirSyncs {
    /// Carries out a sync.
    pub(super) fn run(&self, sync: impl FnOnce() -> Result<()>) -> Result<()> {
        let _syncing = self.syncing.lock();
        let outcome = sync();
        if let Err(error) = &outcome {
            *self.last.lock() = Some(error.clone());
            self.failures.fetch_add(1, Ordering::SeqCst);
        }
        outcome
    }

    #[inline]
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::SeqCst)
    }

    pub(super) fn last_failure(&self) -> Option<Error> {
        let last = self.last.lock();
        debug_assert!(
            last.is_some() == (self.failures() > 0),
            "NAMES-1: a failure that counts has its error"
        );
        last.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    /// NAMES-2. Fails if syncs run at once, or if one ends before it is counted.
    #[test]
    fn a_sync_begins_after_the_one_before_it_was_counted() {
        const THREADS: u64 = 4;
        const SYNCS: u64 = 2_000;
        let (syncs, begun) = (DirSyncs::default(), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..SYNCS {
                        let failed = syncs.run(|| {
                            let before = begun.fetch_add(1, Ordering::SeqCst);
                            assert_eq!(syncs.failures(), before, "NAMES-2");
                            std::thread::yield_now();
                            Err(Error::new(ErrorKind::Io, "expected by the test"))
                        });
                        assert!(failed.is_err());
                    }
                });
            }
        });
        assert_eq!(syncs.failures(), THREADS * SYNCS);
    }
}
