//! The threads that do the work, shared by every JavaScript thread of the process.
//!
//! Short jobs run on up to [`THREADS`] threads, which start when there is work and leave when there has been none
//! for [`IDLE`]. Jobs that may take minutes (open, close, compaction, clear) each get a thread of their own, so
//! that they never stand in the way of a get.
//!
//! * P1  At most [`WRITERS`] threads write at once: writers that wait for the disk leave threads for readers.
//! * P2  A lane's jobs start in the order they came; between the lanes the job that came first goes first, unless
//!       P1 holds it back.
//! * P3  No lock is held while a job runs.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Threads for short jobs. More than processors: synced writers wait for the disk, and share one sync if many wait.
const THREADS: usize = 8;
const WRITERS: usize = 6;
const IDLE: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() + Send>;

/// Which queue a job waits in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    Read,
    Write,
}

struct State {
    reads: VecDeque<(u64, Job)>,
    writes: VecDeque<(u64, Job)>,
    /// Jobs ever queued: the next one's place in the order of both lanes.
    arrivals: u64,
    threads: usize,
    /// Threads that wait for a job.
    idle: usize,
    /// Threads that run a job of the write lane.
    writing: usize,
}

static STATE: Mutex<State> = Mutex::new(State {
    reads: VecDeque::new(),
    writes: VecDeque::new(),
    arrivals: 0,
    threads: 0,
    idle: 0,
    writing: 0,
});
static WAKE: Condvar = Condvar::new();

/// The lock, whatever happened to an earlier holder: P3 leaves nothing half done under it.
fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// The jobs that could start now, were there threads.
    fn startable(&self) -> usize {
        self.reads.len() + self.writes.len().min(WRITERS - self.writing)
    }

    /// The next job to start (P1, P2).
    fn take(&mut self) -> Option<(Lane, Job)> {
        let read = self.reads.front().map(|(arrival, _)| *arrival);
        let write = self.writes.front().map(|(arrival, _)| *arrival);
        let write = write.filter(|_| self.writing < WRITERS);
        match (read, write) {
            (Some(read), Some(write)) if write < read => self.take_write(),
            (None, Some(_)) => self.take_write(),
            (Some(_), _) => self.reads.pop_front().map(|(_, job)| (Lane::Read, job)),
            (None, None) => None,
        }
    }

    fn take_write(&mut self) -> Option<(Lane, Job)> {
        let (_, job) = self.writes.pop_front()?;
        self.writing += 1;
        Some((Lane::Write, job))
    }
}

/// Runs `job` on a pool thread, soon.
///
/// Errors: the operating system's, if no thread runs and none can be started; the job is dropped then.
pub(crate) fn submit(lane: Lane, job: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut state = state();
    let arrival = state.arrivals;
    state.arrivals += 1;
    match lane {
        Lane::Read => state.reads.push_back((arrival, Box::new(job))),
        Lane::Write => state.writes.push_back((arrival, Box::new(job))),
    }
    if state.idle < state.startable() && state.threads < THREADS {
        match thread::Builder::new().name("aidb-node".into()).spawn(work) {
            Ok(_) => state.threads += 1,
            Err(error) if state.threads == 0 => {
                match lane {
                    Lane::Read => state.reads.pop_back(),
                    Lane::Write => state.writes.pop_back(),
                };
                return Err(error);
            }
            // The threads there are will come to it.
            Err(_) => {}
        }
    }
    drop(state);
    WAKE.notify_one();
    Ok(())
}

/// Runs `job` on a thread of its own. Errors: the operating system's; the job is dropped then.
pub(crate) fn run_apart(job: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new()
        .name("aidb-node-long".into())
        .spawn(job)
        .map(drop)
}

/// Drops `value` on a pool thread, for handles that the garbage collector found: letting go of the last use of a
/// table may touch the disk.
pub(crate) fn dispose(value: impl Send + 'static) {
    // Without a thread to be had the job is dropped here, and the value with it.
    let _ = submit(Lane::Read, move || drop(value));
}

/// A pool thread's life.
fn work() {
    let mut state = state();
    loop {
        if let Some((lane, job)) = state.take() {
            drop(state);
            // The job reports its own panics (`Port::submit`); what is left must not end this thread.
            let _ = catch_unwind(AssertUnwindSafe(job));
            state = self::state();
            if lane == Lane::Write {
                state.writing -= 1;
            }
            continue;
        }
        state.idle += 1;
        let (guard, timeout) = WAKE
            .wait_timeout(state, IDLE)
            .unwrap_or_else(PoisonError::into_inner);
        state = guard;
        state.idle -= 1;
        if timeout.timed_out() && state.startable() == 0 {
            state.threads -= 1;
            return;
        }
    }
}
