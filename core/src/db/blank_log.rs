//! A file of zeros that waits for the next log to begin in it.
//!
//! The sync of a new file waits for more than its bytes, and writers would wait for that whenever a memtable is full. So
//! whoever flushes first makes the file of the next log. Sealing gives it the log's name and overwrites zeros in it, and
//! their sync is one of bytes alone.
//!
//! * L1  It has the name of a log only once its zeros are durable: a loss of power may leave anything in a file whose bytes are not.
//!       Recovery passes over a log of zeros, whose creation was not finished.
//! * L2  `has_blank_log` is false only behind the renaming of the last one, or behind a try to remove it, so the next one is never
//!       made under a name that is about to be taken.

use std::path::PathBuf;

use super::shared::Shared;
use crate::error::Result;
use crate::filename::{BLANK_LOG_TMP, log_path};
use crate::key::FileNumber;
use crate::sync::atomic::Ordering;
use crate::wal;

impl Shared {
    /// Makes a blank log unless there is one, or the database is being closed. Failing that, or on a disk with little room, the
    /// next seal makes its log itself. Called by one thread at a time.
    pub(super) fn prepare_log(&self) {
        if self.has_blank_log.load(Ordering::Acquire)
            || self.check_open().is_err()
            || !self.is_roomy()
        {
            return;
        }
        match wal::Blank::create(&*self.env, &self.blank_path()) {
            Ok(()) => self.has_blank_log.store(true, Ordering::Release),
            Err(error) => {
                self.note(format_args!("cannot make a log ahead: {error}"));
                self.discard_blank();
            }
        }
    }

    /// Makes the blank log, if there is one, the file of log `number`. Called under the log's lock.
    pub(super) fn take_blank_log(&self, number: FileNumber) -> Option<wal::Blank> {
        if !self.has_blank_log.load(Ordering::Acquire) {
            return None;
        }
        let renamed = self.rename_blank(number).inspect_err(|error| {
            self.note(format_args!("cannot use the log made ahead: {error}"));
            self.discard_blank();
        });
        // L2.
        self.has_blank_log.store(false, Ordering::Release);
        renamed.ok()
    }

    fn rename_blank(&self, number: FileNumber) -> Result<wal::Blank> {
        let path = log_path(&self.dir, number);
        self.env.rename(&self.blank_path(), &path)?;
        wal::Blank::open(&*self.env, &self.dir, number).inspect_err(|_| {
            let _ = self.env.remove_file(&path);
        })
    }

    /// Removes the blank log, if there is one.
    pub(super) fn remove_blank_log(&self) {
        if self.has_blank_log.swap(false, Ordering::AcqRel) {
            self.discard_blank();
        }
    }

    /// Removes the file; if that fails, the next open does.
    fn discard_blank(&self) {
        let _ = self.env.remove_file(&self.blank_path());
    }

    fn blank_path(&self) -> PathBuf {
        self.dir.join(BLANK_LOG_TMP)
    }
}

#[cfg(test)]
mod tests {
    use crate::db::DB;
    use crate::env::{Env, Fault, FaultEnv, MemEnv, Operation, PathKind};
    use crate::filename::BLANK_LOG_TMP;
    use crate::options::Options;
    use crate::sync::Arc;
    use std::path::Path;

    #[test]
    fn a_blank_log_that_cannot_be_made_or_used_is_done_without() {
        let cases = [
            (Operation::Create, BLANK_LOG_TMP),
            (Operation::Write, BLANK_LOG_TMP),
            (Operation::Sync, BLANK_LOG_TMP),
            (Operation::Rename, BLANK_LOG_TMP),
            (Operation::Open, ".log"),
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
