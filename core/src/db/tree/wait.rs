//! Lets threads wait for flushes and compactions, and do that work themselves where no thread does it.
//!
//! Elsewhere: how fast writers are admitted (`stall.rs`), and waiting for space (`reserve.rs`).

use super::Tree;
use super::stall::Pace;
use super::state::State;
use crate::compaction::{self, RunningCompaction};
use crate::effort;
use crate::error::{Error, Result};
use crate::key::{FileNumber, SequenceNumber};
use crate::sync::Arc;

impl Tree {
    /// Admits a write of `bytes` bytes, at once unless compaction is behind. Errors: those of the compaction that
    /// should have made room.
    #[inline]
    pub(in crate::db) fn admit(&self, bytes: u64) -> Result<()> {
        match self.stall.pace() {
            Pace::Free => Ok(()),
            pace => self.wait_for_admission(bytes, pace),
        }
    }

    #[cold]
    fn wait_for_admission(&self, bytes: u64, pace: Pace) -> Result<()> {
        debug_assert!(pace != Pace::Free, "a free writer does not wait");
        let env = self.context.env();
        let started = env.now_micros();
        let outcome = match pace {
            Pace::Stopped => effort::wait()
                .and_then(|()| self.wait_for_compaction(|| self.stall.pace() != Pace::Stopped)),
            Pace::Free => Ok(()),
            Pace::Rate(rate) => {
                let may_wait = !self.works_in_callers();
                self.stall.take_share(bytes, rate, started, may_wait);
                Ok(())
            }
        };
        self.stall
            .add_micros(env.now_micros().saturating_sub(started));
        outcome
    }

    /// Waits until a compaction of level 0 has made `done` true. Returns the error of a compaction that began after
    /// this call and failed, unless one of level 0 is under way, or the failure set tables aside that level 0 does
    /// not need.
    fn wait_for_compaction(&self, done: impl Fn() -> bool) -> Result<()> {
        let mut state = self.state.lock();
        state.compaction_requests += 1;
        let request = state.compaction_requests;
        self.changed.notify_all();
        while !done() {
            self.context.check_open()?;
            self.order.check()?;
            if let Some(number) = self.level0_waits_for(&state) {
                return Err(state.why_set_aside(number));
            }
            if self.works_in_callers() {
                // Tries now, even if an earlier step failed. A step that fails and sets tables aside does not end the
                // wait: the next step picks others.
                let set_aside = state.set_aside.len();
                drop(state);
                let outcome = self.work();
                state = self.state.lock();
                if state.set_aside.len() == set_aside {
                    outcome?;
                }
            } else if let Some(failure) = &state.compaction_failure
                && failure.requests >= request
                && !state.running.iter().any(RunningCompaction::is_of_level0)
            {
                return Err(failure.error.clone());
            } else {
                state.wait(&self.changed);
            }
        }
        Ok(())
    }

    /// A table that was set aside although level 0 needs it to become smaller, if there is one.
    fn level0_waits_for(&self, state: &State) -> Option<FileNumber> {
        if state.set_aside.is_empty() {
            return None;
        }
        let version = Arc::clone(&self.superversion.load().version);
        compaction::level0_waits_for(&version, &state.taken(), &self.picker_options())
    }

    /// Waits until a flush has made room for another sealed memtable. If flushing fails, lets it try once more
    /// and returns the error of that attempt.
    pub(in crate::db) fn wait_for_room_to_seal(&self) -> Result<()> {
        let started = self.context.env().now_micros();
        let outcome = self.wait_for_flushes(|tree| tree.has_room_to_seal());
        self.stall
            .add_micros(self.context.env().now_micros().saturating_sub(started));
        outcome
    }

    /// Waits until every memtable with a write at or before `last` is in a durable table.
    pub(in crate::db) fn wait_until_flushed(&self, last: SequenceNumber) -> Result<()> {
        self.wait_for_flushes(|tree| {
            tree.superversion
                .load()
                .sealed
                .iter()
                .all(|sealed| sealed.last_sequence > last)
        })
    }

    fn wait_for_flushes(&self, done: impl Fn(&Tree) -> bool) -> Result<()> {
        let mut state = self.state.lock();
        let seen = state.flush_attempts;
        state.flush_requests += 1;
        self.doorbell.ring();
        while !done(self) {
            if self.order.is_stopped() {
                return self.order.check();
            }
            if state.stop_flushing {
                return Err(Error::closed("the database"));
            }
            if let Some(failure) = &state.flush_failure
                && state.flush_attempts > seen
            {
                return Err(failure.clone());
            }
            if self.works_in_callers() {
                drop(state);
                self.flush_in_caller()?;
                state = self.state.lock();
                continue;
            }
            state.wait(&self.changed);
        }
        Ok(())
    }

    /// Flushes the oldest memtable, and then runs the compactions that are due, unless a test decides when to run
    /// them.
    fn flush_in_caller(&self) -> Result<()> {
        // COMPACT-1.
        let _callers = self.callers.lock();
        self.check_flushing()?;
        self.flush_oldest()?;
        if !self.context.options().manual_background {
            let next = || self.pick(&mut self.state.lock());
            // The threads that need the compaction get the error. It is tried again after the next flush.
            while let Some(plan) = next()
                && self.run_compaction(plan).is_ok()
            {}
            self.delete_obsolete_tables();
        }
        Ok(())
    }

    /// Refuses a flush by a caller once the background work is stopped ([`Tree::stop`]).
    fn check_flushing(&self) -> Result<()> {
        match self.state.lock().stop_flushing {
            true => Err(Error::closed("the database")),
            false => Ok(()),
        }
    }

    /// Flushes a memtable or compacts, if either is due; returns whether there was something to do.
    pub(in crate::db) fn work(&self) -> Result<bool> {
        {
            let _callers = self.callers.lock();
            self.check_flushing()?;
            if self.flush_oldest()? {
                return Ok(true);
            }
        }
        let plan = self.pick(&mut self.state.lock());
        match plan {
            Some(plan) => self.run_compaction(plan).map(|()| true),
            None => {
                self.delete_obsolete_tables();
                Ok(false)
            }
        }
    }
}
