//! Group sync: many synced writers share one fdatasync, and a sync covers every earlier log.
//!
//! A writer that asked for `sync` waits until everything up to its record is durable. One of the writers leads:
//! it records how far the logs reach, syncs each unsynced log, oldest first, outside the lock, and wakes all.
//! Writers that a sync covered mostly return soon with their next write. So a sync waits for as many writers as
//! `group_wait.rs` expects; the writer that completes this number leads. If one does not return, another waiting
//! writer, the timed waiter, leads when its time is up.
//!
//! * SYNC-1  `synced` is a position up to which every log, from the first unsynced one on, is on stable
//!           storage.
//! * SYNC-2  A log's directory entry is synced, and the manifest knows that the log has synced records, before any
//!           record in it counts as synced. So if a synced log is missing later, that is damage and not the result of a
//!           crash. After a failed sync of the directory, the names it should have made durable stay uncertain (NAMES-1
//!           of `env/names.rs`): such a log counts as failed, whichever thread asked for that sync.
//! * SYNC-3  After a failed sync nothing more is acknowledged as synced until [`SyncGroup::restart`]: the kernel may
//!           have dropped the pages it could not write, and a later fdatasync would not say so.
//! * SYNC-4  Before a write is acknowledged as synced, the file SYNCED records it (WAL-5 of `wal/`), if that
//!           can be written.
//! * SYNC-5  Whenever a writer waits, there is a leader or a timed waiter, and both wake all waiters when they stop.

use std::collections::VecDeque;
use std::path::PathBuf;

use super::group_wait::GroupWait;
use super::log_file::{LogFile, LogPlace, NoteSynced};
use crate::db::panics::guarded;
use crate::env::{DurableName, EngineOnly, Env};
use crate::error::{Error, Result};
use crate::key::FileNumber;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard};
use crate::wal::{DurableLog, Synced, SyncedFile, SyncedLog};

/// The logs that are not wholly durable, and the writers that wait for them.
pub(super) struct SyncGroup {
    env: Arc<dyn Env>,
    dir: PathBuf,
    note_synced: Box<NoteSynced>,
    synced_file: Option<SyncedFile>,
    state: Mutex<GroupState>,
    finished: Condvar,
    syncs: AtomicU64,
    /// Whether `GroupState::failure` is set, readable without the lock.
    failed: AtomicBool,
    /// The number of failed directory syncs already taken into account (SYNC-2).
    seen_failures: AtomicU64,
}

struct GroupState {
    /// Oldest first; the last is the one being appended to.
    logs: VecDeque<Arc<LogFile>>,
    /// SYNC-1.
    synced: LogPlace,
    has_leader: bool,
    /// Whether one of the waiting writers is the timed waiter (SYNC-5).
    has_timed_waiter: bool,
    /// The places that are waited for and that no sync has reached.
    waiting: Vec<LogPlace>,
    /// Whether a sync waits for more of them.
    wait: GroupWait,
    /// SYNC-3.
    failure: Option<Error>,
}

impl GroupState {
    /// Whether a sync can begin without waiting for more writers.
    fn is_complete(&self) -> bool {
        self.wait.is_over(self.waiting.len())
    }

    fn forget_before(&mut self, number: FileNumber) {
        while self.logs.front().is_some_and(|log| log.number() < number) {
            self.logs.pop_front();
        }
        debug_assert!(
            !self.logs.is_empty(),
            "SYNC-1: the log that is appended to stays"
        );
    }

    /// `Ok` if everything up to `place` is durable, the error if it never will be; `None` if neither is known
    /// yet.
    fn outcome(&self, place: LogPlace) -> Option<Result<()>> {
        // A log that was forgotten is wholly durable in tables.
        let is_forgotten = |oldest: &Arc<LogFile>| oldest.number() > place.log;
        if self.synced >= place || self.logs.front().is_some_and(is_forgotten) {
            return Some(Ok(()));
        }
        self.failure.clone().map(Err)
    }
}

impl SyncGroup {
    pub(super) fn new(
        env: Arc<dyn Env>,
        dir: PathBuf,
        note_synced: Box<NoteSynced>,
        synced_file: Option<SyncedFile>,
        first: Arc<LogFile>,
    ) -> SyncGroup {
        let synced = LogPlace {
            log: first.number(),
            offset: first.synced().length(),
        };
        let state = GroupState {
            logs: VecDeque::from([first]),
            synced,
            has_leader: false,
            has_timed_waiter: false,
            waiting: Vec::new(),
            wait: GroupWait::default(),
            failure: None,
        };
        SyncGroup {
            env,
            dir,
            note_synced,
            synced_file,
            state: Mutex::new(state),
            finished: Condvar::new(),
            syncs: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            seen_failures: AtomicU64::new(0),
        }
    }

    /// Adds the log that appends go to from now on.
    pub(super) fn add(&self, log: Arc<LogFile>) {
        let mut state = self.state.lock();
        debug_assert!(
            state
                .logs
                .back()
                .is_none_or(|last| last.number() < log.number()),
            "SYNC-1: oldest first"
        );
        state.logs.push_back(log);
    }

    /// Forgets the logs before `number`: their contents are in durable tables.
    pub(super) fn forget_before(&self, number: FileNumber) {
        self.state.lock().forget_before(number);
    }

    /// Forgets every log but `log`, and a failure: all acknowledged writes are in durable tables (SYNC-3).
    pub(super) fn restart(&self, log: Arc<LogFile>) {
        let mut state = self.state.lock();
        debug_assert!(
            state
                .logs
                .back()
                .is_some_and(|last| Arc::ptr_eq(last, &log)),
            "SYNC-3: the log that stays is the one that is appended to"
        );
        state.synced = LogPlace {
            log: log.number(),
            offset: log.synced().length(),
        };
        state.logs = VecDeque::from([log]);
        state.failure = None;
        self.failed.store(false, Ordering::Release);
    }

    /// Closes the logs' files. Writers that still wait for a sync, because a flush failed, get `Closed`.
    pub(super) fn let_go(&self) {
        let logs: Vec<_> = self.state.lock().logs.iter().cloned().collect();
        logs.iter().for_each(|log| log.let_go());
        if let Some(file) = &self.synced_file {
            file.let_go();
        }
    }

    /// How often a log was synced.
    pub(super) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// Waits until everything up to `place` is durable; syncs it unless another thread does.
    pub(super) fn wait_for(&self, place: LogPlace) -> Result<()> {
        let mut state = self.state.lock();
        debug_assert!(
            state
                .logs
                .back()
                .is_some_and(|last| place.log <= last.number()),
            "SYNC-1: what is waited for is in one of the logs"
        );
        state.waiting.push(place);
        let mut is_patient = true;
        let outcome = loop {
            if let Some(outcome) = state.outcome(place) {
                break outcome;
            }
            if state.has_leader {
                self.finished.wait(&mut state);
            } else if state.is_complete() || !is_patient {
                self.lead(&mut state);
            } else if state.has_timed_waiter {
                self.finished.wait(&mut state);
            } else {
                is_patient = self.wait_for_writers(&mut state);
            }
        };
        // The sync that reached the place has taken it from the list. If a flush made it durable,
        // it is still there.
        if let Some(at) = state.waiting.iter().position(|other| *other == place) {
            state.waiting.swap_remove(at);
        }
        outcome
    }

    /// Waits for more writers, as the timed waiter; returns whether there is time left to wait.
    fn wait_for_writers(&self, state: &mut MutexGuard<'_, GroupState>) -> bool {
        debug_assert!(
            !state.has_leader && !state.has_timed_waiter,
            "SYNC-5: a leader or one timed waiter"
        );
        state.has_timed_waiter = true;
        let longest = state.wait.longest();
        let woken = self.finished.wait_for(state, longest);
        state.has_timed_waiter = false;
        if !state.has_leader {
            // If this thread has nothing left to wait for, another thread has to lead.
            self.finished.notify_all();
        }
        !woken.timed_out()
    }

    /// Syncs the logs and wakes all waiting writers.
    fn lead(&self, state: &mut MutexGuard<'_, GroupState>) {
        debug_assert!(!state.has_leader, "SYNC-5: one leader at a time");
        state.has_leader = true;
        let waiting = state.waiting.len();
        state.wait.sync_begins(waiting);
        let logs: Vec<Arc<LogFile>> = state.logs.iter().cloned().collect();
        let (outcome, micros) = MutexGuard::unlocked(state, || {
            let started = self.env.now_micros();
            // A panic counts as a failed sync, because others wait for this one.
            let outcome = guarded(|| self.sync_all(&logs));
            (outcome, self.env.now_micros().saturating_sub(started))
        });
        state.has_leader = false;
        let waiting = state.waiting.len();
        state.wait.sync_ended(waiting, micros);
        match outcome {
            Ok(reached) => {
                state.synced = state.synced.max(reached);
                // All but the last of `logs` get no more records.
                state.forget_before(reached.log);
                let synced = state.synced;
                debug_assert!(
                    state
                        .logs
                        .front()
                        .is_none_or(|log| log.number() >= reached.log),
                    "SYNC-1: from the first unsynced log on"
                );
                state.waiting.retain(|place| *place > synced);
            }
            Err(error) => {
                state.failure = Some(error);
                self.failed.store(true, Ordering::Release);
            }
        }
        self.finished.notify_all();
    }

    /// Syncs `logs` in order; returns how far the last one reached when its sync began.
    fn sync_all(&self, logs: &[Arc<LogFile>]) -> Result<LogPlace> {
        debug_assert!(
            logs.is_sorted_by(|older, newer| older.number() < newer.number()),
            "SYNC-1: oldest first"
        );
        let mut reached = LogPlace {
            log: FileNumber(0),
            offset: 0,
        };
        for log in logs {
            self.syncs.fetch_add(1, Ordering::Relaxed);
            reached = LogPlace {
                log: log.number(),
                offset: log.sync(&*self.env, &self.dir, &self.note_synced)?,
            };
        }
        if let (Some(file), Some(log)) = (&self.synced_file, logs.last()) {
            file.write(SyncedLog {
                number: log.number(),
                log_id: log.log_id(),
                synced: Synced::up_to(reached.offset),
            });
        }
        Ok(reached)
    }

    /// Whether an earlier sync of a log failed (SYNC-3), or a sync of the directory that a log's name
    /// needs (SYNC-2).
    #[inline]
    pub(super) fn has_failed(&self) -> bool {
        if self.env.failed_dir_syncs(EngineOnly) != self.seen_failures.load(Ordering::Relaxed) {
            self.look_at_names();
        }
        self.failed.load(Ordering::Acquire)
    }

    #[cold]
    fn look_at_names(&self) {
        let failures = self.env.failed_dir_syncs(EngineOnly);
        // After the count, which rises once the failure is kept.
        let failure = self.env.dir_sync_failure(EngineOnly);
        let mut state = self.state.lock();
        self.seen_failures.store(failures, Ordering::Relaxed);
        let is_uncertain = state.logs.iter().any(|log| log.may_vanish(&*self.env));
        if is_uncertain && state.failure.is_none() {
            state.failure = failure;
            self.failed
                .store(state.failure.is_some(), Ordering::Release);
        }
    }

    /// The proof that the log `number`, which was made before the directory was `synced`, has a durable name.
    /// `None` if the name is uncertain.
    pub(super) fn durable_log(
        &self,
        number: FileNumber,
        synced: DurableName,
    ) -> Option<DurableLog> {
        let state = self.state.lock();
        let mut logs = state.logs.iter().filter(|log| log.number() == number);
        let is_uncertain = logs.any(|log| log.may_vanish(&*self.env));
        (!is_uncertain).then(|| DurableLog::new(number, synced))
    }

    /// The failure of an earlier sync, if any (SYNC-3).
    pub(super) fn failure(&self) -> Option<Error> {
        self.state.lock().failure.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::env::{MemEnv, Names};

    fn group() -> SyncGroup {
        let env: Arc<dyn Env> = Arc::new(MemEnv::new());
        let file = env.create_new(Path::new("/log")).unwrap();
        let name = Names::made_from_now(&*env);
        let first = LogFile::new(FileNumber(1), 0, file, 0, name);
        SyncGroup::new(env, "/".into(), Box::new(|_| Ok(())), None, first)
    }

    #[test]
    fn a_log_is_durable_up_to_where_its_last_sync_began() {
        let group = group();
        let log = group.state.lock().logs[0].clone();
        log.set_end(30);
        group
            .wait_for(LogPlace {
                log: FileNumber(1),
                offset: 30,
            })
            .unwrap();
        assert_eq!((log.synced(), group.syncs()), (Synced::up_to(30), 1));
    }
}
