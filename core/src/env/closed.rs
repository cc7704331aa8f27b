//! A stand-in for a closed file: the descriptor is closed, while other holders may still refer to the file.

use super::File;
use crate::error::{Error, Result};

/// A file whose operations all return `Closed`.
pub(crate) struct ClosedFile;

fn closed<T>() -> Result<T> {
    Err(Error::closed("the database"))
}

impl File for ClosedFile {
    fn read_at(&self, _offset: u64, _buffer: &mut [u8]) -> Result<usize> {
        closed()
    }

    fn write_at(&self, _offset: u64, _bytes: &[u8]) -> Result<()> {
        closed()
    }

    fn sync(&self) -> Result<()> {
        closed()
    }

    fn len(&self) -> Result<u64> {
        closed()
    }

    fn set_len(&self, _length: u64) -> Result<()> {
        closed()
    }

    fn allocate(&self, _length: u64) -> Result<()> {
        closed()
    }
}
