//! The keys that recent commits have changed, in the order of the commits.
//!
//! * CHANGES-1  It has the changes of every commit with a number after `floor`, whether published or not: they are
//!              added under the log's lock, with the numbers.
//! * CHANGES-2  It takes a bounded amount of memory: the oldest changes go first, and a commit that changes very many
//!              keys moves the floor past itself.

use std::collections::VecDeque;

use crate::batch::WriteBatch;
use crate::error::Result;
use crate::key::SequenceNumber;
use crate::memory;
use crate::sync::Arc;

/// The name of its memory in errors.
const WINDOW: &str = "the keys of recent commits";
/// The most commits in a window.
const MAX_COMMITS: usize = 4096;
/// The most bytes of changes in a window.
const MAX_BYTES: usize = 1 << 20;
/// The most bytes of the changes of one commit.
const MAX_BYTES_OF_ONE: usize = MAX_BYTES / 8;
/// Besides its bytes, each key takes this many.
const BYTES_PER_KEY: usize = 16;
/// How many small allocations the changes of a commit make that are not checked one by one.
const CHANGES_PIECES: usize = 4;

/// The keys that one commit changes.
pub(crate) struct Changes {
    /// For each key its hash, and where its bytes end.
    keys: Vec<(u64, usize)>,
    bytes: Vec<u8>,
}

impl Changes {
    /// The keys of `batch`; `None` if they are too many to keep.
    pub(crate) fn of(batch: &WriteBatch) -> Result<Option<Arc<Changes>>> {
        if batch.len() * BYTES_PER_KEY > MAX_BYTES_OF_ONE {
            return Ok(None);
        }
        let bytes: usize = batch.keys().map(|(_, key)| key.len()).sum();
        if bytes + batch.len() * BYTES_PER_KEY > MAX_BYTES_OF_ONE {
            return Ok(None);
        }
        memory::room_ahead(CHANGES_PIECES, WINDOW)?;
        let mut changes = Changes {
            keys: memory::room_for(batch.len(), WINDOW)?,
            bytes: memory::room_for(bytes, WINDOW)?,
        };
        for (hash, key) in batch.keys() {
            changes.bytes.extend_from_slice(key);
            changes.keys.push((hash, changes.bytes.len()));
        }
        Ok(Some(Arc::new(changes)))
    }

    /// The hash and the bytes of each key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let mut start = 0;
        self.keys.iter().map(move |&(hash, end)| {
            let key = &self.bytes[start..end];
            start = end;
            (hash, key)
        })
    }

    fn memory(&self) -> usize {
        self.bytes.len() + self.keys.len() * BYTES_PER_KEY
    }
}

/// See the head of the file.
#[derive(Default)]
pub(crate) struct Window {
    floor: SequenceNumber,
    /// The number of each commit's last operation, ascending, with its changes.
    commits: VecDeque<(SequenceNumber, Arc<Changes>)>,
    bytes: usize,
}

impl Window {
    /// An empty window for the commits after `floor`.
    pub(crate) fn after(floor: SequenceNumber) -> Result<Window> {
        Ok(Window {
            floor,
            commits: VecDeque::from(memory::room_for(MAX_COMMITS, WINDOW)?),
            bytes: 0,
        })
    }

    /// Adds the commit whose last operation has the number `last`. Returns whether older ones had to go. Does not
    /// allocate.
    pub(crate) fn push(&mut self, last: SequenceNumber, changes: Option<Arc<Changes>>) -> bool {
        debug_assert!(
            self.floor < last && self.commits.back().is_none_or(|(newest, _)| *newest < last),
            "CHANGES-1: commits come in the order of their numbers"
        );
        let Some(changes) = changes else {
            self.commits.clear();
            self.bytes = 0;
            self.floor = last;
            return true;
        };
        let mut went = false;
        while self.commits.len() >= MAX_COMMITS || self.bytes + changes.memory() > MAX_BYTES {
            let Some((number, oldest)) = self.commits.pop_front() else {
                break;
            };
            self.floor = number;
            self.bytes -= oldest.memory();
            went = true;
        }
        self.bytes += changes.memory();
        self.commits.push_back((last, changes));
        debug_assert!(
            self.bytes <= MAX_BYTES && self.commits.len() <= MAX_COMMITS,
            "CHANGES-2"
        );
        went
    }

    /// The changes of the commits after `number`, oldest first; `None` if some of them are gone.
    pub(crate) fn since(
        &self,
        number: SequenceNumber,
    ) -> Option<impl ExactSizeIterator<Item = (SequenceNumber, &Arc<Changes>)>> {
        if number < self.floor {
            return None;
        }
        let from = self.commits.partition_point(|(last, _)| *last <= number);
        let later = self.commits.range(from..);
        Some(later.map(|(last, changes)| (*last, changes)))
    }

    /// The commits up to this number are not in it.
    pub(crate) fn floor(&self) -> SequenceNumber {
        self.floor
    }

    /// Bytes of memory that the changes take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.commits.capacity() * size_of::<(SequenceNumber, Arc<Changes>)>()
    }
}

#[cfg(test)]
mod tests;
