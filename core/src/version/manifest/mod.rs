//! The manifest: the durable log of version edits.
//!
//! Layout: docs/format.md, "Manifest". A manifest is a head, two slots, then records, one edit each. A slot says how
//! many bytes and edits are valid; the next write goes to the other slot, so one is always intact.
//!
//! * `writer.rs`  appends edits   * `reader.rs`  reads them    * `record.rs`  an edit on disk
//! * `slot.rs`    what is valid   * `head.rs`    its beginning
//!
//! Elsewhere: which manifest is in use (`current.rs`), when to start a new one (`set.rs`), the content of an edit
//! (`edit.rs`).

mod head;
mod reader;
mod record;
mod slot;
#[cfg(test)]
mod tests;
mod writer;

pub(super) use head::begins_manifest;
pub(crate) use reader::ManifestReader;
#[cfg(test)]
pub(super) use record::encoded_record;
pub(crate) use record::snapshot_records;
pub(crate) use writer::ManifestWriter;

/// The head and each slot have a sector of their own, so that writing one cannot tear another.
const SECTOR_BYTES: u64 = 4096;
/// The offset of the first record.
pub(super) const RECORDS_OFFSET: u64 = 3 * SECTOR_BYTES;
