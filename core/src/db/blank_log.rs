//! A log file that waits to be the next one.
//!
//! The sync of a new file waits for the file system's journal, which may be busy for a tenth of a second with tables that a
//! compaction has deleted, and writers would wait for that whenever a memtable is full. So the flush thread makes the next
//! file ahead. Sealing overwrites zeros in it, and their sync is one of bytes alone.
//!
//! * L1  Until it is taken it holds zeros: recovery passes over it as over a log whose creation was not finished.
//! * L2  The numbers of logs ascend in the order in which they are begun, whether that succeeds: recovery prefers the highest of
//!       those that name one predecessor (R2 of `recovery.rs`). While the blank log was made, a seal may have begun one of a higher
//!       number itself: then the blank one is of no use.

use super::shared::Shared;
use crate::env::Names;
use crate::error::Result;
use crate::filename::log_path;
use crate::key::FileNumber;
use crate::wal;

/// See the head of the file.
pub(super) struct BlankLog {
    pub(super) log: wal::Blank,
    /// When its name was made.
    pub(super) name: Names,
}

impl Shared {
    /// Makes a blank log unless there is one. Failing that, or on a disk with little room, the next seal makes its log itself.
    pub(super) fn prepare_log(&self) {
        if self.blank_log.lock().is_some() || !self.is_roomy() {
            return;
        }
        match self.make_blank_log() {
            Ok(blank) => *self.blank_log.lock() = Some(blank),
            Err(error) => self.note(format_args!("cannot make a log ahead: {error}")),
        }
    }

    /// The flush thread alone calls it, so there is one blank log at most.
    fn make_blank_log(&self) -> Result<BlankLog> {
        let name = Names::made_from_now(&*self.env);
        let number = self.file_numbers.allocate();
        let log = wal::Blank::create(&*self.env, &self.dir, number).inspect_err(|_| {
            self.discard_blank(number);
        })?;
        Ok(BlankLog { log, name })
    }

    /// The blank log, for a log to begin in it when `newest` is the highest number that was begun (L2); not one whose name is
    /// in doubt.
    pub(super) fn take_blank_log(&self, newest: FileNumber) -> Option<BlankLog> {
        let blank = self.blank_log.lock().take()?;
        if blank.log.number() < newest || blank.name.are_in_doubt(&*self.env) {
            self.discard_blank(blank.log.number());
            return None;
        }
        Some(blank)
    }

    /// Removes the blank log, if there is one.
    pub(super) fn remove_blank_log(&self) {
        if let Some(blank) = self.blank_log.lock().take() {
            self.discard_blank(blank.log.number());
        }
    }

    /// Removes the file of a blank log; if that fails, the next open does.
    fn discard_blank(&self, number: FileNumber) {
        let _ = self.env.remove_file(&log_path(&self.dir, number));
    }
}

#[cfg(test)]
mod tests {
    use crate::db::DB;
    use crate::env::{Fault, FaultEnv, MemEnv, Operation};
    use crate::options::Options;
    use crate::sync::Arc;

    #[test]
    fn a_blank_log_that_a_seal_has_overtaken_is_not_used() {
        let env: Arc<MemEnv> = Arc::new(MemEnv::new());
        let open = || {
            let options = Options::new().env(env.clone()).manual_background(true);
            DB::open("/db", options).unwrap()
        };
        let db = open();
        let blank = db.shared().make_blank_log().unwrap();
        db.put(b"a", b"1").unwrap();
        db.flush().unwrap();
        *db.shared().blank_log.lock() = Some(blank);
        db.put(b"b", b"2").unwrap();
        db.flush().unwrap();
        assert!(db.shared().blank_log.lock().is_none());
        db.put(b"c", b"3").unwrap();
        drop(db);
        assert_eq!(open().iter().count(), 3);
    }

    #[test]
    fn a_blank_log_does_not_follow_one_of_a_higher_number_that_failed_and_stayed() {
        let env = FaultEnv::new(Arc::new(MemEnv::new()), 0);
        let open = || {
            let options = Options::new().env(Arc::new(env.clone()));
            DB::open("/db", options.manual_background(true)).unwrap()
        };
        let db = open();
        let blank = db.shared().make_blank_log().unwrap();
        db.put(b"a", b"1").unwrap();
        // A log has its header, and neither its sync nor its removal succeeds.
        env.inject(Fault::new(&[Operation::Sync], libc::EIO).on_path(".log"));
        env.inject(Fault::new(&[Operation::Remove], libc::EIO).on_path(".log"));
        assert!(db.flush().is_err());
        assert_eq!(env.injected(), 2);
        env.clear();
        *db.shared().blank_log.lock() = Some(blank);
        db.put(b"b", b"2").unwrap();
        drop(db);
        assert_eq!(open().iter().count(), 2);
    }
}
