//! Models of the stand-ins for locks and pointers: what every other model relies on.

use std::sync::Weak;

use super::*;
use crate::sync::checker::check;
use crate::sync::process::{AtomicUsize, Ordering};

/// MODEL-3. Fails if such a wait waits for the notification, which never comes, or says that it came.
#[test]
fn a_wait_with_a_limit_ends_without_a_notification_and_reports_a_timeout() {
    check("wait with a limit", 100, || {
        let pair = Arc::new((Mutex::new(0), Condvar::new()));
        let threads = [0, 1].map(|_| {
            let pair = Arc::clone(&pair);
            thread::spawn(move || {
                let mut held = pair.0.lock();
                let long = Duration::from_secs(60);
                assert!(pair.1.wait_for(&mut held, long).timed_out());
                assert!(pair.1.wait_until(&mut held, ()).timed_out());
                *held += 1;
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(*pair.0.lock(), 2);
    });
}

/// MUTEX-4. Fails if waits end only with a notification: then no model shows that its waiters check their conditions
/// again.
#[test]
fn some_waits_end_without_a_notification() {
    static NEEDLESS: AtomicUsize = AtomicUsize::new(0);
    check("needless wake-ups", 200, || {
        let pair = Arc::new((Mutex::new(false), Condvar::new()));
        let theirs = Arc::clone(&pair);
        let waiter = thread::spawn(move || {
            let mut is_set = theirs.0.lock();
            while !*is_set {
                theirs.1.wait(&mut is_set);
                NEEDLESS.fetch_add(usize::from(!*is_set), Ordering::Relaxed);
            }
        });
        (0..3).for_each(|_| yield_now());
        *pair.0.lock() = true;
        pair.1.notify_one();
        waiter.join().unwrap();
    });
    assert!(NEEDLESS.load(Ordering::Relaxed) > 0);
}

/// Reads the pointer that it was in while it is dropped.
struct Curious(Weak<ArcSwapOption<Curious>>);

impl Drop for Curious {
    fn drop(&mut self) {
        if let Some(place) = self.0.upgrade() {
            drop(place.load());
        }
    }
}

/// MODEL-5. Fails if a value is dropped under the lock of its pointer, because its drop takes that lock too.
#[test]
fn what_was_swapped_out_of_a_pointer_may_use_it_while_it_is_dropped() {
    check("swapped pointer", 1_000, || {
        let place = Arc::new(ArcSwapOption::empty());
        let threads = [0, 1].map(|_| {
            let place = Arc::clone(&place);
            thread::spawn(move || {
                let new = || Some(Arc::new(Curious(Arc::downgrade(&place))));
                place.store(new());
                drop(place.swap(new()));
                let current = place.load();
                drop(place.compare_and_swap(&current, new()));
                drop(current);
                place.store(None);
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
    });
}
