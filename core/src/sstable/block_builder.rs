//! Writes the raw bytes of one data block. The inverse is `block/stored.rs`; layout: docs/format.md, "SSTable".
//!
//! * BLOCK-1  An entry at a restart point shares no bytes with the entry before it: the block stores its whole
//!            key. The first entry is a restart point.
//! * BLOCK-2  Entries share only bytes of the user key; the trailer of every entry is stored in full.
//! * BLOCK-3  The user keys that share bytes between two restart points have, when rebuilt, at most
//!            [`MAX_REBUILT_BYTES`]: a reader that goes backward rebuilds all of them at once.
//! * BLOCK-4  Every entry begins below 4 GiB (restart points are u32): the caller ends the block long before.

use crate::coding::{MAX_VARINT_BYTES, put_u32, put_varint};
use crate::error::{Error, Result};
use crate::key::{KeyRef, TRAILER_BYTES};
use crate::memory;

/// The most bytes of rebuilt user keys between two restart points (BLOCK-3).
pub(crate) const MAX_REBUILT_BYTES: usize = 64 << 10;

/// The name of its memory in errors.
const BLOCK: &str = "a block that is built";

pub(crate) struct BlockBuilder {
    restart_interval: usize,
    bytes: Vec<u8>,
    restarts: Vec<u32>,
    since_restart: usize,
    rebuilt: usize,
}

impl BlockBuilder {
    pub(crate) fn new(restart_interval: usize) -> BlockBuilder {
        BlockBuilder {
            restart_interval: restart_interval.max(1),
            bytes: Vec::new(),
            restarts: Vec::new(),
            since_restart: 0,
            rebuilt: 0,
        }
    }

    /// Appends an entry whose user key has its first `shared` bytes in common with the entry before.
    pub(crate) fn add(&mut self, shared: usize, key: KeyRef<'_>, value: &[u8]) -> Result<()> {
        let user_key = key.user_key;
        debug_assert!(shared <= user_key.len(), "BLOCK-2: of the user key only");
        let most = user_key.len() + TRAILER_BYTES + value.len() + 3 * MAX_VARINT_BYTES;
        memory::reserve(&mut self.bytes, most, BLOCK)?;
        let restart = self.since_restart >= self.restart_interval
            || self.rebuilt + user_key.len() > MAX_REBUILT_BYTES
            || self.restarts.is_empty();
        let shared = if restart {
            memory::reserve(&mut self.restarts, 1, BLOCK)?;
            let at = u32::try_from(self.bytes.len())
                .map_err(|_| Error::internal("an entry begins beyond 4 GiB of its block"))?;
            self.restarts.push(at);
            self.since_restart = 0;
            self.rebuilt = 0;
            0
        } else {
            shared
        };
        if shared > 0 {
            self.rebuilt += user_key.len();
        }
        debug_assert!(
            shared == 0 || self.since_restart > 0,
            "BLOCK-1: a restart point shares nothing"
        );
        debug_assert!(self.rebuilt <= MAX_REBUILT_BYTES, "BLOCK-3");
        debug_assert!(
            self.restarts
                .last()
                .is_some_and(|&at| at as usize <= self.bytes.len()),
            "BLOCK-4: every entry has a restart point at or before it"
        );
        self.since_restart += 1;
        debug_assert!(
            self.since_restart <= self.restart_interval,
            "BLOCK-1: a restart point in every interval"
        );
        let suffix = &user_key[shared..];
        let lengths = [shared, suffix.len(), value.len()];
        match shared | suffix.len() | value.len() {
            ..0x80 => self
                .bytes
                .extend_from_slice(&lengths.map(|length| length as u8)),
            _ => lengths
                .into_iter()
                .for_each(|length| put_varint(&mut self.bytes, length as u64)),
        }
        self.bytes.extend_from_slice(suffix);
        self.bytes.extend_from_slice(&key.trailer.0.to_le_bytes());
        self.bytes.extend_from_slice(value);
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes that [`BlockBuilder::finish`] would return now.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len() + 4 * self.restarts.len() + 4
    }

    /// Completes the block. Call [`BlockBuilder::reset`] before the next one. Fails only if there is no memory.
    pub(crate) fn finish(&mut self) -> Result<&[u8]> {
        memory::reserve(&mut self.bytes, 4 * self.restarts.len() + 4, BLOCK)?;
        debug_assert!(
            self.restarts.first().is_none_or(|first| *first == 0)
                && self.restarts.is_sorted_by(|one, next| one < next),
            "BLOCK-1: the first entry is a restart point, and the restart points ascend"
        );
        for restart in &self.restarts {
            put_u32(&mut self.bytes, *restart);
        }
        put_u32(&mut self.bytes, self.restarts.len() as u32);
        Ok(&self.bytes)
    }

    /// Begins a new block. Keeps the memory unless the last block was huge.
    pub(crate) fn reset(&mut self) {
        if self.bytes.capacity() > 4 << 20 {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
        self.restarts.clear();
        self.since_restart = 0;
        self.rebuilt = 0;
    }
}

#[cfg(test)]
mod tests;
