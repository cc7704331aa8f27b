//! Runs compactions, and handles failed ones.
//!
//! `compaction/` decides what to compact. A failed compaction is tried again when the tree has changed, when a
//! writer waits for one, or after a growing pause.
//!
//! * COMPACT-1  At most one thread flushes; compactions that run at the same time share no file and no output
//!              range (the picker ensures this from the plans in `State::running`).
//! * COMPACT-2  A compaction checks for a stop between two entries, so threads end within a bounded time.
//! * COMPACT-3  A panic ends one round of a thread's work, never the thread. The threads that wait for that
//!              work get an error, its running mark is removed, and the thread continues with its next round.
//!
//! Elsewhere: waiting for a compaction (`wait.rs`), installing its edit (`install.rs`).

use std::time::{Duration, Instant};

use super::Tree;
use super::state::{CompactionFailure, State};
use crate::compaction::{self, PickerOptions, Plan, RangePlan, RunningCompaction};
use crate::content::Sum;
use crate::db::locks::Locked;
use crate::db::panics::guarded;
use crate::error::{Error, ErrorKind, Result};
use crate::key::FileNumber;
use crate::memory;
use crate::sync::Arc;
use crate::version::{LEVELS, Version};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(5);

impl Tree {
    /// A compaction thread.
    pub(in crate::db) fn compaction_loop(&self) {
        let mut pause = FIRST_PAUSE;
        let mut is_stopped = false;
        while !is_stopped {
            match guarded(|| self.compaction_round(&mut pause)) {
                Ok(ended) => is_stopped = ended,
                Err(panicked) => {
                    self.compaction_failed(panicked);
                    self.pause_compacting(pause);
                    pause = (pause * 2).min(MAX_PAUSE);
                }
            }
        }
    }

    /// Waits until a compaction is due and runs it; returns whether the thread must stop.
    fn compaction_round(&self, pause: &mut Duration) -> Result<bool> {
        let mut state = self.state.lock();
        let plan = loop {
            if state.stop_compacting {
                return Ok(true);
            }
            self.context.step("a compaction thread looks for work");
            match self.pick(&mut state) {
                Some(plan) => break plan,
                None => match self.until_upkeep(&state) {
                    None => state.wait(&self.changed),
                    Some(limit) => {
                        state.wait_for(&self.changed, limit);
                    }
                },
            }
        };
        drop(state);
        match self.run_compaction(plan) {
            Ok(()) => *pause = FIRST_PAUSE,
            Err(_) => {
                self.context.step("a compaction thread pauses");
                self.pause_compacting(*pause);
                *pause = (*pause * 2).min(MAX_PAUSE);
            }
        }
        Ok(false)
    }

    /// Pauses after a failure, until the tree changes or a writer waits for a compaction, for at most `pause`.
    fn pause_compacting(&self, pause: Duration) {
        let mut state = self.state.lock();
        let failed_on = Arc::clone(&self.superversion.load().version);
        let until = Instant::now() + pause;
        while !state.stop_compacting
            && let Some(failure) = &state.compaction_failure
            && failure.requests == state.compaction_requests
            && Arc::ptr_eq(&self.superversion.load().version, &failed_on)
            && !state.wait_until(&self.changed, until).timed_out()
        {}
    }

    /// Passes `error`, from a compaction thread, to the threads that wait for a compaction.
    pub(super) fn compaction_failed(&self, error: Error) {
        let mut state = self.state.lock();
        state.compaction_failure = Some(CompactionFailure {
            error,
            requests: state.compaction_requests,
        });
        self.changed.notify_all();
    }

    /// Takes the next compaction that the tree needs, if it needs one, and marks it as running.
    pub(in crate::db) fn pick(&self, state: &mut Locked<'_, State>) -> Option<Plan> {
        let version = Arc::clone(&self.superversion.load().version);
        // After a stop of publication no edit can be installed; after one of the background work, which closing
        // waits for, none may begin.
        if state.stop_compacting || !self.has_space_to_compact(state) || self.order.is_stopped() {
            return None;
        }
        let options = self.picker_options();
        let plan = compaction::pick(&version, &state.taken(), &options)
            .or_else(|| self.pick_upkeep(state, &version, &options))?;
        state.mark(plan.running());
        Some(plan)
    }

    /// Runs a plan that is marked as running, and unmarks it.
    pub(in crate::db) fn run_compaction(&self, plan: Plan) -> Result<()> {
        let marked = Marked {
            tree: self,
            id: plan.id(),
        };
        let requests = self.state.lock().compaction_requests;
        let is_of_level0 = plan.level() == 0;
        let mut has_set_aside = false;
        let outcome = guarded(|| {
            self.context.step("a compaction begins");
            let outcome = self.compact(plan, &mut has_set_aside);
            self.context.step("a compaction has ended");
            outcome
        });
        self.context.step("a compaction is to be reported");
        let mut state = self.state.lock();
        let finished = marked.remove(&mut state);
        // If level 0 needs a skipped table, `level0_waits_for` reports that to the writer. Otherwise it blocks
        // no writer.
        if outcome.is_ok() || is_of_level0 || !has_set_aside {
            state.compaction_failure = outcome.as_ref().err().map(|error| CompactionFailure {
                error: error.clone(),
                requests,
            });
        }
        let tidying = self.begin_tidying(&mut state);
        self.changed.notify_all();
        let stopping = state.stop_compacting;
        drop(state);
        self.context.step("a compaction was reported");
        drop(finished);
        let tidied = tidying.run(|| {
            self.context.step("a compaction is tidied up after");
            self.delete_obsolete_tables();
            self.adjust_reserve();
            memory::return_large_pieces();
        });
        let outcome = outcome.and(tidied);
        if let Err(error) = &outcome
            && !stopping
        {
            self.context
                .note(format_args!("compaction failed: {error}"));
        }
        self.context.step("a compaction was noted");
        outcome
    }

    /// Announces work on files, so that `close` waits for its end.
    fn begin_tidying(&self, state: &mut State) -> Tidying<'_> {
        state.tidying += 1;
        Tidying(self)
    }

    /// Carries out a plan and shows its result. Sets `has_set_aside` if it fails in a way that sets tables aside.
    fn compact(&self, plan: Plan, has_set_aside: &mut bool) -> Result<()> {
        let refuse = |error: Error, has_set_aside: &mut bool| {
            // A plan or a table that came out wrong would come out wrong again. Setting the tables aside lets the
            // picker pick others, not these for ever.
            if error.kind() == ErrorKind::Internal && !self.order.is_stopped() {
                let inputs: Vec<_> = plan.inputs().map(|file| file.number).collect();
                self.set_aside(&inputs, &error);
                *has_set_aside = true;
            }
            error
        };
        plan.check().map_err(|error| refuse(error, has_set_aside))?;
        if plan.is_drop() || plan.is_trivial_move() {
            let outcome = match plan.is_drop() {
                true => self.drop_tables(&plan),
                false => self.move_table(&plan),
            };
            return outcome.map_err(|error| refuse(error, has_set_aside));
        }
        let context = compaction::JobContext {
            env: self.space.for_compactions(),
            dir: self.context.dir(),
            tables: &self.tables,
            table_options: self.table_options(),
            // SNAPSHOT-1: every snapshot is either registered before this line, or at a number published later than
            // this. The compaction keeps what it sees either way.
            visible: self.order.visible(),
            readers: &|| self.order.readers(),
            target_file_size: self.context.options().target_file_size,
            new_file_number: &|| self.file_numbers.allocate(),
            should_stop: &|| {
                self.context.step("entries are compacted");
                self.state.lock().stop_compacting
            },
            note: &|error| {
                self.context.note(format_args!(
                    "compaction failed, it will be retried: {error}"
                ))
            },
        };
        let output = compaction::run(&plan, &context).map_err(|failure| {
            self.set_aside(&failure.set_aside, &failure.error);
            *has_set_aside = !failure.set_aside.is_empty();
            failure.error
        })?;
        self.context.step("a compaction's tables are written");
        if let Err(error) = plan.check_edit(&output.edit) {
            let written = output.edit.added.iter().map(|(_, table)| table.number);
            written.for_each(|number| self.obsolete.push(number));
            return Err(refuse(error, has_set_aside));
        }
        self.install(output.edit, output.gained, |_| {})
            .map_err(|error| refuse(error, has_set_aside))?;
        let metrics = self.context.metrics();
        metrics.compactions.add(1);
        metrics.compaction_bytes_read.add(output.bytes_read);
        metrics.compaction_bytes_written.add(output.bytes_written);
        self.context.note(format_args!(
            "compacted level {} into {}: {} bytes with {} entries to {} bytes with {}",
            plan.level(),
            plan.output_level(),
            output.bytes_read,
            output.entries_read,
            output.bytes_written,
            output.entries_written
        ));
        Ok(())
    }

    /// Removes the tables of a plan unread (DROP-1).
    fn drop_tables(&self, plan: &Plan) -> Result<()> {
        plan.check_drop(&self.order.readers())?;
        let (edit, gained) = plan.drop_edit();
        plan.check_edit(&edit)?;
        self.install(edit, gained, |_| {})?;
        let dropped = Sum::default() - gained;
        self.context.note(format_args!(
            "dropped {} bytes of level {} with {} deleted entries",
            plan.input_bytes(),
            plan.level(),
            dropped.entries()
        ));
        Ok(())
    }

    /// Moves the table of a trivial move.
    fn move_table(&self, plan: &Plan) -> Result<()> {
        let edit = plan.trivial_edit();
        plan.check_edit(&edit)?;
        self.install(edit, Sum::default(), |_| {})?;
        let moved = plan.inputs().count() as u64;
        self.context.metrics().trivial_moves.add(moved);
        Ok(())
    }

    /// Keeps compactions off `tables` until the database is opened again. The tables stay readable.
    fn set_aside(&self, tables: &[FileNumber], error: &Error) {
        let mut state = self.state.lock();
        for &number in tables {
            state.set_aside.push((number, error.clone()));
        }
        drop(state);
        for number in tables {
            self.context.note(format_args!(
                "table {number} is left out of compactions: {error}"
            ));
        }
    }

    /// Compacts a range of user keys in tables; see `DB::compact_range`.
    ///
    /// Compacts each level into the next, from the top down to the deepest one with keys of the range, and then
    /// rewrites that one.
    pub(in crate::db) fn compact_range(
        &self,
        start: Option<&[u8]>,
        end: Option<&[u8]>,
    ) -> Result<()> {
        if let (Some(start), Some(end)) = (start, end)
            && start >= end
        {
            return Ok(());
        }
        let before = self.file_numbers.allocate();
        let tidying = {
            let mut state = self.state.lock();
            if state.stop_compacting {
                return Err(Error::closed("the database"));
            }
            self.begin_tidying(&mut state)
        };
        // The disk may have filled since the last look.
        tidying.run(|| self.adjust_reserve())?;
        let deepest = {
            // Not kept in a variable: the tables that it holds could not be deleted.
            let version = Arc::clone(&self.superversion.load().version);
            let holds = |level: &usize| !version.overlapping(*level, start, end).is_empty();
            (1..LEVELS).rev().find(holds).unwrap_or(1)
        };
        for level in 0..deepest {
            self.compact_steps(start, |version, from, running, options| {
                compaction::plan_range(version, level, from, end, running, options)
            })?;
        }
        self.compact_steps(start, |version, from, running, options| {
            compaction::plan_rewrite(version, deepest, from, end, before, running, options)
        })
    }

    /// Runs the plans that `plan` returns, each from where the last one ended, until `plan` has no more.
    fn compact_steps(
        &self,
        start: Option<&[u8]>,
        plan: impl Fn(&Version, Option<&[u8]>, &[RunningCompaction], &PickerOptions) -> RangePlan,
    ) -> Result<()> {
        let mut from = start.map(<[u8]>::to_vec);
        loop {
            self.context.check_open()?;
            self.order.check()?;
            let mut state = self.state.lock();
            let version = Arc::clone(&self.superversion.load().version);
            if state.stop_compacting {
                return Err(Error::closed("the database"));
            }
            if !self.has_space_to_compact(&state) {
                state.wait(&self.changed);
                continue;
            }
            let options = self.picker_options();
            match plan(&version, from.as_deref(), &state.taken(), &options) {
                RangePlan::Done => return Ok(()),
                RangePlan::Busy => state.wait(&self.changed),
                RangePlan::SetAside(number) => return Err(state.why_set_aside(number)),
                RangePlan::Ready(plan) => {
                    state.mark(plan.running());
                    drop(state);
                    drop(version);
                    let next = plan.next_start();
                    debug_assert!(
                        from.as_deref() < Some(&next[..]),
                        "each plan begins behind the last one, so that they end"
                    );
                    from = Some(next);
                    self.run_compaction(plan)?;
                }
            }
        }
    }
}

/// A compaction that is marked as running. Dropping this, as a panic does, removes the mark (COMPACT-3).
struct Marked<'a> {
    tree: &'a Tree,
    id: FileNumber,
}

impl Marked<'_> {
    /// Removes its mark. After releasing `state`, the caller drops the result and wakes the waiting threads.
    fn remove(self, state: &mut State) -> Option<RunningCompaction> {
        let found = self.find(state);
        debug_assert!(found.is_some(), "COMPACT-3: a mark is removed once");
        std::mem::forget(self);
        found
    }

    fn find(&self, state: &mut State) -> Option<RunningCompaction> {
        state.settled = None;
        let mut running = state.running.iter();
        let at = running.position(|running| running.id() == self.id);
        at.map(|at| state.running.swap_remove(at))
    }
}

impl Drop for Marked<'_> {
    fn drop(&mut self) {
        let finished = self.find(&mut self.tree.state.lock());
        self.tree.changed.notify_all();
        drop(finished);
    }
}

/// Work on files that `close` waits for. It ends when this is dropped.
struct Tidying<'a>(&'a Tree);

impl Tidying<'_> {
    fn run(self, work: impl FnOnce()) -> Result<()> {
        guarded(|| {
            work();
            Ok(())
        })
    }
}

impl Drop for Tidying<'_> {
    fn drop(&mut self) {
        self.0.state.lock().tidying -= 1;
        self.0.changed.notify_all();
    }
}
