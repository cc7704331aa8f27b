//! Models of publication.
//!
//! Each comment names changes of the code that the model has to catch.

use super::publish::Publisher;
use crate::key::SequenceNumber;
use crate::sync::atomic::{AtomicBool, Ordering::SeqCst};
use crate::sync::checker::check;
use crate::sync::{Arc, thread};

/// PUBLISH-1 and PUBLISH-3. Fails if `publish` publishes before the earlier commits have; if a commit that has
/// published does not look for later ones that have inserted, or looks before `next` has moved; if a write is
/// acknowledged before it is published without being noted; if `wake` is left out; if a waiter counts itself as
/// parked only after it has looked at the number (a lost wakeup: shuttle reports the deadlock).
#[test]
fn numbers_are_published_in_order_and_wake_who_waits() {
    check("publisher", 2_000, || {
        let publisher = Arc::new(Publisher::new(SequenceNumber(0)));
        let inserted: Arc<[AtomicBool; 3]> = Arc::default();
        let mut threads = Vec::new();
        for number in 0..3u64 {
            let (publisher, inserted) = (publisher.clone(), inserted.clone());
            threads.push(thread::spawn(move || {
                inserted[number as usize].store(true, SeqCst);
                let last = SequenceNumber(number + 1);
                publisher.publish(number, last).unwrap();
                assert!(
                    publisher.read_point().unwrap() >= last,
                    "PUBLISH-3: own write"
                );
            }));
        }
        let mut seen = 0;
        for _ in 0..4 {
            let last = publisher.last().0;
            assert!(last >= seen, "PUBLISH-1: the number only grows");
            seen = last;
            for flag in &inserted[..last as usize] {
                assert!(
                    flag.load(SeqCst),
                    "PUBLISH-1: published before it was inserted"
                );
            }
        }
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        assert_eq!(
            publisher.read_point().unwrap(),
            SequenceNumber(3),
            "PUBLISH-3"
        );
    });
}

/// PUBLISH-2. Fails if `stop` does not notify, or sets its flag without the lock.
#[test]
fn a_stop_reaches_everyone_who_waits_for_a_number() {
    check("publisher stop", 2_000, || {
        let publisher = Arc::new(Publisher::new(SequenceNumber(0)));
        let threads = [1u64, 2].map(|number| {
            let publisher = publisher.clone();
            thread::spawn(move || {
                // Ticket 2 is as far ahead of the first commit as there are slots, so it may have to wait for one.
                let published = publisher.publish(number, SequenceNumber(number + 1));
                if published.is_ok() {
                    publisher.read_point().unwrap_err();
                }
            })
        });
        publisher.stop();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
}
