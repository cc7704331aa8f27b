//! The value returned by a get.

use std::fmt;
use std::ops::Deref;

use crate::error::Result;
use crate::memory;
use crate::sstable::{TableEntry, TableValue};

/// Values up to this many bytes are copied out of their block.
const COPIED_BYTES: usize = 512;
/// Values up to this many bytes are copied without an allocation.
const INLINE_BYTES: usize = 118;

/// A value read from the database; dereferences to its bytes.
///
/// A small value, or one found in a memtable, is a copy; a larger one holds a counted reference to its block,
/// which stays in memory until the value is dropped.
#[derive(Clone)]
pub struct Value {
    bytes: Bytes,
}

#[derive(Clone)]
enum Bytes {
    Inline(u8, [u8; INLINE_BYTES]),
    Copied(Vec<u8>),
    Pinned(TableValue),
}

const _: () = assert!(size_of::<Option<Value>>() == 120);

impl Value {
    /// A copy of `bytes`. Fails only if there is no memory.
    #[inline]
    pub(super) fn copied(bytes: &[u8]) -> Result<Value> {
        let mut inline = [0; INLINE_BYTES];
        let bytes = match inline.get_mut(..bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                Bytes::Inline(bytes.len() as u8, inline)
            }
            None => Bytes::Copied(memory::copy_of(bytes, "a value")?),
        };
        Ok(Value { bytes })
    }

    #[inline]
    pub(super) fn from_table(entry: TableEntry<'_>) -> Result<Value> {
        if entry.len() <= COPIED_BYTES {
            Value::copied(&entry)
        } else {
            Ok(Value {
                bytes: Bytes::Pinned(entry.pin()),
            })
        }
    }

    /// The bytes as a vector; copies them unless they already are in one. If there is no memory for the copy, the
    /// process aborts; [`Value::try_into_vec`] returns an error instead.
    pub fn into_vec(self) -> Vec<u8> {
        match self.bytes {
            Bytes::Copied(bytes) => bytes,
            _ => self.to_vec(),
        }
    }

    /// The bytes as a vector; copies them unless they are in one.
    ///
    /// Errors: `OutOfMemory`.
    pub fn try_into_vec(self) -> Result<Vec<u8>> {
        match self.bytes {
            Bytes::Copied(bytes) => Ok(bytes),
            _ => memory::copy_of(&self, "a value"),
        }
    }
}

impl Deref for Value {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Inline(length, bytes) => &bytes[..usize::from(*length)],
            Bytes::Copied(bytes) => bytes,
            Bytes::Pinned(value) => value,
        }
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Value")
            .field(&self.escape_ascii().to_string())
            .finish()
    }
}

impl<T: AsRef<[u8]> + ?Sized> PartialEq<T> for Value {
    fn eq(&self, other: &T) -> bool {
        self[..] == *other.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copied_value_has_its_bytes_however_many_they_are() {
        for length in [0, 1, INLINE_BYTES - 1, INLINE_BYTES, INLINE_BYTES + 1, 1000] {
            let bytes: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let value = Value::copied(&bytes).unwrap();
            assert_eq!(value, bytes);
            assert_eq!(value.clone().into_vec(), bytes);
            assert_eq!(value.clone().try_into_vec().unwrap(), bytes);
        }
    }
}
