//! `Slot`: how much of a manifest is valid.
//!
//! * SLOT-2  The slots are written in turn: generation g is in slot g % 2. If a write tears one, the other is
//!           intact.

use super::record::RECORD_HEADER_BYTES;
use super::{RECORDS_OFFSET, SECTOR_BYTES};
use crate::checksum::placed_crc;
use crate::coding::{get_u32, get_u64, put_u32, put_u64};

/// generation (8), length (8), edits (8), checksum (4).
pub(super) const SLOT_BYTES: usize = 28;
const _: () = assert!(SLOT_BYTES == 8 + 8 + 8 + 4);

/// The content of a slot: how much of the manifest is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) generation: u64,
    /// How many bytes of the file count, from its beginning.
    pub(super) length: u64,
    /// How many records those bytes have.
    pub(super) edits: u64,
}

impl Slot {
    /// The offset of this generation's slot (SLOT-2).
    pub(super) fn offset(generation: u64) -> u64 {
        SECTOR_BYTES * (1 + generation % 2)
    }

    pub(super) fn encode(self, file_id: u64) -> Vec<u8> {
        debug_assert!(
            self.length >= RECORDS_OFFSET,
            "SLOT-3: the head and the slots count"
        );
        let mut out = Vec::with_capacity(SLOT_BYTES);
        for value in [self.generation, self.length, self.edits] {
            put_u64(&mut out, value);
        }
        let checksum = placed_crc(file_id, Slot::offset(self.generation), &[&out]);
        put_u32(&mut out, checksum);
        debug_assert!(
            out.len() == SLOT_BYTES,
            "SLOT-2: the fields add up to a slot"
        );
        out
    }

    /// The slot in `bytes`, which were read from `offset`; `None` if it is not whole.
    pub(super) fn decode(bytes: &[u8], file_id: u64, offset: u64) -> Option<Slot> {
        let mut input = bytes;
        let slot = Slot {
            generation: get_u64(&mut input)?,
            length: get_u64(&mut input)?,
            edits: get_u64(&mut input)?,
        };
        let covered = &bytes[..bytes.len() - input.len()];
        let whole = get_u32(&mut input)? == placed_crc(file_id, offset, &[covered]);
        let in_place = Slot::offset(slot.generation) == offset && slot.length >= RECORDS_OFFSET;
        // AiDb counts generations from 0 and never comes near this one, so adding 1 cannot overflow.
        let counted = slot.generation <= u64::MAX / 2;
        (whole && in_place && counted).then_some(slot)
    }

    /// The next slot, after one more record of `bytes` bytes.
    pub(super) fn after(self, bytes: u64) -> Slot {
        debug_assert!(
            bytes >= RECORD_HEADER_BYTES as u64,
            "SLOT-1: the slot covers a record"
        );
        Slot {
            generation: self.generation + 1,
            length: self.length + bytes,
            edits: self.edits + 1,
        }
    }
}
