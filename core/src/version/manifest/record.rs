//! Records: the encoded edits of a manifest, each with a checksum that binds it to its place.

use super::super::edit::VersionEdit;
use crate::checksum::placed_crc;
use crate::error::{Error, Result};
use crate::key::KeyspaceId;

/// checksum (4), length (4).
pub(super) const RECORD_HEADER_BYTES: usize = 8;
const _: () = assert!(RECORD_HEADER_BYTES == 4 + 4);

/// A snapshot is written in records of about this size.
pub(super) const SNAPSHOT_RECORD_BYTES: usize = 256 << 10;

/// The record of `edit` at `offset`, with `index` records before it.
pub(super) fn encode_record(
    edit: &VersionEdit,
    file_id: u64,
    offset: u64,
    index: u64,
) -> Result<Vec<u8>> {
    let record = encoded_record(edit, file_id, offset, index)?;
    // SET-7 of `set.rs`: the bytes written must be those of the edit.
    match VersionEdit::decode(&record[RECORD_HEADER_BYTES..])? == *edit {
        true => Ok(record),
        false => Err(Error::internal(
            "a version edit does not decode to what was encoded",
        )),
    }
}

/// The record of an edit, even one that only a later build can read.
pub(in crate::version) fn encoded_record(
    edit: &VersionEdit,
    file_id: u64,
    offset: u64,
    index: u64,
) -> Result<Vec<u8>> {
    let mut out = vec![0; RECORD_HEADER_BYTES];
    edit.encode_to(&mut out);
    let payload = out.len() - RECORD_HEADER_BYTES;
    let length = u32::try_from(payload)
        .map_err(|_| Error::internal(format!("a version edit of {payload} bytes")))?
        .to_le_bytes();
    let checksum = record_crc(file_id, offset, index, length, &out[RECORD_HEADER_BYTES..]);
    out[..4].copy_from_slice(&checksum.to_le_bytes());
    out[4..8].copy_from_slice(&length);
    Ok(out)
}

pub(super) fn record_crc(
    file_id: u64,
    offset: u64,
    index: u64,
    length: [u8; 4],
    payload: &[u8],
) -> u32 {
    placed_crc(file_id, offset, &[&index.to_le_bytes(), &length, payload])
}

/// Cuts one large edit, about one keyspace, into records of a bounded size.
pub(crate) fn snapshot_records(mut whole: VersionEdit) -> impl Iterator<Item = VersionEdit> {
    let mut added = std::mem::take(&mut whole.added).into_iter().peekable();
    let keyspace = whole.keyspace.filter(|id| *id != KeyspaceId::DEFAULT);
    let mut first = Some(whole);
    std::iter::from_fn(move || {
        if first.is_none() && added.peek().is_none() {
            return None;
        }
        let mut edit = first.take().unwrap_or_else(|| VersionEdit {
            keyspace,
            ..VersionEdit::default()
        });
        let mut bytes = 0;
        while bytes < SNAPSHOT_RECORD_BYTES {
            let Some((level, table)) = added.next() else {
                break;
            };
            bytes += table.smallest.len() + table.largest.len() + 64;
            edit.added.push((level, table));
        }
        Some(edit)
    })
}
