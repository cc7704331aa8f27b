//! The header of a table, which says its format version and its id.

use std::path::Path;

use crate::checksum::placed_crc;
use crate::coding::{get_u32, get_u64, put_u32, put_u64};
use crate::error::{Error, Result};

/// The first eight bytes of a table.
pub(super) const HEADER_MAGIC: [u8; 8] = *b"AiDbSST\0";
/// The version this build writes, and the newest it reads. Version 1 has no content sum.
pub(crate) const VERSION: u32 = 2;

/// Magic, version, file id, checksum.
pub(crate) const HEADER_BYTES: usize = 24;
const _: () = assert!(HEADER_BYTES == 8 + 4 + 8 + 4);

/// The header of the table with id `file_id`.
pub(crate) fn encode_header(file_id: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES);
    out.extend_from_slice(&HEADER_MAGIC);
    put_u32(&mut out, VERSION);
    put_u64(&mut out, file_id);
    let crc = placed_crc(file_id, 0, &[&out]);
    put_u32(&mut out, crc);
    debug_assert!(
        out.len() == HEADER_BYTES,
        "TABLE-1: the fields add up to the header"
    );
    out
}

/// Whether a file that begins with `head` is a table, of whatever version.
pub(crate) fn begins_table(head: &[u8]) -> bool {
    head.starts_with(&HEADER_MAGIC)
}

/// Checks a header and returns the file id in it.
pub(crate) fn decode_header(path: &Path, bytes: &[u8]) -> Result<u64> {
    let damaged = |what: &str| Error::corruption(path, 0, what);
    let mut input = bytes
        .strip_prefix(&HEADER_MAGIC)
        .ok_or_else(|| damaged("no table begins here: the magic number differs"))?;
    let short = || damaged("the table's header is cut short");
    let version = get_u32(&mut input).ok_or_else(short)?;
    let file_id = get_u64(&mut input).ok_or_else(short)?;
    let stored = get_u32(&mut input).ok_or_else(short)?;
    // The checksum first: a flipped bit in the version is damage, not a newer format.
    let crc = placed_crc(file_id, 0, &[&bytes[..HEADER_BYTES - 4]]);
    if crc != stored {
        return Err(damaged(&format!(
            "header checksum is {crc:08x}, expected {stored:08x}"
        )));
    }
    check_version(path, version)?;
    Ok(file_id)
}

/// Refuses a version that this build does not read.
pub(super) fn check_version(path: &Path, version: u32) -> Result<()> {
    if (1..=VERSION).contains(&version) {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "{} has table format {version}, this build reads formats 1 to {VERSION}",
        path.display()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_newer_version_is_unsupported() {
        let mut header = encode_header(5);
        header[8..12].copy_from_slice(&(VERSION + 1).to_le_bytes());
        let crc = placed_crc(5, 0, &[&header[..HEADER_BYTES - 4]]);
        header[HEADER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        let error = decode_header(Path::new("x"), &header).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains("format 3"));
    }
}
