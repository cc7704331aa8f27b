//! Reads the first and the last bytes of a file that any program may have written, to recognise it.
//!
//! Elsewhere: what the bytes show (`identity.rs`, `foreign.rs`).

use std::path::Path;

use crate::env::{Env, PathKind};
use crate::error::Result;

/// Bytes read at the beginning of a file.
const HEAD_BYTES: usize = 128;
/// Bytes read at the end of a table.
const TAIL_BYTES: usize = 8;

/// The first bytes of a file; `None` if there is no file.
pub(super) fn head_of(env: &dyn Env, path: &Path) -> Result<Option<Vec<u8>>> {
    if !matches!(env.kind(path)?, PathKind::File(_)) {
        return Ok(None);
    }
    let file = match env.open_read(path) {
        Ok(file) => file,
        // Another process has removed it.
        Err(_) if env.kind(path)? == PathKind::Missing => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut head = vec![0; HEAD_BYTES];
    let read = file.read_at(0, &mut head)?;
    head.truncate(read);
    Ok(Some(head))
}

/// The last bytes of a file.
pub(super) fn tail_of(env: &dyn Env, path: &Path) -> Result<Vec<u8>> {
    let file = env.open_read(path)?;
    let mut tail = vec![0; TAIL_BYTES];
    let start = file.len()?.saturating_sub(TAIL_BYTES as u64);
    let read = file.read_at(start, &mut tail)?;
    tail.truncate(read);
    Ok(tail)
}
