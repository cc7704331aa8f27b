//! Reads the fields of a version edit. Their errors are `Internal`; who knows the file and the offset turns them into
//! `Corruption`.

use crate::coding::{get_length_prefixed, get_varint};
use crate::error::{Error, Result};

/// Stores a field that an edit has at most once.
pub(super) fn once<T>(field: &mut Option<T>, value: T) -> Result<()> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::internal("a version edit has a field twice")),
    }
}

fn short() -> Error {
    Error::internal("a version edit ends inside a field")
}

/// A varint.
pub(super) fn varint(input: &mut &[u8]) -> Result<u64> {
    get_varint(input).ok_or_else(short)
}

/// A varint length, and as many bytes.
pub(super) fn bytes<'a>(input: &mut &'a [u8]) -> Result<&'a [u8]> {
    get_length_prefixed(input).ok_or_else(short)
}
