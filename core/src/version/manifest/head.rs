//! The head of a manifest: that it is one, its version, and its id.

use std::path::Path;

use crate::checksum::placed_crc;
use crate::coding::{get_u32, get_u64, put_u32, put_u64};
use crate::error::{Error, Result};

const MAGIC: [u8; 8] = *b"aidbMANI";
const MANIFEST_VERSION: u32 = 1;
/// magic (8), version (4), file id (8), checksum (4).
pub(super) const HEAD_BYTES: usize = 24;
const _: () = assert!(HEAD_BYTES == 8 + 4 + 8 + 4);

/// Whether a file that begins with `head` is a manifest, of whatever version.
pub(in crate::version) fn begins_manifest(head: &[u8]) -> bool {
    head.starts_with(&MAGIC)
}

pub(super) fn encode_head(file_id: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD_BYTES);
    out.extend_from_slice(&MAGIC);
    put_u32(&mut out, MANIFEST_VERSION);
    put_u64(&mut out, file_id);
    let checksum = placed_crc(file_id, 0, &[&out]);
    put_u32(&mut out, checksum);
    debug_assert!(
        out.len() == HEAD_BYTES,
        "SLOT-2: the fields add up to the head"
    );
    out
}

/// Checks a head and returns the file id in it.
pub(super) fn read_head(path: &Path, head: &[u8]) -> Result<u64> {
    let mut input = head;
    if input.split_off(..MAGIC.len()) != Some(&MAGIC[..]) {
        return Err(Error::corruption(path, 0, "this is not a manifest"));
    }
    let damaged = || Error::corruption(path, 0, "the head's checksum differs");
    let version = get_u32(&mut input).ok_or_else(damaged)?;
    let file_id = get_u64(&mut input).ok_or_else(damaged)?;
    let covered = &head[..head.len() - input.len()];
    // The checksum first: a flipped bit in the version is damage, not a newer format.
    if get_u32(&mut input) != Some(placed_crc(file_id, 0, &[covered])) {
        return Err(damaged());
    }
    if version != MANIFEST_VERSION {
        return Err(Error::unsupported(format!(
            "{}: manifest version {version}; this build reads version {MANIFEST_VERSION}",
            path.display()
        )));
    }
    Ok(file_id)
}
