//! Decides whether an error is a loss, and which keys and sequence numbers a lost table had.
//!
//! * REPAIR-5  Data that a newer AiDb wrote is refused, not dropped: only damage and read errors of the disk
//!             are losses.

use crate::db::trust::report::Loss;
use crate::error::{Error, ErrorKind, Result};
use crate::key::KeyRef;
use crate::memory;
use crate::version::TableInfo;

/// REPAIR-5. Passes over damage and disk errors, which repair is for; any other error ends the repair.
pub(super) fn refuse_newer(error: Error) -> Result<()> {
    match error.kind() {
        ErrorKind::Corruption | ErrorKind::Io => Ok(()),
        _ => Err(error),
    }
}

/// A copy of the user key of `key`, for the report.
pub(super) fn user_key_of(key: KeyRef<'_>) -> Result<Vec<u8>> {
    memory::copy_of(key.user_key, "a key")
}

/// Notes in `loss` the keys and numbers of a lost table.
pub(super) fn note_range(loss: &mut Loss, info: &TableInfo) -> Result<()> {
    loss.smallest_key = Some(user_key_of(info.smallest_key())?);
    loss.largest_key = Some(user_key_of(info.largest_key())?);
    loss.first_sequence = Some(info.smallest_sequence);
    loss.last_sequence = Some(info.largest_sequence);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// REPAIR-5.
    #[test]
    fn what_a_newer_version_wrote_ends_a_repair_and_damage_does_not() {
        let path = Path::new("file");
        refuse_newer(Error::corruption(path, 0, "damaged")).unwrap();
        let failing = std::io::Error::from_raw_os_error(libc::EIO);
        refuse_newer(Error::io("read", path, failing)).unwrap();
        for error in [Error::unsupported("newer"), Error::internal("no memory")] {
            let kind = error.kind();
            assert_eq!(refuse_newer(error).unwrap_err().kind(), kind);
        }
    }
}
