//! The threads that do the work, shared by every JavaScript thread of the process.
//!
//! Short jobs run on up to [`THREADS`] threads, which start when there is work and leave when there has been none
//! for [`IDLE`]. Jobs that may take minutes (open, close, compaction, clear) each get a thread of their own, so
//! that they never stand in the way of a get.
//!
//! * POOL-1  At most [`WRITERS`] threads write at once: writers that wait for the disk leave threads for readers. At
//!           most [`UNSYNCED`] of them write without waiting for the disk: more would only wait for each other.
//! * POOL-2  A lane's jobs start in the order they came; between the lanes the job that came first goes first, unless
//!           POOL-1 holds it back.
//! * POOL-3  No lock is held while a job runs.
//! * POOL-4  A thread is woken for a job that could start, unless a thread that is already woken or spinning
//!           will take it.
//! * POOL-5  One idle thread spins for [`LOOK`] for the next job before it sleeps, as long as jobs come sooner
//!           than that: a program that awaits one call after the other makes the next one within that time, and
//!           waking a thread costs both sides more than the job. If jobs come later on average, the thread
//!           sleeps at once.

use std::collections::VecDeque;
use std::hint;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Threads for short jobs. More than there are processors, because synced writers wait for the disk, and share one
/// sync if many wait.
const THREADS: usize = 8;
const WRITERS: usize = 6;
const UNSYNCED: usize = 2;
const IDLE: Duration = Duration::from_secs(10);

/// Longer than a turn of the event loop that wakes, resolves a promise and makes the next call. That takes 20 µs on a
/// physical machine, and up to 60 on a virtual one.
const LOOK: Duration = Duration::from_micros(100);
/// A longer pause counts as this one, so that a few short ones outweigh it.
const MAX_PAUSE: Duration = Duration::from_micros(400);

/// Work for a thread.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// Which queue a job waits in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    Read,
    Write,
    /// Writes that wait for the disk.
    SyncedWrite,
}

/// Jobs with their place in the order of arrival.
type Queue = VecDeque<(u64, Job)>;

struct State {
    reads: Queue,
    writes: Queue,
    synced: Queue,
    threads: usize,
    /// How many threads wait for a job.
    idle: usize,
    /// How many of these were woken and have not taken a job yet. May be too low, never too high.
    woken: usize,
    /// Whether a thread looks for a job (POOL-5).
    is_looking: bool,
    pauses: Pauses,
    /// For each write lane, how many threads run a job of it.
    writing: usize,
    syncing: usize,
}

/// How long the pool has no job before the next one comes.
struct Pauses {
    /// Since when there is no job.
    began: Option<Instant>,
    /// The mean of the last eight or so.
    mean: Duration,
}

impl Pauses {
    const NONE: Pauses = Pauses {
        began: None,
        mean: Duration::ZERO,
    };

    fn begin(&mut self) {
        self.began.get_or_insert_with(Instant::now);
    }

    fn end(&mut self) {
        if let Some(began) = self.began.take() {
            self.note(began.elapsed());
        }
    }

    fn note(&mut self, pause: Duration) {
        let pause = pause.min(MAX_PAUSE);
        self.mean = (self.mean * 7 + pause) / 8;
    }

    /// Whether the next job is expected to come while a thread spins (POOL-5).
    fn are_short(&self) -> bool {
        self.mean < LOOK
    }
}

static STATE: Mutex<State> = Mutex::new(State {
    reads: VecDeque::new(),
    writes: VecDeque::new(),
    synced: VecDeque::new(),
    threads: 0,
    idle: 0,
    woken: 0,
    is_looking: false,
    pauses: Pauses::NONE,
    writing: 0,
    syncing: 0,
});
static WAKE: Condvar = Condvar::new();
/// The number of jobs ever queued, readable without the lock.
static ARRIVALS: AtomicU64 = AtomicU64::new(0);

/// The lock, even if an earlier holder panicked: by POOL-3 it left nothing half done.
fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn queue(&mut self, lane: Lane) -> &mut Queue {
        match lane {
            Lane::Read => &mut self.reads,
            Lane::Write => &mut self.writes,
            Lane::SyncedWrite => &mut self.synced,
        }
    }

    /// How many more unsynced writers, and how many more writers in all, may start (POOL-1).
    fn room_to_write(&self) -> (usize, usize) {
        let all = WRITERS - self.writing - self.syncing;
        (all.min(UNSYNCED - self.writing), all)
    }

    /// How many jobs could start now if there were threads.
    fn startable(&self) -> usize {
        let (unsynced, all) = self.room_to_write();
        let writes = self.writes.len().min(unsynced) + self.synced.len();
        self.reads.len() + writes.min(all)
    }

    /// The next job to start (POOL-1, POOL-2).
    fn take(&mut self) -> Option<(Lane, Job)> {
        let (unsynced, all) = self.room_to_write();
        let arrival = |queue: &Queue, may_start: bool| {
            let first = queue.front().filter(|_| may_start);
            first.map_or(u64::MAX, |(arrival, _)| *arrival)
        };
        let lanes = [
            (arrival(&self.reads, true), Lane::Read),
            (arrival(&self.writes, unsynced > 0), Lane::Write),
            (arrival(&self.synced, all > 0), Lane::SyncedWrite),
        ];
        let (first, lane) = *lanes.iter().min_by_key(|(arrival, _)| *arrival)?;
        if first == u64::MAX {
            return None;
        }
        let (arrival, job) = self.queue(lane).pop_front()?;
        debug_assert_eq!(arrival, first, "POOL-2: the job that came first");
        self.count(lane, 1);
        debug_assert!(
            self.writing <= UNSYNCED && self.writing + self.syncing <= WRITERS,
            "POOL-1"
        );
        Some((lane, job))
    }

    /// Notes that a job of `lane` starts (1) or has ended (-1).
    fn count(&mut self, lane: Lane, change: isize) {
        let running = match lane {
            Lane::Read => return,
            Lane::Write => &mut self.writing,
            Lane::SyncedWrite => &mut self.syncing,
        };
        *running = running.wrapping_add_signed(change);
    }

    /// Whether to wake a thread (POOL-4); if so, records that it is being woken.
    fn wakes_one(&mut self) -> bool {
        let coming = self.woken + usize::from(self.is_looking);
        let wakes = self.woken < self.idle && coming < self.startable();
        self.woken += usize::from(wakes);
        debug_assert!(
            self.woken <= self.idle,
            "POOL-4: only idle threads are woken"
        );
        wakes
    }
}

/// Runs `job` on a pool thread, soon.
///
/// Errors: the operating system's, if no thread runs and none can be started. Then the job is dropped.
pub(crate) fn submit(lane: Lane, job: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut state = state();
    state.pauses.end();
    let arrival = ARRIVALS.fetch_add(1, Ordering::Relaxed);
    state.queue(lane).push_back((arrival, Box::new(job)));
    let free = state.idle + usize::from(state.is_looking);
    if free < state.startable() && state.threads < THREADS {
        match thread::Builder::new().name("aidb-node".into()).spawn(work) {
            Ok(_) => state.threads += 1,
            Err(error) if state.threads == 0 => {
                state.queue(lane).pop_back();
                return Err(error);
            }
            // One of the running threads will take the job.
            Err(_) => {}
        }
    }
    let wakes = state.wakes_one();
    drop(state);
    if wakes {
        WAKE.notify_one();
    }
    Ok(())
}

/// Runs `job` on a thread of its own. Errors: the operating system's. Then the job is dropped.
pub(crate) fn run_apart(job: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new()
        .name("aidb-node-long".into())
        .spawn(job)
        .map(drop)
}

/// Drops `value` on a pool thread. For handles that the garbage collector drops: releasing the last use of a table
/// may touch the disk.
pub(crate) fn dispose(value: impl Send + 'static) {
    // If no thread can be started, the job is dropped here, and the value with it.
    let _ = submit(Lane::Read, move || drop(value));
}

/// The loop of a pool thread.
fn work() {
    // On one processor, spinning would keep the event loop from running.
    let can_look = thread::available_parallelism().is_ok_and(|processors| processors.get() > 1);
    let mut may_look = false;
    let mut state = state();
    loop {
        if let Some((lane, job)) = state.take() {
            drop(state);
            // The job reports its own panics (`Port::submit`); any other panic must not end this thread.
            let _ = catch_unwind(AssertUnwindSafe(job));
            state = self::state();
            state.count(lane, -1);
            may_look = !state.is_looking && can_look;
            continue;
        }
        state.pauses.begin();
        if may_look && state.pauses.are_short() {
            may_look = false;
            state.is_looking = true;
            let seen = ARRIVALS.load(Ordering::Relaxed);
            drop(state);
            look_for_more_than(seen);
            state = self::state();
            state.is_looking = false;
            continue;
        }
        state.idle += 1;
        let (guard, timeout) = WAKE
            .wait_timeout(state, IDLE)
            .unwrap_or_else(PoisonError::into_inner);
        state = guard;
        state.idle -= 1;
        // A thread that woke for another reason makes this one too low. Then one thread too many is woken for the
        // next job, and finds none.
        state.woken = state.woken.saturating_sub(1);
        if timeout.timed_out() && state.startable() == 0 {
            state.threads -= 1;
            return;
        }
    }
}

/// Spins until more than `seen` jobs have arrived, at most for [`LOOK`].
fn look_for_more_than(seen: u64) {
    let until = Instant::now() + LOOK;
    while ARRIVALS.load(Ordering::Relaxed) == seen && Instant::now() < until {
        (0..20).for_each(|_| hint::spin_loop());
        // Another thread may need the CPU.
        thread::yield_now();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// POOL-3.
    #[test]
    fn a_job_may_submit_another_and_wait_for_it() {
        const LONG: Duration = Duration::from_secs(60);
        for lane in [Lane::Read, Lane::Write, Lane::SyncedWrite] {
            let (ended, wait) = mpsc::channel();
            let job = move || {
                let (inner_ended, inner) = mpsc::channel();
                submit(Lane::Read, move || inner_ended.send(()).unwrap()).unwrap();
                ended.send(inner.recv_timeout(LONG)).unwrap();
            };
            submit(lane, job).unwrap();
            let inner = wait.recv_timeout(LONG);
            inner.expect("the job ends").expect("the inner job ends");
        }
    }

    #[test]
    fn a_thread_looks_while_jobs_come_sooner_than_it_would_look_for() {
        let mut pauses = Pauses::NONE;
        let after = |pauses: &mut Pauses, count: usize, pause: Duration| {
            (0..count).for_each(|_| pauses.note(pause));
            pauses.are_short()
        };
        let short = LOOK - Duration::from_micros(10);
        assert!(pauses.are_short(), "before anything is known");
        assert!(after(&mut pauses, 100, short));
        assert!(!after(&mut pauses, 3, Duration::from_secs(60)));
        // A minute counts only as the longest pause.
        assert!(!after(&mut pauses, 1000, LOOK + Duration::from_micros(10)));
        assert!(after(&mut pauses, 40, LOOK / 2));
        // One long pause among many short ones must not end the spinning.
        for _ in 0..100 {
            assert!(after(&mut pauses, 20, LOOK / 2));
            pauses.note(Duration::from_secs(1));
        }
    }
}
