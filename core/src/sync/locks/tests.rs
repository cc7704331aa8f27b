//! The locks under ordinary threads.

use super::*;
use crate::sync::{Arc, thread};

const THREADS: usize = 8;
const TURNS: usize = 20_000;

#[test]
fn of_many_threads_one_at_a_time_holds_a_mutex() {
    let counter = Mutex::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for turn in 0..TURNS {
                    let mut held = counter.lock();
                    let before = *held;
                    if turn % 64 == 0 {
                        // Long enough for the others to fall asleep (MUTEX-2, MUTEX-3).
                        thread::yield_now();
                    }
                    *held = before + 1;
                }
            });
        }
    });
    assert_eq!(counter.into_inner(), THREADS * TURNS);
}

#[test]
fn a_held_mutex_refuses_who_only_tries_and_a_free_one_does_not() {
    let mutex = Mutex::new(());
    let held = mutex.lock();
    assert!(mutex.is_locked() && mutex.try_lock().is_none());
    drop(held);
    assert!(!mutex.is_locked() && mutex.try_lock().is_some());
}

/// MODEL-4.
#[test]
fn a_panic_under_a_lock_leaves_it_free() {
    let (mutex, lock) = (Arc::new(Mutex::new(1)), Arc::new(RwLock::new(1)));
    let theirs = (Arc::clone(&mutex), Arc::clone(&lock));
    let panicked = thread::spawn(move || {
        let _held = (theirs.0.lock(), theirs.1.write());
        panic!("expected by the test");
    });
    assert!(panicked.join().is_err());
    assert_eq!((*mutex.lock(), *lock.read()), (1, 1));
}

/// Two threads pass a number back and forth; a lost wake-up would end in a hang.
#[test]
fn no_wake_up_is_lost() {
    for wake in [Condvar::notify_one, Condvar::notify_all] {
        let (turn, changed) = (Mutex::new(0), Condvar::new());
        thread::scope(|scope| {
            for side in 0..2 {
                let (turn, changed) = (&turn, &changed);
                scope.spawn(move || {
                    for number in (side..TURNS).step_by(2) {
                        let mut held = turn.lock();
                        while *held != number {
                            changed.wait(&mut held);
                        }
                        *held += 1;
                        drop(held);
                        wake(changed);
                    }
                });
            }
        });
        assert_eq!(turn.into_inner(), TURNS);
        assert_eq!(changed.waiting.into_inner(), 0);
    }
}

#[test]
fn a_notification_for_all_reaches_every_waiter() {
    let (gate, opened) = (Mutex::new((0, false)), Condvar::new());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut held = gate.lock();
                held.0 += 1;
                while !held.1 {
                    opened.wait(&mut held);
                }
            });
        }
        while gate.lock().0 < THREADS {
            thread::yield_now();
        }
        gate.lock().1 = true;
        opened.notify_all();
    });
}

#[test]
fn a_wait_with_a_limit_says_whether_its_time_was_up() {
    let (mutex, never) = (Mutex::new(()), Condvar::new());
    let mut held = mutex.lock();
    let until = Instant::now() + Duration::from_millis(2);
    while !never.wait_until(&mut held, until).timed_out() {}
    assert!(Instant::now() >= until);
    assert!(never.wait_for(&mut held, Duration::ZERO).timed_out());
    assert!(mutex.is_locked());
}
