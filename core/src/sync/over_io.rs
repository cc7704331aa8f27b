//! A mutex that a thread holds while it reads or writes files.
//!
//! * OVERIO-1  A thread that holds one takes no lock that a thread may hold while it waits for this one: none of
//!             the five ranks of `db/locks.rs`, and none of the same or an outer [`Stage`]. Unit tests check that;
//!             other builds do not, because an environment may use another database in the middle of a call.

use std::ops::{Deref, DerefMut};

use super::{Mutex, MutexGuard};

/// The order of these mutexes, outermost first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// What one cursor holds, during a move.
    Cursor,
    /// A file that is being opened, made or renamed, or a directory that is being synced.
    File,
}

/// See the head of the file.
pub(crate) struct OverIo<T> {
    stage: Stage,
    mutex: Mutex<T>,
}

impl<T> OverIo<T> {
    pub(crate) const fn new(stage: Stage, value: T) -> OverIo<T> {
        OverIo {
            stage,
            mutex: Mutex::new(value),
        }
    }

    #[inline]
    pub(crate) fn lock(&self) -> HeldOverIo<'_, T> {
        let noted = Noted::at(self.stage);
        HeldOverIo {
            guard: self.mutex.lock(),
            _noted: noted,
        }
    }
}

/// An [`OverIo`] that is held.
pub(crate) struct HeldOverIo<'a, T> {
    // Dropped before `_noted`: the mutex is released first, and then no longer counts as held.
    guard: MutexGuard<'a, T>,
    _noted: Noted,
}

impl<T> Deref for HeldOverIo<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for HeldOverIo<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// Checks that this thread holds no [`OverIo`], because it is about to take a lock that comes before them.
#[cfg(all(debug_assertions, not(shuttle)))]
#[inline(always)]
pub(crate) fn assert_none_is_held() {
    #[cfg(test)]
    assert!(
        HELD.get() == [false; 2],
        "OVERIO-1: no ranked lock is taken while one is held over input and output"
    );
}

/// Records that this thread holds an [`OverIo`], or waits for it; empty outside unit tests.
#[cfg(any(not(test), shuttle))]
struct Noted;

#[cfg(any(not(test), shuttle))]
impl Noted {
    #[inline(always)]
    fn at(_: Stage) -> Noted {
        Noted
    }
}

#[cfg(all(test, not(shuttle)))]
struct Noted(Stage);

#[cfg(all(test, not(shuttle)))]
thread_local! {
    /// The stages at which this thread holds a mutex.
    static HELD: std::cell::Cell<[bool; 2]> = const { std::cell::Cell::new([false; 2]) };
}

#[cfg(all(test, not(shuttle)))]
impl Noted {
    fn at(stage: Stage) -> Noted {
        let mut held = HELD.get();
        let is_free = held[stage as usize..].iter().all(|is_held| !is_held);
        assert!(
            is_free,
            "OVERIO-1: {stage:?} is locked after one like it or an inner one"
        );
        held[stage as usize] = true;
        HELD.set(held);
        Noted(stage)
    }
}

#[cfg(all(test, not(shuttle)))]
impl Drop for Noted {
    fn drop(&mut self) {
        let mut held = HELD.get();
        held[self.0 as usize] = false;
        HELD.set(held);
    }
}

#[cfg(all(test, debug_assertions, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_may_open_a_file_while_it_moves() {
        let (cursor, file) = (OverIo::new(Stage::Cursor, ()), OverIo::new(Stage::File, ()));
        let moving = cursor.lock();
        drop(file.lock());
        drop((moving, file.lock()));
        assert_none_is_held();
    }

    #[test]
    #[should_panic(expected = "OVERIO-1: Cursor is locked after")]
    fn a_cursor_does_not_move_while_a_file_is_opened() {
        let (cursor, file) = (OverIo::new(Stage::Cursor, ()), OverIo::new(Stage::File, ()));
        let _opening = file.lock();
        let _moving = cursor.lock();
    }

    #[test]
    #[should_panic(expected = "OVERIO-1: no ranked lock")]
    fn no_ranked_lock_is_taken_while_a_file_is_opened() {
        let file = OverIo::new(Stage::File, ());
        let _opening = file.lock();
        assert_none_is_held();
    }
}
