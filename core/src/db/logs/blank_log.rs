//! A file of zeros, prepared to become the next log.
//!
//! The first sync of a new file writes metadata too, and writers would wait for that whenever a memtable is
//! full. So the thread that flushes prepares the file of the next log first. Sealing renames it to the log's
//! name; records then overwrite zeros, and their sync writes only bytes.
//!
//! * BLANK-1  The file gets the name of a log only once its zeros are durable: after a power loss a file
//!            with unsynced bytes may contain anything. Recovery skips a log of zeros, because its creation was
//!            not finished.
//! * BLANK-2  `is_there` is false only after the last blank log was renamed or its removal was tried, so the
//!            next one is never made under a name still in use.

use std::path::{Path, PathBuf};

use crate::env::Env;
use crate::error::Result;
use crate::filename::{BLANK_LOG_TMP, log_path};
use crate::key::FileNumber;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::wal;

/// The blank log in a database's directory, if there is one.
#[derive(Default)]
pub(super) struct BlankLog {
    is_there: AtomicBool,
}

impl BlankLog {
    fn is_there(&self) -> bool {
        self.is_there.load(Ordering::Acquire)
    }

    /// Makes the file unless it is there. Called by one thread at a time.
    pub(super) fn make(&self, env: &dyn Env, dir: &Path) -> Result<()> {
        if self.is_there() {
            return Ok(());
        }
        wal::Blank::create(env, &path(dir)).inspect_err(|_| discard(env, dir))?;
        self.is_there.store(true, Ordering::Release);
        Ok(())
    }

    /// Makes the blank log the file of log `number`, if there is one.
    pub(super) fn take(
        &self,
        env: &dyn Env,
        dir: &Path,
        number: FileNumber,
    ) -> Result<Option<wal::Blank>> {
        if !self.is_there() {
            return Ok(None);
        }
        let renamed = env
            .rename(&path(dir), &log_path(dir, number))
            .inspect_err(|_| discard(env, dir));
        // BLANK-2.
        self.is_there.store(false, Ordering::Release);
        renamed?;
        let opened = wal::Blank::open(env, dir, number).inspect_err(|_| {
            let _ = env.remove_file(&log_path(dir, number));
        });
        opened.map(Some)
    }

    /// Removes the blank log, if there is one.
    pub(super) fn remove(&self, env: &dyn Env, dir: &Path) {
        if self.is_there.swap(false, Ordering::AcqRel) {
            discard(env, dir);
        }
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join(BLANK_LOG_TMP)
}

/// Removes the file; if that fails, the next open does.
fn discard(env: &dyn Env, dir: &Path) {
    let _ = env.remove_file(&path(dir));
}

#[cfg(test)]
mod tests {
    use crate::db::DB;
    use crate::env::{Call, Env, Fault, FaultEnv, MemEnv, PathKind};
    use crate::filename::BLANK_LOG_TMP;
    use crate::options::Options;
    use crate::sync::Arc;
    use std::path::Path;

    #[test]
    fn a_blank_log_that_cannot_be_made_or_used_is_done_without() {
        let cases = [
            (Call::Create, BLANK_LOG_TMP),
            (Call::Write, BLANK_LOG_TMP),
            (Call::Sync, BLANK_LOG_TMP),
            (Call::Rename, BLANK_LOG_TMP),
            (Call::Open, ".log"),
        ];
        for (operation, path) in cases {
            let mem = Arc::new(MemEnv::new());
            let env = FaultEnv::new(mem.clone(), 0);
            let options = Options::new().env(Arc::new(env.clone()));
            let db = DB::open("/db", options.clone().manual_background(true)).unwrap();
            env.inject(Fault::new(&[operation], libc::EIO).on_path(path));
            for key in [b"a", b"b", b"c"] {
                db.put(key, b"1").unwrap();
                db.flush().unwrap();
            }
            assert_eq!(env.injected(), 1, "{operation:?}");
            let blank = Path::new("/db").join(BLANK_LOG_TMP);
            assert_ne!(mem.kind(&blank).unwrap(), PathKind::Missing, "the next one");
            db.put(b"d", b"1").unwrap();
            db.close().unwrap();
            assert_eq!(mem.kind(&blank).unwrap(), PathKind::Missing);
            let db = DB::open("/db", options.manual_background(true)).unwrap();
            assert_eq!(db.iter().count(), 4);
        }
    }
}
