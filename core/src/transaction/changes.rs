//! The keys that recent commits have changed, in the order of the commits.
//!
//! They lie in a ring of bytes that is made once, so that a commit that adds its keys allocates nothing.
//!
//! * CHANGES-1  It has the changes of every commit with a number after `floor`, whether published or not: they are
//!              added under the log's lock, with the numbers.
//! * CHANGES-2  It takes a bounded amount of memory: the oldest changes go first, and a commit that changes very many
//!              keys moves the floor past itself.
//! * CHANGES-3  The pieces of the ring that commits have do not overlap. From the oldest commit on they ascend, and may
//!              begin again at the front once.

use std::collections::VecDeque;

use crate::batch::WriteBatch;
use crate::error::Result;
use crate::key::SequenceNumber;
use crate::memory;

/// The name of its memory in errors.
const WINDOW: &str = "the keys of recent commits";
/// The most commits in a window.
const MAX_COMMITS: usize = 4096;
/// Bytes of the ring.
const RING_BYTES: usize = 1 << 20;
/// The most bytes of the ring that one commit may take.
const MAX_BYTES_OF_ONE: usize = RING_BYTES / 8;
/// Before the bytes of each key: its hash and its length.
const HASH_BYTES: usize = 8;
const LENGTH_BYTES: usize = 4;
const HEAD_BYTES: usize = HASH_BYTES + LENGTH_BYTES;

/// The keys that one or several commits have changed, as the ring has them.
#[derive(Clone, Copy)]
pub(crate) struct Changes<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Changes<'a> {
    /// The hash and the bytes of a key.
    type Item = (u64, &'a [u8]);

    fn next(&mut self) -> Option<(u64, &'a [u8])> {
        let (hash, rest) = self.0.split_first_chunk::<HASH_BYTES>()?;
        let (length, rest) = rest.split_first_chunk::<LENGTH_BYTES>()?;
        let (key, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.0 = rest;
        Some((u64::from_le_bytes(*hash), key))
    }
}

/// A commit in the window.
#[derive(Debug, Clone, Copy)]
struct Recent {
    /// The number of its last operation.
    last: SequenceNumber,
    /// Its piece of the ring.
    start: usize,
    end: usize,
}

/// See the head of the file.
pub(crate) struct Window {
    floor: SequenceNumber,
    /// In the order of their numbers.
    commits: VecDeque<Recent>,
    ring: Vec<u8>,
    /// Where the next piece begins, if it fits there.
    next: usize,
}

impl Window {
    /// An empty window for the commits after `floor`.
    pub(crate) fn after(floor: SequenceNumber) -> Result<Window> {
        Ok(Window {
            floor,
            commits: VecDeque::from(memory::room_for(MAX_COMMITS, WINDOW)?),
            ring: memory::zeros(RING_BYTES, WINDOW)?,
            next: 0,
        })
    }

    /// Adds the commit of `batch`, whose last operation has the number `last`. Returns whether older ones had to go.
    /// Does not allocate.
    pub(crate) fn push(&mut self, last: SequenceNumber, batch: &WriteBatch) -> bool {
        debug_assert!(
            self.floor < last && self.commits.back().is_none_or(|newest| newest.last < last),
            "CHANGES-1: commits come in the order of their numbers"
        );
        let Some(bytes) = bytes_of(batch) else {
            self.commits.clear();
            self.next = 0;
            self.floor = last;
            return true;
        };
        let held = self.commits.len();
        let start = self.make_room(bytes);
        let went = self.commits.len() < held;
        let mut at = start;
        batch.for_each_key(|hash, key| {
            let head = (hash.to_le_bytes(), (key.len() as u32).to_le_bytes());
            self.ring[at..at + HASH_BYTES].copy_from_slice(&head.0);
            self.ring[at + HASH_BYTES..at + HEAD_BYTES].copy_from_slice(&head.1);
            at += HEAD_BYTES;
            self.ring[at..at + key.len()].copy_from_slice(key);
            at += key.len();
        });
        debug_assert!(
            at == start + bytes,
            "CHANGES-1: all keys of the batch are there"
        );
        self.next = at;
        self.commits.push_back(Recent {
            last,
            start,
            end: at,
        });
        debug_assert!(self.commits.len() <= MAX_COMMITS, "CHANGES-2");
        went
    }

    /// Frees a piece of the ring for `bytes` bytes; returns where it begins.
    fn make_room(&mut self, bytes: usize) -> usize {
        let mut start = self.next;
        if start + bytes > self.ring.len() {
            // The piece begins at the front. Whatever lies up to the end of the ring is older than what lies there.
            self.forget_while(|oldest| oldest.start >= start);
            start = 0;
        }
        self.forget_while(|oldest| oldest.start < start + bytes && start < oldest.end);
        if self.commits.len() >= MAX_COMMITS {
            self.forget_oldest();
        }
        debug_assert!(
            self.commits
                .iter()
                .all(|other| other.end <= start || start + bytes <= other.start),
            "CHANGES-3"
        );
        start
    }

    fn forget_while(&mut self, is_in_the_way: impl Fn(&Recent) -> bool) {
        while self.commits.front().is_some_and(&is_in_the_way) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.commits.pop_front() {
            self.floor = oldest.last;
        }
    }

    /// The changes of the commits after `number`, oldest first; `None` if some of them are gone.
    pub(crate) fn since(
        &self,
        number: SequenceNumber,
    ) -> Option<impl ExactSizeIterator<Item = (SequenceNumber, Changes<'_>)>> {
        if number < self.floor {
            return None;
        }
        let from = self.commits.partition_point(|recent| recent.last <= number);
        let later = self.commits.range(from..);
        Some(later.map(|recent| (recent.last, Changes(&self.ring[recent.start..recent.end]))))
    }

    /// The commits up to this number are not in it.
    pub(crate) fn floor(&self) -> SequenceNumber {
        self.floor
    }

    /// Bytes of memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.ring.capacity() + self.commits.capacity() * size_of::<Recent>()
    }
}

/// How many bytes of the ring the keys of `batch` take; `None` if they are too many to keep, as those of a range delete
/// are.
fn bytes_of(batch: &WriteBatch) -> Option<usize> {
    if batch.range_deletes() > 0 {
        return None;
    }

    let heads = batch.len() * HEAD_BYTES;
    let mut bytes = heads;
    if heads <= MAX_BYTES_OF_ONE {
        batch.for_each_key(|_, key| bytes += key.len());
    }
    (bytes <= MAX_BYTES_OF_ONE).then_some(bytes)
}

#[cfg(test)]
mod tests;
