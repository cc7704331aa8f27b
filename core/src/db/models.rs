//! Models of what the database's threads share. `models/whole.rs` has those of the whole database, each room its own.
//!
//! Each comment names changes of the code that the model has to catch.

mod whole;

use super::doorbell::Doorbell;
use crate::compaction::Retention;
use crate::key::{KeyRef, SequenceNumber, Trailer, ValueKind};
use crate::snapshot::SnapshotList;
use crate::sync::atomic::{AtomicU64, Ordering::SeqCst};
use crate::sync::checker::check;
use crate::sync::{Arc, Mutex, thread};

/// Fails if `ring` does not notify, notifies without setting the flag, or sets the flag after notifying.
#[test]
fn no_ring_of_the_doorbell_is_lost() {
    check("doorbell", 2_000, || {
        let doorbell = Arc::new(Doorbell::default());
        let brought = Arc::new(AtomicU64::new(0));
        let threads = [1u64, 16].map(|parcel| {
            let (doorbell, brought) = (doorbell.clone(), brought.clone());
            thread::spawn(move || {
                for _ in 0..2 {
                    brought.fetch_add(parcel, SeqCst);
                    doorbell.ring();
                }
            })
        });
        while brought.load(SeqCst) < 34 {
            doorbell.wait(None);
        }
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
}

/// SNAPSHOT-1, on which SUPERVERSION-2 rests. One key, written under every number; a compaction keeps what
/// `Retention` says. Fails if `pin` reads the number before it takes the list's lock, or if `visible` leaves the
/// pinned ones out.
#[test]
fn a_snapshot_finds_its_version_whatever_is_compacted() {
    check("snapshots", 4_000, || {
        let list = Arc::new(SnapshotList::new(|| ()));
        let published = Arc::new(AtomicU64::new(1));
        // Newest first, as in a table.
        let versions = Arc::new(Mutex::new(vec![1u64]));
        let latest = |published: &AtomicU64| SequenceNumber(published.load(SeqCst));
        let writer = {
            let (published, versions) = (published.clone(), versions.clone());
            thread::spawn(move || {
                for number in 2..=4 {
                    versions.lock().insert(0, number);
                    published.store(number, SeqCst);
                }
            })
        };
        let compactor = {
            let (list, published) = (list.clone(), published.clone());
            let versions = versions.clone();
            thread::spawn(move || {
                for _ in 0..2 {
                    let input = versions.lock().clone();
                    let visible = list.visible(|| latest(&published));
                    let mut retention = Retention::new(&visible, None).unwrap();
                    let dropped: Vec<u64> = input
                        .into_iter()
                        .filter(|number| {
                            let trailer = Trailer::new(SequenceNumber(*number), ValueKind::Put);
                            !retention.keeps(KeyRef::new(b"key", trailer)).unwrap()
                        })
                        .collect();
                    versions.lock().retain(|number| !dropped.contains(number));
                }
            })
        };
        for _ in 0..2 {
            let snapshot = list.pin(|| latest(&published));
            let at = snapshot.sequence().0;
            for _ in 0..2 {
                let found = versions.lock().iter().copied().find(|number| *number <= at);
                assert_eq!(
                    found,
                    Some(at),
                    "SNAPSHOT-1: what a snapshot sees was dropped"
                );
            }
        }
        writer.join().unwrap();
        compactor.join().unwrap();
        assert_eq!(list.len(), 0);
    });
}
