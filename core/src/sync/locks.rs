//! The engine's locks: parking_lot's interface, by its crate `lock_api`, over waiting that survives a fork.
//!
//! parking_lot keeps the waiting threads of the whole process in one table. In a child made by `fork` the parent's
//! threads are still in that table, in memory that the C library has reused, and a thread that the child does not have
//! may have locked a part of it. So here a thread waits in the lock itself, using std's locks, which on Linux wait on
//! their own words. The parent has then never used the locks of a child's own database.
//!
//! An uncontended lock costs one compare-and-swap to take and one swap to release, and no call.
//!
//! * MUTEX-2  A thread that takes a lock after waiting marks it as contended, because others may still wait. So
//!            a release that finds no mark has no thread to wake.
//! * MUTEX-3  A waiter holds the inner lock between its last check and its sleep, and the waking thread takes
//!            that lock first: so no wake-up is lost. The inner locks are held for a few instructions, never
//!            across anything that blocks.
//! * MUTEX-4  A wait may end without a notification. Every waiter checks its condition again; in models, some waits end
//!            so (`modelled.rs`).
//! * MUTEX-5  Notify-all wakes its waiters one after the other, each when the one before has the mutex: woken
//!            at once they would only contend for it. They are in a separate room: threads that begin to wait
//!            after the call go to the other room, so that none of them takes the wake-up of one that was
//!            called.
//!
//! Under `--cfg shuttle` the engine waits by the checker's own locks, and `locks/models.rs` checks these.

#![expect(
    unsafe_code,
    reason = "lock_api trusts its raw locks to exclude others"
)]
#![cfg_attr(shuttle, allow(dead_code, reason = "the models need only some of it"))]

use std::time::{Duration, Instant};

#[cfg(shuttle)]
use shuttle::sync::{self, PoisonError, RwLockReadGuard, RwLockWriteGuard};
#[cfg(not(shuttle))]
use std::sync::{self, PoisonError, RwLockReadGuard, RwLockWriteGuard};

use super::atomic::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};
use super::spin_loop;

const FREE: u32 = 0;
const TAKEN: u32 = 1;
/// Taken, and another thread may wait for it.
const WANTED: u32 = 2;

/// How often to check before sleeping. That takes some microseconds, in which most holders finish. If the holder has
/// lost its processor, the waiter sleeps, because yielding costs more. Only once under the model checker, where only
/// sleeping matters.
const SPINS: u32 = if cfg!(shuttle) { 1 } else { 100 };

/// A mutex around a `T`. A panic under it does not poison it.
pub type Mutex<T> = lock_api::Mutex<RawMutex, T>;
/// A locked [`Mutex`].
pub type MutexGuard<'a, T> = lock_api::MutexGuard<'a, RawMutex, T>;

/// The lock of a [`Mutex`], without the guarded value.
pub struct RawMutex {
    state: AtomicU32,
    /// How many threads sleep, or are about to (MUTEX-3).
    sleepers: sync::Mutex<u32>,
    freed: sync::Condvar,
}

// SAFETY: in all three places `state` leaves FREE only by an exchange with FREE, which one thread wins. It becomes
// FREE only in `unlock`, which the holder calls. Acquire there and Release here order the actions of the holders.
unsafe impl lock_api::RawMutex for RawMutex {
    const INIT: RawMutex = RawMutex {
        state: AtomicU32::new(FREE),
        sleepers: sync::Mutex::new(0),
        freed: sync::Condvar::new(),
    };

    type GuardMarker = lock_api::GuardNoSend;

    #[inline]
    fn lock(&self) {
        let taken = self
            .state
            .compare_exchange_weak(FREE, TAKEN, Acquire, Relaxed);
        if taken.is_err() {
            self.lock_wanted();
        }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        let taken = self.state.compare_exchange(FREE, TAKEN, Acquire, Relaxed);
        taken.is_ok()
    }

    #[inline]
    unsafe fn unlock(&self) {
        let before = self.state.swap(FREE, Release);
        debug_assert!(
            before != FREE,
            "MUTEX-2: taken, and perhaps marked as wanted"
        );
        if before == WANTED {
            self.wake();
        }
    }

    #[inline]
    fn is_locked(&self) -> bool {
        self.state.load(Relaxed) != FREE
    }
}

impl RawMutex {
    #[cold]
    fn lock_wanted(&self) {
        let mut taking = TAKEN;
        loop {
            if self.spin(taking) {
                return;
            }
            taking = WANTED;
            let mut sleepers = held(&self.sleepers);
            if self.state.swap(WANTED, Acquire) == FREE {
                return;
            }
            *sleepers += 1;
            sleepers = self
                .freed
                .wait(sleepers)
                .unwrap_or_else(PoisonError::into_inner);
            *sleepers -= 1;
        }
    }

    /// Tries for a short time to take the lock, setting the state to `taking`.
    fn spin(&self, taking: u32) -> bool {
        for _ in 0..SPINS {
            match self.state.load(Relaxed) {
                FREE => {
                    let taken = self
                        .state
                        .compare_exchange_weak(FREE, taking, Acquire, Relaxed);
                    if taken.is_ok() {
                        return true;
                    }
                }
                WANTED => return false,
                _ => spin_loop(),
            }
        }
        false
    }

    #[cold]
    fn wake(&self) {
        if *held(&self.sleepers) > 0 {
            self.freed.notify_one();
        }
    }
}

/// Threads that hold a [`Mutex`] wait here for a change of the guarded value.
#[derive(Default)]
pub struct Condvar {
    /// The number of waiters. It grows only under the caller's mutex, so a thread that later changes the value under
    /// that mutex sees them.
    waiting: AtomicU32,
    rooms: sync::Mutex<Rooms>,
    called: [sync::Condvar; 2],
}

/// The sleepers in the two rooms (MUTEX-5).
#[derive(Default)]
struct Rooms {
    /// The room for new waiters.
    entry: usize,
    sleepers: [u32; 2],
}

/// How a wait with a time limit ended.
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether the time limit was reached.
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    pub const fn new() -> Condvar {
        Condvar {
            waiting: AtomicU32::new(0),
            rooms: sync::Mutex::new(Rooms {
                entry: 0,
                sleepers: [0, 0],
            }),
            called: [sync::Condvar::new(), sync::Condvar::new()],
        }
    }

    /// Releases the mutex, waits to be notified (MUTEX-4), and takes the mutex again.
    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        self.sleep(guard, |called, rooms| {
            let rooms = called.wait(rooms);
            (rooms.unwrap_or_else(PoisonError::into_inner), ())
        });
    }

    /// Like [`Condvar::wait`], but at most for `limit`.
    pub fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, limit: Duration) -> WaitTimeoutResult {
        self.sleep(guard, |called, rooms| {
            let woken = called.wait_timeout(rooms, limit);
            let (rooms, outcome) = woken.unwrap_or_else(PoisonError::into_inner);
            (rooms, WaitTimeoutResult(outcome.timed_out()))
        })
    }

    /// Like [`Condvar::wait`], but at most until `limit`.
    pub fn wait_until<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        limit: Instant,
    ) -> WaitTimeoutResult {
        self.wait_for(guard, limit.saturating_duration_since(Instant::now()))
    }

    fn sleep<'a, T, R>(
        &'a self,
        guard: &mut MutexGuard<'_, T>,
        wait: impl FnOnce(
            &sync::Condvar,
            sync::MutexGuard<'a, Rooms>,
        ) -> (sync::MutexGuard<'a, Rooms>, R),
    ) -> R {
        self.waiting.fetch_add(1, Relaxed);
        // MUTEX-3: taken before the caller's mutex is free.
        let mut rooms = held(&self.rooms);
        let room = rooms.entry;
        rooms.sleepers[room] += 1;
        let outcome = MutexGuard::unlocked(guard, || {
            let (mut rooms, outcome) = wait(&self.called[room], rooms);
            rooms.sleepers[room] -= 1;
            outcome
        });
        self.waiting.fetch_sub(1, Relaxed);
        self.call_next(room);
        outcome
    }

    /// Wakes the next sleeper in a room that is being emptied (MUTEX-5).
    fn call_next(&self, room: usize) {
        let rooms = held(&self.rooms);
        if room != rooms.entry && rooms.sleepers[room] > 0 {
            drop(rooms);
            self.called[room].notify_one();
        }
    }

    /// Wakes one waiter.
    #[inline]
    pub fn notify_one(&self) {
        if self.waiting.load(Relaxed) > 0 {
            self.call_one();
        }
    }

    /// Wakes all waiters.
    #[inline]
    pub fn notify_all(&self) {
        if self.waiting.load(Relaxed) > 0 {
            self.call_all();
        }
    }

    #[cold]
    fn call_one(&self) {
        let room = held(&self.rooms).entry;
        self.called[room].notify_one();
    }

    #[cold]
    fn call_all(&self) {
        let mut rooms = held(&self.rooms);
        let (full, other) = (rooms.entry, 1 - rooms.entry);
        if rooms.sleepers[full] == 0 {
            return;
        }
        rooms.entry = other;
        // Sleepers left from an earlier call are woken too. They would share the room with new ones, and no call
        // would wake them.
        let are_left = rooms.sleepers[other] > 0;
        drop(rooms);
        if are_left {
            self.called[other].notify_all();
        }
        self.called[full].notify_one();
    }
}

/// A lock that many readers or one writer hold. A panic under it does not poison it.
#[derive(Default)]
pub struct RwLock<T>(sync::RwLock<T>);

impl<T> RwLock<T> {
    pub const fn new(value: T) -> RwLock<T> {
        RwLock(sync::RwLock::new(value))
    }

    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn held<T>(mutex: &sync::Mutex<T>) -> sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(all(test, shuttle))]
mod models;

#[cfg(all(test, not(shuttle)))]
mod tests;
