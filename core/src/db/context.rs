//! The context that all rooms of an open database share: its directory, its options, and whether it is still
//! open.
//!
//! Its only lock is the info log's, which a line is written under. Every other room may use it, and it uses none of
//! them.
//!
//! Except in unit tests, [`Context::step`] compiles to nothing.

use std::path::{Path, PathBuf};

use super::info_log::InfoLogger;
use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use crate::metrics::Metrics;
use crate::options::Options;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, Ordering};

/// See the head of the file.
pub(super) struct Context {
    dir: PathBuf,
    env: Arc<dyn Env>,
    options: Options,
    metrics: Metrics,
    info_log: InfoLogger,
    closed: AtomicBool,
    /// `fork_count` when the database was opened. In a child after `fork` the count differs (DB-2).
    forks: u32,
}

impl Context {
    /// The context of the open database in `dir`.
    pub(super) fn new(
        dir: PathBuf,
        env: Arc<dyn Env>,
        options: Options,
        info_log: InfoLogger,
    ) -> Context {
        Context {
            dir,
            env,
            options,
            metrics: Metrics::default(),
            info_log,
            closed: AtomicBool::new(false),
            forks: crate::env::fork_count(),
        }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The environment that draws on the whole reserve.
    pub(super) fn env(&self) -> &dyn Env {
        &*self.env
    }

    /// [`Context::env`] for callers that keep it.
    pub(super) fn shared_env(&self) -> Arc<dyn Env> {
        Arc::clone(&self.env)
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Refuses every call after close, and in a child after `fork`.
    #[inline]
    pub(super) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) || self.is_foreign() {
            return Err(closed_error(self.forks));
        }
        Ok(())
    }

    /// Maps `error` to `Closed` if the database was closed during the call, because its files may be gone.
    #[cold]
    pub(super) fn closed_or(&self, error: Error) -> Error {
        self.check_open().err().unwrap_or(error)
    }

    /// Refuses writes after close and to a database opened read-only.
    // Always inlined: a put makes the check twice.
    #[inline(always)]
    pub(super) fn check_writable(&self) -> Result<()> {
        self.check_open()?;
        if self.options.read_only {
            return Err(Error::invalid_argument(
                "the database was opened with read_only",
            ));
        }
        Ok(())
    }

    /// Whether this is a child of the process that opened it.
    #[inline]
    pub(super) fn is_foreign(&self) -> bool {
        crate::env::fork_count() != self.forks
    }

    /// Refuses every call from now on; returns whether this call closed the database, not an
    /// earlier one.
    pub(super) fn close(&self) -> bool {
        !self.closed.swap(true, Ordering::AcqRel)
    }

    /// Writes a line to the info log.
    pub(super) fn note(&self, line: std::fmt::Arguments<'_>) {
        self.info_log.write(&*self.env, line);
    }

    /// Closes the info log.
    pub(super) fn let_go(&self) {
        self.info_log.let_go();
    }

    /// Calls the options' hook: the background work on this thread has come to the step `name`. The hook may panic.
    #[inline(always)]
    pub(super) fn step(&self, name: &'static str) {
        #[cfg(test)]
        if let Some(hook) = &self.options.step_hook {
            hook(name);
        }
        let _ = name;
    }
}

/// The error of calls on a database that was closed, or that another process opened. `forks`: `fork_count` when
/// it was opened.
#[cold]
pub(super) fn closed_error(forks: u32) -> Error {
    if crate::env::fork_count() != forks {
        return Error::new(
            ErrorKind::Closed,
            "the database was opened before a fork and belongs to the parent process",
        );
    }
    Error::closed("the database")
}
