//! Models of the locks: two threads never hold one at once, and none sleeps for ever.

use super::*;
use crate::sync::checker::check;
use crate::sync::{Arc, thread};

/// MUTEX-2 and MUTEX-3. Fails if a waiter takes the lock without its mark, if it sleeps without the inner lock, or if
/// a release wakes no waiter.
#[test]
fn each_of_three_threads_gets_a_mutex_and_has_it_alone() {
    check("mutex", 4_000, || {
        let counter = Arc::new(Mutex::new(0));
        let threads = [0, 1, 2].map(|_| {
            let counter = Arc::clone(&counter);
            thread::spawn(move || {
                for _ in 0..2 {
                    let mut held = counter.lock();
                    let before = *held;
                    thread::yield_now();
                    *held = before + 1;
                }
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(*counter.lock(), 6);
    });
}

/// MUTEX-3. Fails if a waiter releases the mutex before it has the inner lock, or if the notifying thread does not
/// take the inner lock.
#[test]
fn a_notification_reaches_who_waits() {
    for wake in [Condvar::notify_one, Condvar::notify_all] {
        check("condition", 2_000, move || {
            let turn = Arc::new((Mutex::new(0), Condvar::new()));
            let sides = [0, 1].map(|side| {
                let turn = Arc::clone(&turn);
                thread::spawn(move || {
                    for number in [side, side + 2] {
                        let mut held = turn.0.lock();
                        while *held != number {
                            turn.1.wait(&mut held);
                        }
                        *held += 1;
                        drop(held);
                        wake(&turn.1);
                    }
                })
            });
            for side in sides {
                side.join().unwrap();
            }
            assert_eq!(*turn.0.lock(), 4);
        });
    }
}

/// MUTEX-5. Fails if waking all wakes only the first, or if a later call forgets sleepers that an earlier call left.
#[test]
fn a_call_for_all_reaches_who_waits_in_either_room() {
    check("condition with rooms", 4_000, || {
        let gate = Arc::new((Mutex::new(0), Condvar::new()));
        let waiters = [1, 1, 1, 2].map(|wanted| {
            let gate = Arc::clone(&gate);
            thread::spawn(move || {
                let mut open = gate.0.lock();
                while *open < wanted {
                    gate.1.wait(&mut open);
                }
            })
        });
        for _ in 0..2 {
            *gate.0.lock() += 1;
            gate.1.notify_all();
        }
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
}
