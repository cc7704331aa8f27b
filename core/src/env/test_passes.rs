//! Counts the passes of a thread, and of the threads that it spawns, through the door to memory (`memory/door.rs`),
//! and makes the n-th pass fail.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

thread_local! {
    static CURRENT: RefCell<Option<Passes>> = const { RefCell::new(None) };
}

/// See the head of the file.
#[derive(Clone)]
pub(crate) struct Passes(Arc<Counts>);

struct Counts {
    met: AtomicU64,
    failed: AtomicU64,
    fails_at: AtomicU64,
}

impl Passes {
    /// Makes the `number`-th pass fail, counted from 1; with 0 none.
    pub(crate) fn fail_at(number: u64) -> Passes {
        Passes(Arc::new(Counts {
            met: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            fails_at: AtomicU64::new(number),
        }))
    }

    /// Counts the passes of this thread until the result is dropped.
    pub(crate) fn enter(&self) -> Entered {
        CURRENT.set(Some(self.clone()));
        Entered
    }

    /// Makes the `number`-th pass from now on fail, counted from 1; with 0 none.
    pub(crate) fn arm(&self, number: u64) {
        let at = match number {
            0 => 0,
            number => self.met() + number,
        };
        self.0.fails_at.store(at, Relaxed);
    }

    /// How many passes there were.
    pub(crate) fn met(&self) -> u64 {
        self.0.met.load(Relaxed)
    }

    /// How many of them failed.
    pub(crate) fn failed(&self) -> u64 {
        self.0.failed.load(Relaxed)
    }
}

/// See [`Passes::enter`].
pub(crate) struct Entered;

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(None);
    }
}

/// Wraps `work` for a new thread, so that its passes are counted with this thread's.
pub(crate) fn inherited(work: Box<dyn FnOnce() + Send>) -> Box<dyn FnOnce() + Send> {
    let passes = current();
    Box::new(move || {
        let _entered = passes.as_ref().map(Passes::enter);
        work();
    })
}

/// The counters of this thread's passes, for a thread that it spawns.
pub(crate) fn current() -> Option<Passes> {
    CURRENT.with_borrow(Clone::clone)
}

/// Counts a pass; returns whether it must fail.
pub(crate) fn fails() -> bool {
    let fails = |passes: &Option<Passes>| {
        let Some(Passes(counts)) = passes else {
            return false;
        };
        let number = counts.met.fetch_add(1, Relaxed) + 1;
        let fails = counts.fails_at.load(Relaxed) == number;
        counts.failed.fetch_add(u64::from(fails), Relaxed);
        fails
    };
    CURRENT
        .try_with(|passes| passes.try_borrow().is_ok_and(|passes| fails(&passes)))
        .unwrap_or(false)
}
