//! A model of deleting tables: the mark, the last reader and the queue.

use super::*;
use crate::key::{FileNumber, KeyspaceId};
use crate::sync::atomic::{AtomicU64, Ordering::SeqCst};
use crate::sync::checker::check;
use crate::sync::{ArcSwap, Condvar, Mutex, thread};

/// FILE-1 of `file.rs`. Fails if `mark_obsolete` queues the number at once, if the drop does not queue or does not
/// wake, or wakes before it has queued.
#[test]
fn a_table_is_deleted_once_and_only_after_its_last_reader() {
    check("obsolete files", 2_000, || {
        let bell = Arc::new((Mutex::new(false), Condvar::new()));
        let ring = bell.clone();
        let queue = ObsoleteFiles::new(move || {
            *ring.0.lock() = true;
            ring.1.notify_one();
        });
        let file = |number| {
            let info = TableInfo {
                number: FileNumber(number),
                ..TableInfo::default()
            };
            FileMeta::new(KeyspaceId::DEFAULT, info, queue.clone())
        };
        let current = Arc::new(ArcSwap::from_pointee(file(1)));
        // One bit for each number.
        let deleted = Arc::new(AtomicU64::new(0));
        let readers = [0, 1].map(|_| {
            let (current, deleted) = (current.clone(), deleted.clone());
            thread::spawn(move || {
                let pinned = current.load_full();
                for _ in 0..2 {
                    let bit = 1 << pinned.info.number.0;
                    assert!(
                        deleted.load(SeqCst) & bit == 0,
                        "FILE-1: deleted under a reader"
                    );
                }
            })
        });
        let deleter = {
            let (queue, bell, deleted) = (queue.clone(), bell.clone(), deleted.clone());
            thread::spawn(move || {
                while deleted.load(SeqCst) != 0b110 {
                    let mut rung = bell.0.lock();
                    while !std::mem::take(&mut *rung) {
                        bell.1.wait(&mut rung);
                    }
                    drop(rung);
                    for number in queue.take() {
                        let before = deleted.fetch_or(1 << number.0, SeqCst);
                        assert!(before & (1 << number.0) == 0, "deleted twice");
                    }
                }
            })
        };
        for number in 2..=3 {
            let next = Arc::new(file(number));
            current.load_full().mark_obsolete();
            drop(current.swap(next));
        }
        readers
            .into_iter()
            .for_each(|reader| reader.join().unwrap());
        deleter.join().unwrap();
        assert_eq!(queue.take(), []);
    });
}
