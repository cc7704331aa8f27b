//! Fills a memtable in bulk before any other thread has it.
//!
//! Entries are copied into the arena as they come, and are added to the index later, together and in order.
//! Each then goes to the end of the last leaf, without a search, and the leaves become full.
//!
//! * LOAD-1  Every waiting entry is a record in the memtable's own arena, completely written.
//! * LOAD-2  When [`Loader::finish`] returns the memtable, every entry is in the index; no reader sees the
//!           memtable earlier.

#![expect(
    unsafe_code,
    reason = "records wait as addresses, beside the memtable that holds them"
)]

use super::Memtable;
use super::arena::Record;
use super::chunk::MEMTABLE;
use super::node::{Cut, shared_bytes};
use crate::content::{Content, Sum};
use crate::error::{Error, Result};
use crate::iterator::InternalIterator;
use crate::key::{Trailer, ValueKind, eight_bytes};
use crate::memory;
use crate::prefetch::prefetch;
use crate::sync::Arc;

/// A record is prefetched this many records before its turn.
const AHEAD: usize = 8;
/// About how many bytes of a full leaf, and of the directory, an entry takes.
const INDEX_BYTES: usize = 20;

/// See the head of the file.
pub(crate) struct Loader {
    waiting: Vec<Waiting>,
    memtable: Memtable,
    sum: Sum,
}

/// A record; once it is sorted, also eight bytes of its key, which follow the bytes that all keys share.
#[derive(Clone, Copy)]
struct Waiting {
    prefix: u64,
    /// LOAD-1.
    record: *mut u8,
}

impl Loader {
    /// An empty memtable, as by [`Memtable::recycling`]. Fails only if there is no memory.
    pub(crate) fn new(write_buffer_size: usize) -> Result<Loader> {
        let spare = Memtable::no_spare_chunks(write_buffer_size);
        Ok(Loader {
            waiting: Vec::new(),
            memtable: Memtable::recycling(write_buffer_size, spare)?,
            sum: Sum::default(),
        })
    }

    /// Adds an entry. No two have the same user key and sequence number (IKEY-2). Fails only if there is no memory.
    pub(crate) fn add(&mut self, user_key: &[u8], trailer: Trailer, value: &[u8]) -> Result<()> {
        if self.waiting.len() == self.waiting.capacity() {
            let more = self.waiting.len().max(1 << 10);
            memory::reserve(&mut self.waiting, more, MEMTABLE)?;
        }
        let kind = trailer
            .kind()
            .ok_or_else(|| Error::internal("an entry of unknown kind reached a memtable"))?;
        let content = Content::of(kind, user_key, value);
        let bits = self.memtable.filter.bits_of(content.key_hash);
        let record = self.memtable.index.write(user_key, trailer, value)?;
        self.memtable.filter.add(bits);
        self.waiting.push(Waiting {
            prefix: 0,
            record: record.start().as_ptr(),
        });
        self.sum.add(kind, content, trailer.sequence());
        if kind == ValueKind::RangeDelete {
            (self.memtable).make_room_for_ranges(1, user_key.len() + value.len())?;
            (self.memtable).add_range(user_key, trailer.sequence(), value)?;
        }
        debug_assert!(
            self.waiting.len() as u64 == self.sum.entries(),
            "LOAD-1: every waiting entry is counted"
        );
        Ok(())
    }

    /// Entries that were added.
    pub(crate) fn entries(&self) -> usize {
        self.waiting.len()
    }

    /// About how many bytes the memtable will hold.
    pub(crate) fn memory(&self) -> usize {
        self.memtable.memory() + self.waiting.len() * INDEX_BYTES
    }

    /// The memtable with every entry in its place (LOAD-2), checked by a walk through it. Fails if there is no
    /// memory, and with `Internal` if it does not hold the added entries.
    pub(crate) fn finish(self) -> Result<Arc<Memtable>> {
        let Loader {
            mut waiting,
            memtable,
            sum,
        } = self;
        debug_assert!(
            waiting.len() as u64 == sum.entries(),
            "LOAD-1: every waiting entry is counted"
        );
        sort(&mut waiting);
        for (place, next) in waiting.iter().enumerate() {
            if let Some(later) = waiting.get(place + AHEAD) {
                prefetch(later.record);
            }
            // SAFETY: the memtable lives until this function returns it (LOAD-1).
            let record = unsafe { next.record() };
            let leaf = memtable.index.leaf_for(&Cut::before(record.key()));
            memtable.index.place(leaf, record)?;
        }
        drop(waiting);
        memtable.account(sum);
        let memtable = Arc::new(memtable);
        let found = walked(&memtable)?;
        match found == sum {
            true => Ok(memtable),
            false => Err(Error::internal(format!(
                "a memtable was loaded with {sum}, but has {found}"
            ))),
        }
    }
}

/// The sum of the entries that a walk through the memtable finds.
fn walked(memtable: &Arc<Memtable>) -> Result<Sum> {
    let mut sum = Sum::default();
    let mut entries = memtable.iter();
    entries.seek_to_first()?;
    while entries.valid() {
        let key = entries.key();
        sum.add_entry(key.user_key, key.trailer, entries.value());
        entries.next()?;
    }
    Ok(sum)
}

impl Waiting {
    /// The record.
    ///
    /// # Safety
    /// The memtable that holds the record lives for `'a`.
    unsafe fn record<'a>(self) -> Record<'a> {
        // SAFETY: `Record::address` returned this address on this thread (LOAD-1), for a record of an arena that
        // lives for 'a.
        unsafe { Record::from_address(self.record) }.expect("LOAD-1: a record has an address")
    }
}

/// Sorts records in the order of the tree.
fn sort(waiting: &mut [Waiting]) {
    // SAFETY: the caller holds the memtable while these records are used.
    let record = |waiting: &Waiting| unsafe { waiting.record() };
    let Some(first) = waiting.first().map(record) else {
        return;
    };
    let mut shared = first.user_key().len();
    for other in waiting.iter().map(record) {
        let key = other.user_key();
        if key.get(..shared) != first.user_key().get(..shared) {
            shared = shared_bytes(first.user_key(), key).min(shared);
        }
    }
    for waiting in waiting.iter_mut() {
        waiting.prefix = eight_bytes(record(waiting).user_key(), shared);
    }
    waiting.sort_unstable_by(|a, b| {
        let by_prefix = a.prefix.cmp(&b.prefix);
        by_prefix.then_with(|| record(a).key().cmp(&record(b).key()))
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SequenceNumber;

    /// Every entry of a memtable: key, number, value.
    fn entries(memtable: Arc<Memtable>) -> Vec<(Vec<u8>, u64, Vec<u8>)> {
        let mut iterator = memtable.iter();
        iterator.seek_to_first().unwrap();
        let mut entries = Vec::new();
        while iterator.valid() {
            let key = iterator.key();
            entries.push((
                key.user_key.to_vec(),
                key.trailer.sequence().0,
                iterator.value().to_vec(),
            ));
            iterator.next().unwrap();
        }
        entries
    }

    /// LOAD-2.
    #[test]
    fn what_is_loaded_is_what_inserting_would_have_made() {
        let shapes: [&dyn Fn(u64) -> Vec<u8>; 6] = [
            &|number| format!("{:016}", number * 7919 % 5000).into_bytes(),
            &|number| format!("a long common beginning {:03}", number % 100).into_bytes(),
            &|number| vec![0; (number * 31 % 40) as usize],
            &|number| vec![number as u8; (number % 3) as usize],
            &|number| [vec![b'x'; (number % 20) as usize], b"end".to_vec()].concat(),
            &|_| b"one".to_vec(),
        ];
        for (shape, key) in shapes.iter().enumerate() {
            for count in [0, 1, 2, 64, 65, 5000] {
                let mut loader = Loader::new(1 << 20).unwrap();
                let inserted = Memtable::new(1 << 20);
                for number in 0..count {
                    let trailer = Trailer::new(SequenceNumber(number + 1), ValueKind::Put);
                    let value = number.to_le_bytes();
                    loader.add(&key(number), trailer, &value).unwrap();
                    inserted.insert(&key(number), trailer, &value).unwrap();
                }
                let loaded = loader.finish().unwrap();
                assert_eq!(loaded.entries(), count, "shape {shape}");
                for number in 0..count {
                    let at = Trailer::visible_at(SequenceNumber(number + 1));
                    let found = loaded.get(&key(number), at).map(|(_, value)| value);
                    assert_eq!(found, Some(&number.to_le_bytes()[..]), "shape {shape}");
                }
                let same = entries(loaded) == entries(Arc::new(inserted));
                assert!(same, "shape {shape} of {count}");
            }
        }
    }

    #[test]
    fn more_can_be_inserted_behind_and_between_what_was_loaded() {
        let mut loader = Loader::new(1 << 20).unwrap();
        let trailer = |number| Trailer::new(SequenceNumber(number), ValueKind::Put);
        for number in (0..1000u64).rev() {
            let key = (2 * number).to_be_bytes();
            loader.add(&key, trailer(number + 1), b"even").unwrap();
        }
        let memtable = loader.finish().unwrap();
        for number in 0..1100u64 {
            let key = (2 * number + 1).to_be_bytes();
            memtable
                .insert(&key, trailer(number + 5000), b"odd")
                .unwrap();
        }
        let keys: Vec<_> = entries(memtable).into_iter().map(|entry| entry.0).collect();
        assert_eq!(keys.len(), 2100);
        assert!(keys.is_sorted());
    }

    #[test]
    fn the_memory_foretold_is_about_what_the_memtable_holds() {
        let mut loader = Loader::new(64 << 20).unwrap();
        for number in 0..50_000u64 {
            let key = format!("{:016}", number * 7919 % 50_000);
            let trailer = Trailer::new(SequenceNumber(number + 1), ValueKind::Put);
            loader.add(key.as_bytes(), trailer, &[b'v'; 100]).unwrap();
        }
        let foretold = loader.memory() as f64;
        let held = loader.finish().unwrap().memory() as f64;
        assert!(
            (0.95..1.05).contains(&(foretold / held)),
            "{foretold} of {held}"
        );
    }
}
