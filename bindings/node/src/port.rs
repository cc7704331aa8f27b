//! Delivers results to the JavaScript thread that made the call.
//!
//! Each JavaScript thread (the main one and every worker) has one port. JavaScript gives each call a number,
//! its job runs on another thread, and the result waits in the port until the JavaScript thread fetches all
//! results there.
//!
//! * PORT-1  Each submitted number gets exactly one result, unless its JavaScript thread has ended.
//! * PORT-2  JavaScript is notified of the first result, but not of those that arrive before it fetches.
//! * PORT-5  JavaScript fetches results in bounded pieces, and returns for the rest by itself.
//! * PORT-3  The event loop stays alive while a result is awaited, but not because a database is open.
//! * PORT-4  When a worker ends, its databases are closed before its thread is gone, unless that takes longer than
//!           [`FAREWELL`]. At the end of the process nothing is closed: the log has every acknowledged write,
//!           and the operating system releases the lock.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use aidb::{Error, ErrorKind, Result};
use napi::bindgen_prelude::{Array, Function};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Status};
use napi_derive::napi;

use crate::convert::{Outcome, failure, refusal};
use crate::opened::Opened;
use crate::pool::{self, Job, Lane};
use crate::turns::Turns;

/// When a worker ends, it waits this long for its databases to close. They continue to close afterwards.
const FAREWELL: Duration = Duration::from_secs(5);

/// Calls JavaScript's callback, without arguments and without an error as the first one. Does not keep the loop
/// alive.
type Bell = ThreadsafeFunction<(), (), (), Status, false, true>;

/// One JavaScript thread's end of the border. JavaScript makes one when it loads the package.
#[napi]
pub struct Port {
    pub(crate) shared: Arc<PortShared>,
}

/// The part of a port that jobs hold.
pub(crate) struct PortShared {
    answers: Mutex<VecDeque<(u32, Result<Outcome>)>>,
    /// `None` once the JavaScript thread ends, because then no results are received.
    bell: Mutex<Option<Bell>>,
    /// How many calls wait for their answer to be fetched. Only the JavaScript thread changes it.
    awaited: AtomicUsize,
    running: Mutex<Running>,
    finished: Condvar,
    databases: Mutex<Vec<Weak<Opened>>>,
}

/// The jobs that have not finished.
#[derive(Default)]
struct Running {
    jobs: usize,
    /// Whether a thread waits for their end. If not, the notification, a system call, is left out.
    is_awaited: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[napi]
impl Port {
    /// Calls `on_answers` when there are answers to `take`. `ends_with_process`: whether this is the main thread
    /// (PORT-4).
    #[napi(constructor)]
    pub fn new(
        env: &Env,
        on_answers: Function<'_, (), ()>,
        ends_with_process: bool,
    ) -> napi::Result<Port> {
        let bell = on_answers
            .build_threadsafe_function::<()>()
            .weak::<true>()
            .callee_handled::<false>()
            .build()?;
        let shared = Arc::new(PortShared {
            answers: Mutex::new(VecDeque::new()),
            bell: Mutex::new(Some(bell)),
            awaited: AtomicUsize::new(0),
            running: Mutex::default(),
            finished: Condvar::new(),
            databases: Mutex::new(Vec::new()),
        });
        // Hooks run last in, first out: this one runs before the bell's own.
        env.add_env_cleanup_hook(Arc::clone(&shared), move |shared| {
            drop(lock(&shared.bell).take());
            if !ends_with_process {
                shared.close_databases();
            }
        })?;
        Ok(Port { shared })
    }

    /// Takes answers that have arrived, in order, until their weights and `answered`, the weight taken before, reach
    /// `most` (PORT-5). If `answered` is 0, takes at least one. Returns an array: the sum of the weights, whether
    /// answers are left, then for each its number, whether it succeeded, and the value or failure.
    #[napi]
    pub fn take<'env>(
        &self,
        env: &'env Env,
        most: u32,
        answered: u32,
    ) -> napi::Result<Array<'env>> {
        let mut arrived = lock(&self.shared.answers);
        let mut weight = 0;
        let taken = arrived.iter().take_while(|(_, answer)| {
            let own = answer.as_ref().map_or(1, Outcome::weight);
            let sum = answered.saturating_add(weight).saturating_add(own);
            let fits = sum <= most || answered == 0 && weight == 0;
            weight += if fits { own } else { 0 };
            fits
        });
        let taken = taken.count();
        let answers: Vec<_> = arrived.drain(..taken).collect();
        let is_more = !arrived.is_empty();
        drop(arrived);
        let count = u32::try_from(answers.len()).expect("each answer has a 32-bit number");
        let mut out = env.create_array(2 + count * 3)?;
        out.set(0, weight)?;
        out.set(1, is_more)?;
        let mut index = 2;
        for (number, answer) in answers {
            out.set(index, number)?;
            let answer =
                answer.and_then(|outcome| outcome.place(env, &mut out, index + 2).map_err(refusal));
            out.set(index + 1, answer.is_ok())?;
            if let Err(error) = answer {
                out.set(index + 2, failure(env, &error)?)?;
            }
            index += 3;
        }
        self.shared.release(env, count as usize)?;
        Ok(out)
    }
}

/// Runs `job`; a panic becomes an error of the kind `Internal` (ADDON-4).
fn answer_of<T>(job: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(job))
        .unwrap_or_else(|panic| Err(Error::panicked("panic", &*panic)))
}

impl PortShared {
    /// Runs `job` in `lane`, and delivers its answer under `number`.
    pub(crate) fn submit(
        self: &Arc<Self>,
        env: &Env,
        lane: Lane,
        number: u32,
        job: impl FnOnce() -> Result<Outcome> + Send + 'static,
    ) -> napi::Result<()> {
        self.start(env, number, job, |job| pool::submit(lane, job))
    }

    /// The same in turn with the other jobs of `turns`.
    pub(crate) fn submit_in_turn(
        self: &Arc<Self>,
        env: &Env,
        turns: &Arc<Turns>,
        lane: Lane,
        number: u32,
        job: impl FnOnce() -> Result<Outcome> + Send + 'static,
    ) -> napi::Result<()> {
        self.start(env, number, job, |job| turns.submit(lane, job))
    }

    /// The same on a thread of its own, for jobs that may take long.
    pub(crate) fn submit_apart(
        self: &Arc<Self>,
        env: &Env,
        number: u32,
        job: impl FnOnce() -> Result<Outcome> + Send + 'static,
    ) -> napi::Result<()> {
        self.start(env, number, job, pool::run_apart)
    }

    fn start(
        self: &Arc<Self>,
        env: &Env,
        number: u32,
        job: impl FnOnce() -> Result<Outcome> + Send + 'static,
        spawn: impl FnOnce(Job) -> std::io::Result<()>,
    ) -> napi::Result<()> {
        self.hold(env)?;
        lock(&self.running).jobs += 1;
        let port = Arc::clone(self);
        let spawned = spawn(Box::new(move || {
            port.answer(number, answer_of(job));
        }));
        if let Err(error) = spawned {
            let message = format!("cannot start a thread: {error}");
            self.answer(number, Err(Error::new(ErrorKind::Io, message)));
        }
        Ok(())
    }

    /// Stores the answer to `number` for JavaScript (PORT-1, PORT-2).
    fn answer(&self, number: u32, answer: Result<Outcome>) {
        let mut answers = lock(&self.answers);
        answers.push_back((number, answer));
        let first = answers.len() == 1;
        drop(answers);
        if first && let Some(bell) = &*lock(&self.bell) {
            bell.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
        self.note_finished();
    }

    /// Notes that one job has finished.
    fn note_finished(&self) {
        let mut running = lock(&self.running);
        running.jobs -= 1;
        if running.is_awaited {
            self.finished.notify_all();
        }
    }

    /// Keeps the event loop alive for one more answer (PORT-3).
    #[expect(
        deprecated,
        reason = "a clone would keep the loop alive for as long as a database is open"
    )]
    fn hold(&self, env: &Env) -> napi::Result<()> {
        if self.awaited.fetch_add(1, Ordering::Relaxed) == 0
            && let Some(bell) = &mut *lock(&self.bell)
        {
            bell.refer(env)?;
        }
        Ok(())
    }

    /// Notes that `count` answers have been fetched (PORT-3).
    #[expect(deprecated, reason = "the counterpart of `hold`")]
    fn release(&self, env: &Env, count: usize) -> napi::Result<()> {
        if count > 0
            && self.awaited.fetch_sub(count, Ordering::Relaxed) == count
            && let Some(bell) = &mut *lock(&self.bell)
        {
            bell.unref(env)?;
        }
        Ok(())
    }

    /// Remembers a database that this thread may open, to close it when the thread ends.
    pub(crate) fn register(&self, database: &Arc<Opened>) {
        let mut databases = lock(&self.databases);
        databases.retain(|known| known.strong_count() > 0);
        databases.push(Arc::downgrade(database));
    }

    /// Closes the open databases and waits until no job runs, at most for [`FAREWELL`] (PORT-4).
    fn close_databases(self: &Arc<Self>) {
        for database in lock(&self.databases).drain(..) {
            let Some(database) = database.upgrade() else {
                continue;
            };
            lock(&self.running).jobs += 1;
            let port = Arc::clone(self);
            let spawned = pool::run_apart(move || {
                let _ = catch_unwind(AssertUnwindSafe(|| database.abandon()));
                port.note_finished();
            });
            if spawned.is_err() {
                self.note_finished();
            }
        }
        let deadline = Instant::now() + FAREWELL;
        let mut running = lock(&self.running);
        running.is_awaited = true;
        while running.jobs > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            (running, _) = self
                .finished
                .wait_timeout(running, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ADDON-4.
    #[test]
    fn a_job_that_panics_answers_with_an_internal_error() {
        let answer = answer_of::<()>(|| panic!("out of cheese"));
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(error.message().contains("out of cheese"), "{error}");
        assert_eq!(answer_of(|| Ok(7)).unwrap(), 7);
    }
}
