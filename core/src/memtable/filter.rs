//! A Bloom filter over the user keys of a memtable: it shows that a key is absent at the cost of one cache
//! line.
//!
//! Most reads find nothing in the memtables, and without the filter each would cost a whole search. Each key
//! sets four bits of one word, so a lookup and an insert each touch a single line.
//!
//! * MEMTABLE-4  A key is in the filter before its insert returns, and so before its sequence number is
//!               published: for a reader at that number or a later one the filter never reports the key absent.
//!
//! The memory is a part of the write buffer: eighteen bits per key at 116 bytes an entry, five at 40.
//!
//! Source: Putze, Sanders & Singler, "Cache-, Hash- and Space-Efficient Bloom Filters" (2007).

#![cfg_attr(
    not(shuttle),
    expect(
        unsafe_code,
        reason = "zeroed memory, which the system has at no cost, is used as a slice of atomics"
    )
)]

#[cfg(not(shuttle))]
use std::alloc::Layout;
#[cfg(not(shuttle))]
use std::ptr::NonNull;

#[cfg(not(shuttle))]
use super::chunk::MEMTABLE;
#[cfg(not(shuttle))]
use crate::error::Error;
use crate::error::Result;
#[cfg(not(shuttle))]
use crate::memory;
use crate::prefetch::prefetch;
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The filter takes this part of the write buffer.
const SHARE: usize = 64;
/// Words of the smallest filter.
const MIN_WORDS: usize = 8;

/// Whether a key may be in the memtable. See the head of the file.
pub(super) struct Filter {
    words: Box<[AtomicU64]>,
}

/// The place of a key's bits.
#[derive(Clone, Copy)]
pub(super) struct Bits {
    word: usize,
    mask: u64,
}

impl Filter {
    /// An empty filter for a memtable of `capacity` bytes. Fails only if there is no memory.
    pub(super) fn new(capacity: usize) -> Result<Filter> {
        Ok(Filter {
            words: zeros((capacity / SHARE / 8).max(MIN_WORDS))?,
        })
    }

    /// The smallest filter; it takes so little memory that it is not checked.
    pub(super) fn smallest() -> Filter {
        Filter {
            words: (0..MIN_WORDS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Finds the bits of the key with this hash (`content::key_hash`), and starts loading them.
    #[inline]
    pub(super) fn bits_of(&self, hash: u64) -> Bits {
        // The upper half of the hash chooses the word, pieces of the lower half the bits.
        let word = (((hash >> 32) * self.words.len() as u64) >> 32) as usize;
        let bit = |shift: u32| 1 << (hash >> shift & 63);
        let mask = bit(0) | bit(6) | bit(12) | bit(18);
        prefetch((&raw const self.words[word]).cast());
        Bits { word, mask }
    }

    /// Adds a key.
    #[inline]
    pub(super) fn add(&self, bits: Bits) {
        let word = &self.words[bits.word];
        if word.load(Relaxed) & bits.mask != bits.mask {
            word.fetch_or(bits.mask, Relaxed);
        }
    }

    #[cfg(test)]
    pub(super) fn forget(&self) {
        self.words.iter().for_each(|word| word.store(0, Relaxed));
    }

    /// Whether the key may have been added. `false` is certain: it is never returned for a key whose insert this
    /// thread knows of (MEMTABLE-4).
    #[inline]
    pub(super) fn may_contain(&self, bits: Bits) -> bool {
        self.words[bits.word].load(Relaxed) & bits.mask == bits.mask
    }

    /// Bytes held, not counting the struct itself.
    pub(super) fn memory(&self) -> usize {
        size_of_val(&*self.words)
    }
}

/// Zeroed memory. The system makes its pages when they are first touched.
#[cfg(not(shuttle))]
fn zeros(count: usize) -> Result<Box<[AtomicU64]>> {
    let no_memory = |_| Error::out_of_memory(MEMTABLE, usize::MAX);
    let layout = Layout::array::<AtomicU64>(count).map_err(no_memory)?;
    let words = memory::allocate(layout, true, MEMTABLE)?.cast::<AtomicU64>();
    let words = NonNull::slice_from_raw_parts(words, count);
    // SAFETY: the global allocator allocated it with the layout of such a slice, no other code has it, and zeros are
    // atomics of 0.
    Ok(unsafe { Box::from_raw(words.as_ptr()) })
}

/// The model checker's atomics are not just integers.
#[cfg(shuttle)]
fn zeros(count: usize) -> Result<Box<[AtomicU64]>> {
    Ok((0..count).map(|_| AtomicU64::new(0)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::key_hash;

    #[test]
    fn added_keys_are_found_and_few_others() {
        let filter = Filter::new(1 << 20).unwrap();
        let key = |number: u32| key_hash(format!("user{number:012}").as_bytes());
        // As many entries as fit a mebibyte with values of 100 bytes.
        for number in 0..7_000 {
            filter.add(filter.bits_of(key(number)));
        }
        for number in 0..7_000 {
            assert!(
                filter.may_contain(filter.bits_of(key(number))),
                "MEMTABLE-4"
            );
        }
        let wrong = (7_000..107_000)
            .filter(|number| filter.may_contain(filter.bits_of(key(*number))))
            .count();
        assert!(wrong < 1_000, "{wrong} of 100,000 absent keys");
    }

    #[test]
    fn it_takes_a_sixty_fourth_of_the_write_buffer() {
        for (capacity, bytes) in [(0, 64), (4_096, 64), (8_192, 128), (1 << 20, 16 << 10)] {
            assert_eq!(
                Filter::new(capacity).unwrap().memory(),
                bytes,
                "of {capacity}"
            );
        }
    }
}
