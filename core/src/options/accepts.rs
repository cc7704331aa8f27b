//! Which values an option accepts.

use std::fmt;
use std::ops::RangeInclusive;

use super::size::size_text;

/// The values that an option accepts, for messages and documents.
#[doc(hidden)]
#[derive(Debug)]
pub enum Accepts {
    /// `true` or `false`.
    Flag,
    /// Bytes.
    Size(RangeInclusive<u64>),
    /// A whole number.
    Count(RangeInclusive<u64>),
    /// A time in milliseconds.
    Millis(RangeInclusive<u64>),
    /// The name of a codec.
    Compression,
    /// Nowhere, the standard error stream or a path.
    InfoLog,
}

impl Accepts {
    /// The accepted numbers; `None` if the option is not a number.
    pub fn range(&self) -> Option<&RangeInclusive<u64>> {
        match self {
            Accepts::Size(range) | Accepts::Count(range) | Accepts::Millis(range) => Some(range),
            Accepts::Flag | Accepts::Compression | Accepts::InfoLog => None,
        }
    }
}

impl fmt::Display for Accepts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Accepts::Flag => write!(f, "true or false"),
            Accepts::Size(range) => {
                let (smallest, largest) = (size_text(*range.start()), size_text(*range.end()));
                write!(f, "a size from {smallest} to {largest}")
            }
            Accepts::Count(range) => {
                write!(
                    f,
                    "a whole number from {} to {}",
                    range.start(),
                    range.end()
                )
            }
            Accepts::Millis(range) => {
                write!(f, "milliseconds from {} to {}", range.start(), range.end())
            }
            Accepts::Compression => write!(f, "none, snappy, lz4 or zstd"),
            Accepts::InfoLog => write!(f, "none, stderr or a path"),
        }
    }
}
