//! `Turns`: jobs of the pool that run one after the other, such as the calls on one transaction.
//!
//! * TURNS-1  At most one job of it is in the pool, and the jobs run in the order they came.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::pool::{self, Job, Lane};

/// See the head of the file.
#[derive(Default)]
pub(crate) struct Turns {
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    /// Jobs that wait for the one in the pool.
    waiting: VecDeque<(Lane, Job)>,
    /// Whether a job is in the pool.
    is_taken: bool,
}

/// The turn of one job, which ends when this is dropped.
struct Turn(Arc<Turns>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.call_next();
    }
}

impl Turns {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `job` in `lane` after the jobs that came before it.
    ///
    /// Errors: the operating system's, if the pool has no thread and none can be started. Then no job waits, and this
    /// one is dropped.
    pub(crate) fn submit(self: &Arc<Self>, lane: Lane, job: Job) -> io::Result<()> {
        let mut line = self.line();
        if line.is_taken {
            line.waiting.push_back((lane, job));
            return Ok(());
        }
        debug_assert!(
            line.waiting.is_empty(),
            "TURNS-1: jobs wait only for another"
        );
        line.is_taken = true;
        drop(line);
        self.start(lane, job)
    }

    fn start(self: &Arc<Self>, lane: Lane, job: Job) -> io::Result<()> {
        let turn = Turn(Arc::clone(self));
        pool::submit(lane, move || {
            job();
            drop(turn);
        })
    }

    /// Starts the next job, if one waits.
    fn call_next(self: &Arc<Self>) {
        let mut line = self.line();
        let next = line.waiting.pop_front();
        line.is_taken = next.is_some();
        drop(line);
        if let Some((lane, job)) = next {
            let started = self.start(lane, job);
            debug_assert!(
                started.is_ok(),
                "jobs wait only while a thread of the pool runs another, and that one can run them"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn jobs_run_one_at_a_time_in_their_order_whatever_their_lanes() {
        let turns = Arc::<Turns>::default();
        let running = Arc::new(Mutex::new(()));
        let (sender, receiver) = mpsc::channel();
        for number in 0..1000 {
            let (running, sender) = (Arc::clone(&running), sender.clone());
            let lane = [Lane::Read, Lane::Write, Lane::SyncedWrite][number % 3];
            let job = move || {
                let is_alone = running.try_lock().is_ok();
                sender.send((number, is_alone)).unwrap();
            };
            turns.submit(lane, Box::new(job)).unwrap();
        }
        drop(sender);
        let ran: Vec<_> = receiver.iter().collect();
        let expected: Vec<_> = (0..1000).map(|number| (number, true)).collect();
        assert_eq!(ran, expected);
    }

    #[test]
    fn a_job_that_panics_ends_its_turn() {
        let turns = Arc::<Turns>::default();
        let (sender, receiver) = mpsc::channel();
        turns
            .submit(Lane::Read, Box::new(|| panic!("on purpose")))
            .unwrap();
        turns
            .submit(Lane::Read, Box::new(move || sender.send(()).unwrap()))
            .unwrap();
        receiver.recv().unwrap();
    }
}
