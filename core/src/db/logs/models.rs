//! Models of the sync group and of the log that is made ahead.
//!
//! Each comment names changes of the code that the model has to catch.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::blank_log::BlankLog;
use super::log_file::{LogFile, LogPlace};
use super::sync_group::SyncGroup;
use crate::env::{Call, Env, FaultEnv, File, MemEnv, Names, PowerCut, PowerLoss};
use crate::error::{Error, Result};
use crate::filename::log_path;
use crate::key::FileNumber;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use crate::sync::checker::check;
use crate::sync::{Arc, Mutex, thread};
use crate::wal::DurableLog;

/// A log on a disk that keeps exactly what was synced.
#[derive(Default)]
struct DiskLog {
    written: AtomicU64,
    durable: AtomicU64,
    has_entry: AtomicBool,
    is_noted: AtomicBool,
    fails: AtomicBool,
}

impl File for DiskLog {
    fn sync(&self) -> Result<()> {
        // The sync may miss what is written while it runs.
        let written = self.written.load(SeqCst);
        if self.fails.swap(false, SeqCst) {
            return Err(Error::internal("the disk failed"));
        }
        self.durable.fetch_max(written, SeqCst);
        Ok(())
    }

    fn read_at(&self, _: u64, _: &mut [u8]) -> Result<usize> {
        unreachable!("a sync group reads nothing")
    }

    fn write_at(&self, _: u64, _: &[u8]) -> Result<()> {
        unreachable!("a sync group writes nothing")
    }

    fn start_writeback(&self, _: u64, _: u64) {}

    fn len(&self) -> Result<u64> {
        Ok(self.written.load(SeqCst))
    }

    fn set_len(&self, _: u64) -> Result<()> {
        unreachable!("a sync group cuts nothing")
    }

    fn allocate(&self, _: u64) -> Result<()> {
        unreachable!("a sync group sets nothing aside")
    }
}

/// Two logs, the group, and the log's lock with which of them is appended to.
struct Logs {
    disk: [Arc<DiskLog>; 2],
    files: [Arc<LogFile>; 2],
    group: SyncGroup,
    current: Mutex<usize>,
    in_tables: AtomicBool,
}

impl Logs {
    fn new() -> Arc<Logs> {
        let disk: [Arc<DiskLog>; 2] = Default::default();
        disk[0].has_entry.store(true, SeqCst);
        let env = FaultEnv::new(Arc::new(MemEnv::new()), 1);
        let name = Names::made_from_now(&env);
        let file = |at: usize| {
            let disk: Arc<dyn File> = disk[at].clone();
            LogFile::new(FileNumber(at as u64 + 1), 0, disk, 0, name)
        };
        let files = [file(0), file(1)];
        let second = disk[1].clone();
        env.set_hook(Some(Arc::new(move |operation, _: &Path| {
            if operation == Call::SyncDir {
                second.has_entry.store(true, SeqCst);
            }
        })));
        let env: Arc<dyn Env> = Arc::new(env);
        let noted = disk.clone();
        let note = Box::new(move |log: &DurableLog| {
            let log = &noted[log.number().0 as usize - 1];
            assert!(log.has_entry.load(SeqCst), "SYNC-2: noted, and may vanish");
            log.is_noted.store(true, SeqCst);
            Ok(())
        });
        Arc::new(Logs {
            group: SyncGroup::new(env, PathBuf::from("/"), note, None, files[0].clone()),
            disk,
            files,
            current: Mutex::new(0),
            in_tables: AtomicBool::new(false),
        })
    }

    /// Appends a record as `commit` does.
    fn append(&self) -> LogPlace {
        let current = self.current.lock();
        let end = self.disk[*current].written.fetch_add(10, SeqCst) + 10;
        self.files[*current].set_end(end);
        self.files[*current].place(end)
    }

    /// Goes on to the second log as `seal` does.
    fn switch(&self) {
        let mut current = self.current.lock();
        self.group.add(self.files[1].clone());
        *current = 1;
    }

    /// Checks what an acknowledged sync promises: the record and all before it are durable.
    fn check(&self, place: LogPlace) {
        let at = place.log.0 as usize - 1;
        if at == 0 && self.in_tables.load(SeqCst) {
            return;
        }
        let durable = self.disk[at].durable.load(SeqCst);
        assert!(
            durable >= place.offset,
            "the record was acknowledged too early"
        );
        let [entry, noted] =
            [&self.disk[at].has_entry, &self.disk[at].is_noted].map(|flag| flag.load(SeqCst));
        assert!(entry && noted, "SYNC-2: the log may vanish");
        if at == 1 && !self.in_tables.load(SeqCst) {
            let [durable, written] =
                [&self.disk[0].durable, &self.disk[0].written].map(|bytes| bytes.load(SeqCst));
            assert!(durable == written, "SYNC-1: an earlier log has a hole");
        }
    }
}

/// SYNC-1 and SYNC-2, while logs are switched and forgotten. Fails if `LogFile::sync` takes the end after its sync; if
/// it does not sync the directory; if only the newest log is synced; if the leader or the timed waiter does not notify
/// (SYNC-5), or the timed waiter stays one; if `switch`, which acts as `seal`, lets appends into a log that the group
/// does not know.
#[test]
fn a_synced_write_is_durable_with_all_before_it() {
    check("sync group", 2_000, || {
        let logs = Logs::new();
        let threads = [0, 1].map(|_| {
            let logs = logs.clone();
            thread::spawn(move || {
                for _ in 0..2 {
                    let place = logs.append();
                    logs.group.wait_for(place).unwrap();
                    logs.check(place);
                }
            })
        });
        logs.append();
        logs.switch();
        let place = logs.append();
        logs.in_tables.store(true, SeqCst);
        logs.group.forget_before(FileNumber(2));
        logs.group.wait_for(place).unwrap();
        logs.check(place);
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
}

/// The same without a flush, so that the first log is only ever synced.
#[test]
fn a_synced_write_covers_the_log_before_its_own() {
    check("sync group switch", 2_000, || {
        let logs = Logs::new();
        let threads = [0, 1].map(|_| {
            let logs = logs.clone();
            thread::spawn(move || {
                logs.append();
                let place = logs.append();
                logs.group.wait_for(place).unwrap();
                logs.check(place);
            })
        });
        logs.switch();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
}

/// SYNC-3. Fails if the leader forgets the failure it met, or if a failure leaves `has_leader` set (a deadlock).
#[test]
fn after_a_failed_sync_nothing_is_acknowledged_until_a_restart() {
    check("sync group failure", 2_000, || {
        let logs = Logs::new();
        logs.disk[0].fails.store(true, SeqCst);
        let threads = [0, 1].map(|_| {
            let logs = logs.clone();
            thread::spawn(move || {
                let place = logs.append();
                if logs.group.wait_for(place).is_ok() {
                    logs.check(place);
                    assert!(logs.in_tables.load(SeqCst), "SYNC-3");
                }
            })
        });
        let place = logs.append();
        if logs.group.wait_for(place).is_ok() {
            panic!("SYNC-3: acknowledged after a failure");
        }
        // As `start_over` does: what was acknowledged is in tables, and a new log begins.
        logs.switch();
        logs.in_tables.store(true, SeqCst);
        logs.group.restart(logs.files[1].clone());
        let place = logs.append();
        logs.group.wait_for(place).unwrap();
        logs.check(place);
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
}

/// BLANK-1 and BLANK-2 of `blank_log.rs`. Fails if `take` says that there is none before it has given it a log's name,
/// or if `make` says that there is one before its zeros are durable.
#[test]
fn a_log_made_ahead_has_durable_zeros_when_it_gets_a_logs_name() {
    check("blank log", 2_000, || {
        let (env, dir) = (MemEnv::new(), Path::new("/db"));
        env.create_dir_all(dir).unwrap();
        let blank_log = Arc::new(BlankLog::default());
        let maker = {
            let (env, blank_log) = (env.clone(), blank_log.clone());
            thread::spawn(move || {
                for _ in 0..8 {
                    let _ = blank_log.make(&env, dir);
                }
            })
        };
        for number in (1..=8).map(FileNumber) {
            if let Ok(Some(_)) = blank_log.take(&env, dir, number) {
                let cut = PowerCut {
                    bytes: Some(PowerLoss::Everything),
                    names: Some(PowerLoss::Nothing),
                    seed: 0,
                };
                let after = env.power_cut_as(cut, &mut BTreeSet::new());
                let file = after.open_read(&log_path(dir, number)).unwrap();
                let mut bytes = vec![1; file.len().unwrap() as usize];
                file.read_at(0, &mut bytes).unwrap();
                assert!(!bytes.is_empty() && bytes.iter().all(|byte| *byte == 0));
            }
            thread::yield_now();
        }
        maker.join().unwrap();
    });
}
