//! The memtable for `benches/memtable.rs`, which sees only public items. Built only with the feature `internals`; not
//! part of AiDb's interface.

use std::hint::black_box;

use super::Memtable;
use crate::iterator::InternalIterator;
use crate::key::{SequenceNumber, Trailer, ValueKind};
use crate::sync::Arc;

/// A memtable to measure.
pub struct MeasuredMemtable(Arc<Memtable>);

impl MeasuredMemtable {
    /// An empty memtable.
    pub fn new(write_buffer_size: usize) -> MeasuredMemtable {
        MeasuredMemtable(Arc::new(Memtable::new(write_buffer_size)))
    }

    /// Inserts a value.
    pub fn insert(&self, user_key: &[u8], sequence: u64, value: &[u8]) {
        let trailer = Trailer::new(SequenceNumber(sequence), ValueKind::Put);
        let inserted = self.0.insert(user_key, trailer, value);
        inserted.expect("the bench's machine has the memory");
    }

    /// The first byte of the newest value.
    pub fn get(&self, user_key: &[u8]) -> Option<u8> {
        let (_, value) = self.0.get(user_key, Trailer::NEWEST)?;
        value.first().copied()
    }

    /// Walks over all entries, reads a byte of each key and value, and returns their number.
    pub fn scan(&self, forward: bool) -> u64 {
        let mut iterator = self.0.iter();
        let moved = match forward {
            true => iterator.seek_to_first(),
            false => iterator.seek_to_last(),
        };
        moved.expect("a memtable does not fail");
        let mut entries = 0;
        while iterator.valid() {
            black_box((iterator.key().user_key.first(), iterator.value().first()));
            entries += 1;
            let moved = match forward {
                true => iterator.next(),
                false => iterator.prev(),
            };
            moved.expect("a memtable does not fail");
        }
        entries
    }

    /// Bytes held.
    pub fn memory(&self) -> usize {
        self.0.memory()
    }
}
