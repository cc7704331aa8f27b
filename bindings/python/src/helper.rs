//! A thread that makes calls for other threads, so that those can wait in their own way.
//!
//! Starting a thread takes about as long as a disk needs to make a small write durable, so an idle one waits a
//! while for the next call. It may be gone at any time, for example after a fork. It exists only for speed: a
//! caller that finds none starts another.

use std::io;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use aidb::env::fork_count;

type Job = Box<dyn FnOnce() + Send>;

/// How long a thread waits for a call before it ends.
const IDLE: Duration = Duration::from_secs(10);

/// The thread that waits for a call.
struct Idle {
    jobs: SyncSender<Job>,
    thread: thread::ThreadId,
    /// `fork_count` of the process that has the thread; a child forked since has no such thread.
    forks: u32,
}

/// No thread waits for this lock: after a fork it may stay taken for ever.
static IDLE_HELPER: Mutex<Option<Idle>> = Mutex::new(None);

/// Runs `job` in another thread, soon. Errors: the operating system's, if no thread can be started.
pub(crate) fn run(job: Job) -> io::Result<()> {
    let idle = IDLE_HELPER.try_lock().ok().and_then(|mut idle| idle.take());
    let job = match idle.filter(|idle| idle.forks == fork_count()) {
        Some(idle) => match idle.jobs.send(job) {
            Ok(()) => return Ok(()),
            Err(unsent) => unsent.0,
        },
        None => job,
    };
    thread::Builder::new()
        .name("aidb-call".to_owned())
        .spawn(move || help(job))
        .map(drop)
}

/// The loop of a helper: `first`, and then further calls while no other helper is idle.
fn help(first: Job) {
    // Room for one call: the thread that takes the sender sends one.
    let (sender, jobs) = sync_channel(1);
    let mut job = first;
    loop {
        job();
        match offer(&sender).then(|| next(&jobs)).flatten() {
            Some(next) => job = next,
            None => return,
        }
    }
}

/// Becomes the idle helper, unless there is one.
fn offer(jobs: &SyncSender<Job>) -> bool {
    let Ok(mut idle) = IDLE_HELPER.try_lock() else {
        return false;
    };
    let forks = fork_count();
    let is_needed = idle.as_ref().is_none_or(|idle| idle.forks != forks);
    if is_needed {
        *idle = Some(Idle {
            jobs: jobs.clone(),
            thread: thread::current().id(),
            forks,
        });
    }
    is_needed
}

/// The next call; `None` if there was none for a long time.
fn next(jobs: &Receiver<Job>) -> Option<Job> {
    loop {
        match jobs.recv_timeout(IDLE) {
            Ok(job) => return Some(job),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => {}
        }
        let Ok(mut idle) = IDLE_HELPER.try_lock() else {
            continue;
        };
        let me = thread::current().id();
        if idle.take_if(|idle| idle.thread == me).is_some() {
            return None;
        }
        // Another thread has the sender, and will send.
    }
}
