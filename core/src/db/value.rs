//! The value that a get returns.

use std::fmt;
use std::ops::Deref;

use crate::sstable::{TableEntry, TableValue};

/// Values up to this many bytes are copied out of their block.
const COPIED_BYTES: usize = 512;

/// A value read from the database; derefs to its bytes.
///
/// A small value, or one found in a memtable, is a copy; a larger one holds a counted reference to its block,
/// which stays in memory until the value is dropped.
#[derive(Clone)]
pub struct Value {
    bytes: Bytes,
}

#[derive(Clone)]
enum Bytes {
    Copied(Vec<u8>),
    Pinned(TableValue),
}

impl Value {
    pub(super) fn copied(bytes: &[u8]) -> Value {
        Value {
            bytes: Bytes::Copied(bytes.to_vec()),
        }
    }

    pub(super) fn from_table(entry: TableEntry<'_>) -> Value {
        if entry.len() <= COPIED_BYTES {
            Value::copied(&entry)
        } else {
            Value {
                bytes: Bytes::Pinned(entry.pin()),
            }
        }
    }

    /// The bytes as a vector; copies them if they are held in a block.
    pub fn into_vec(self) -> Vec<u8> {
        match self.bytes {
            Bytes::Copied(bytes) => bytes,
            Bytes::Pinned(value) => value.to_vec(),
        }
    }
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.bytes {
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
