//! Shuttle's locks, atomics and threads in the shapes that the engine uses.
//!
//! Each operation is a point at which the scheduler may let another thread go on. All atomics are sequentially
//! consistent here: weaker orders are justified where they are used, and this file does not check them.
//!
//! * MODEL-3  A wait with a time limit may end at once, and always reports a timeout: such a waiter must not
//!            rely on the notification.
//! * MODEL-4  Nothing is poisoned, as in parking_lot.
//! * MODEL-5  A pointer that is swapped is a lock around an `Arc`; what was swapped out, or not in, is dropped outside
//!            of it.
//!
//! One in eight waits without a time limit ends without a notification, so that the models check MUTEX-4 of `locks.rs`.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

pub use shuttle::lazy_static;
use shuttle::rand::Rng;
pub use shuttle::sync::atomic;
pub use shuttle::thread::{self, yield_now};

/// Lets the other threads run, because one of them has to do what the caller spins for.
pub fn spin_loop() {
    yield_now();
}

/// Waits for another thread, a little longer each time.
pub struct Backoff;

#[expect(clippy::new_without_default, reason = "the shape of the real one")]
impl Backoff {
    pub fn new() -> Backoff {
        Backoff
    }

    pub fn snooze(&self) {
        yield_now();
    }
}

#[derive(Default)]
pub struct Mutex<T: ?Sized>(shuttle::sync::Mutex<T>);

/// A locked mutex. It lacks the inner guard only inside [`MutexGuard::unlocked`] and waits.
pub struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    inner: Option<shuttle::sync::MutexGuard<'a, T>>,
}

impl<T> Mutex<T> {
    pub const fn new(value: T) -> Mutex<T> {
        Mutex(shuttle::sync::Mutex::new(value))
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard {
            mutex: self,
            inner: Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn into_inner(self) -> T {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a, T> MutexGuard<'a, T> {
    /// Runs `work` while the mutex is free.
    pub fn unlocked<R>(guard: &mut MutexGuard<'a, T>, work: impl FnOnce() -> R) -> R {
        guard.inner = None;
        let result = work();
        guard.inner = guard.mutex.lock().inner;
        result
    }
}

const HELD: &str = "a guard is without its lock only while `unlocked` or a wait runs";

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.inner.as_ref().expect(HELD)
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.inner.as_mut().expect(HELD)
    }
}

#[derive(Default)]
pub struct RwLock<T>(shuttle::sync::RwLock<T>);

impl<T> RwLock<T> {
    pub const fn new(value: T) -> RwLock<T> {
        RwLock(shuttle::sync::RwLock::new(value))
    }

    pub fn read(&self) -> shuttle::sync::RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self) -> shuttle::sync::RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
pub struct Condvar(shuttle::sync::Condvar);

/// How a wait with a time limit ended.
pub struct WaitTimeoutResult;

impl WaitTimeoutResult {
    /// MODEL-3.
    pub fn timed_out(&self) -> bool {
        true
    }
}

impl Condvar {
    pub const fn new() -> Condvar {
        Condvar(shuttle::sync::Condvar::new())
    }

    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        // MUTEX-4.
        if shuttle::rand::thread_rng().gen_ratio(1, 8) {
            MutexGuard::unlocked(guard, yield_now);
            return;
        }
        let held = guard.inner.take().expect(HELD);
        let held = self.0.wait(held).unwrap_or_else(PoisonError::into_inner);
        guard.inner = Some(held);
    }

    pub fn wait_for<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        _limit: Duration,
    ) -> WaitTimeoutResult {
        MutexGuard::unlocked(guard, yield_now);
        WaitTimeoutResult
    }

    pub fn wait_until<T, I>(&self, guard: &mut MutexGuard<'_, T>, _limit: I) -> WaitTimeoutResult {
        self.wait_for(guard, Duration::ZERO)
    }

    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// A pointer that is replaced as a whole (MODEL-5).
pub struct Swapped<P>(Mutex<P>);

pub type ArcSwap<T> = Swapped<Arc<T>>;
pub type ArcSwapOption<T> = Swapped<Option<Arc<T>>>;
/// A slot for an optional counted pointer other than `Arc`.
pub type SwapOption<P> = Swapped<Option<P>>;

/// The value of a [`Swapped`] when it was read.
pub struct Guard<P>(P);

impl<P> Guard<P> {
    pub fn from_inner(pointer: P) -> Guard<P> {
        Guard(pointer)
    }
}

impl<P> Deref for Guard<P> {
    type Target = P;

    fn deref(&self) -> &P {
        &self.0
    }
}

impl<P: Clone> Swapped<P> {
    pub const fn new(pointer: P) -> Swapped<P> {
        Swapped(Mutex::new(pointer))
    }

    pub fn load_full(&self) -> P {
        self.0.lock().clone()
    }

    pub fn load(&self) -> Guard<P> {
        Guard(self.load_full())
    }

    pub fn swap(&self, new: P) -> P {
        std::mem::replace(&mut *self.0.lock(), new)
    }

    pub fn store(&self, new: P) {
        drop(self.swap(new));
    }
}

impl<T> ArcSwap<T> {
    pub fn from_pointee(value: T) -> ArcSwap<T> {
        Swapped(Mutex::new(Arc::new(value)))
    }
}

impl<T> ArcSwapOption<T> {
    pub const fn const_empty() -> ArcSwapOption<T> {
        Swapped(Mutex::new(None))
    }

    pub fn empty() -> ArcSwapOption<T> {
        Self::const_empty()
    }

    /// Stores `new` if the present value is `current`; returns the value from before.
    pub fn compare_and_swap(
        &self,
        current: &Guard<Option<Arc<T>>>,
        new: Option<Arc<T>>,
    ) -> Guard<Option<Arc<T>>> {
        let mut here = self.0.lock();
        let same = match (&*here, &**current) {
            (Some(here), Some(current)) => Arc::ptr_eq(here, current),
            (None, None) => true,
            _ => false,
        };
        let before = here.clone();
        let unused = match same {
            true => std::mem::replace(&mut *here, new),
            false => new,
        };
        drop(here);
        drop(unused);
        Guard(before)
    }
}

#[cfg(test)]
mod models;
