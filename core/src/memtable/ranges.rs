//! The range deletes of a memtable, beside the index, where each is an entry at its start as well.
//!
//! * MEMTABLE-7  A range delete is shown here before its number is published. So a reader that loads the published
//!               number first finds every range delete up to that number.

use crate::error::Result;
use crate::range_delete::RangeDelete;
use crate::range_deletes::{RangeDeletes, room_for};
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Arc, ArcSwapOption, Mutex};

/// About the bytes that a range delete takes beside those of its keys.
const BYTES_EACH: usize = 400;

/// See the head of the file.
pub(super) struct Ranges {
    adding: Mutex<RangeDeletes>,
    shown: ArcSwapOption<RangeDeletes>,
    bytes: AtomicUsize,
}

impl Ranges {
    pub(super) fn new() -> Ranges {
        Ranges {
            adding: Mutex::new(RangeDeletes::default()),
            shown: ArcSwapOption::empty(),
            bytes: AtomicUsize::new(0),
        }
    }

    /// Checks that there is memory for `count` more, whose keys have at most `key_bytes` bytes.
    pub(super) fn make_room(&self, count: usize, key_bytes: usize) -> Result<()> {
        let present = self.adding.lock().len();
        // As many may have to be put together again until there are twice as many.
        let again = if present.is_power_of_two() {
            present
        } else {
            0
        };
        room_for(again, count, key_bytes)
    }

    /// Adds one, for which there is memory.
    pub(super) fn add(&self, range: &RangeDelete) {
        let mut adding = self.adding.lock();
        adding.add(range);
        // Relaxed: it is an estimate.
        self.bytes
            .fetch_add(BYTES_EACH + range.key_bytes(), Ordering::Relaxed);
        // Under the lock, so that no later one is missing from what is shown last.
        self.shown.store(Some(Arc::new(adding.clone())));
    }

    /// Those added so far.
    pub(super) fn load(&self) -> Option<Arc<RangeDeletes>> {
        self.shown.load_full()
    }

    /// About the bytes that they take.
    #[inline]
    pub(super) fn memory(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}
