//! A data block in memory. It has one of two forms: the stored one when it comes from the disk, and the flat one after
//! it was hit in the cache.
//!
//! * `memory.rs`      the reference-counted memory of a block: the only unsafe code here
//! * `stored.rs`      the stored form: bytes as on disk, never trusted
//! * `flat.rs`        the flat form: laid out for fast reads
//! * `form.rs`        makes either form, and looks a key up in it
//! * `cursor.rs`      walks the stored form     `flat_cursor.rs` the flat one     `any_cursor.rs` either
//!
//! Elsewhere: writing a block (`block_builder.rs`); which blocks stay in memory (`block_cache.rs`).

mod any_cursor;
mod cursor;
mod flat;
mod flat_cursor;
mod form;
mod memory;
mod stored;
#[cfg(test)]
mod tests;

pub(super) use any_cursor::{AnyCursor, Moved, hold_the_same};
pub(crate) use cursor::BlockCursor;
pub(super) use flat::Spot;
pub(crate) use flat::Way;
pub(crate) use flat_cursor::FlatCursor;
pub(super) use form::LARGE_BYTES;
pub(crate) use memory::{Block, BlockId};
pub(super) use stored::{
    ASTRAY, SHARED_AT_RESTART, SHARED_TOO_MUCH, Stored, StoredEntry, TOO_MUCH_TO_REBUILD,
};
pub(crate) use stored::{Damage, common_prefix};
