//! `Chunk`: many entries of a cursor, copied so that a binding crosses the language boundary once for all of them.
//!
//! Elsewhere: how many there are in one (`Cursor::read_chunk`).

use crate::effort;
use crate::error::Result;
use crate::memory;

/// The name of its memory in errors.
const CHUNK: &str = "many entries";

/// Many entries in one buffer; reused between calls it costs no allocation.
#[derive(Debug, Default, Clone)]
pub struct Chunk {
    bytes: Vec<u8>,
    /// For each entry, the ends of its key and its value in `bytes`; a key starts where the previous value
    /// ends.
    ends: Vec<(usize, usize)>,
}

impl Chunk {
    /// An empty chunk.
    pub fn new() -> Chunk {
        Chunk::default()
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Adds an entry. If that is refused, for want of memory or of time, the chunk is as before.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        // Even if the chunk has room, the entry may use up the budget.
        effort::spend(key.len() + value.len())?;
        memory::reserve(&mut self.bytes, key.len() + value.len(), CHUNK)?;
        memory::reserve(&mut self.ends, 1, CHUNK)?;
        self.bytes.extend_from_slice(key);
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.ends.push((key_end, self.bytes.len()));
        Ok(())
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// All keys and values, one after the other in the order of the entries.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// For each entry, the offsets in [`Chunk::bytes`] where its key and its value end.
    pub fn ends(&self) -> &[(usize, usize)] {
        &self.ends
    }

    /// The entries as `(key, value)`.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        let mut start = 0;
        self.ends.iter().map(move |&(key_end, value_end)| {
            let entry = (&self.bytes[start..key_end], &self.bytes[key_end..value_end]);
            start = value_end;
            entry
        })
    }
}
