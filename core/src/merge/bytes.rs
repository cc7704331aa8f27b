//! `append` and `bit_or`: operators of any bytes.

use super::operator::{MergeOperator, is_storable, too_long};
use crate::error::{Error, Result};
use crate::memory;

/// What the messages about memory call a result.
const RESULT: &str = "a merged value";

/// Joins base and operands.
pub(super) struct Append {
    /// The name and a colon, and then the separator; or the name alone.
    name: String,
    separator_at: usize,
}

impl Append {
    /// The operator of this name, if it is one.
    pub(super) fn of_name(name: &str) -> Option<Append> {
        let separator = match name.strip_prefix("append")? {
            "" => "",
            parameter => parameter.strip_prefix(':')?,
        };
        Some(Append {
            name: name.to_owned(),
            separator_at: name.len() - separator.len(),
        })
    }

    fn separator(&self) -> &[u8] {
        &self.name.as_bytes()[self.separator_at..]
    }

    /// The bytes of the parts with separators.
    fn joined_bytes<'a>(&self, parts: impl Iterator<Item = &'a [u8]>) -> u64 {
        let separator = self.separator().len() as u64;
        let bytes = parts.map(|part| part.len() as u64 + separator).sum::<u64>();
        bytes.saturating_sub(separator)
    }

    fn join<'a>(&self, parts: impl Iterator<Item = &'a [u8]>, bytes: u64) -> Result<Vec<u8>> {
        let length =
            usize::try_from(bytes).map_err(|_| Error::out_of_memory(RESULT, usize::MAX))?;
        let mut joined = memory::room_for(length, RESULT)?;
        for (place, part) in parts.enumerate() {
            if place > 0 {
                joined.extend_from_slice(self.separator());
            }
            joined.extend_from_slice(part);
        }
        debug_assert_eq!(joined.len(), length);
        Ok(joined)
    }
}

impl MergeOperator for Append {
    fn name(&self) -> &str {
        &self.name
    }

    fn check(&self, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn fold(&self, base: Option<&[u8]>, operands: &[&[u8]]) -> Result<Vec<u8>> {
        let parts = || base.into_iter().chain(operands.iter().copied());
        match self.joined_bytes(parts()) {
            bytes if is_storable(bytes) => self.join(parts(), bytes),
            bytes => Err(too_long(&self.name, bytes)),
        }
    }

    fn compose(&self, operands: &[&[u8]]) -> Result<Option<Vec<u8>>> {
        let parts = || operands.iter().copied();
        match self.joined_bytes(parts()) {
            bytes if is_storable(bytes) => self.join(parts(), bytes).map(Some),
            _ => Ok(None),
        }
    }
}

/// Sets the bits that are set in base or operands.
pub(super) struct BitOr;

impl BitOr {
    fn reduce<'a>(parts: impl Iterator<Item = &'a [u8]> + Clone) -> Result<Vec<u8>> {
        let longest = parts.clone().map(<[u8]>::len).max().unwrap_or(0);
        let mut result = memory::zeros(longest, RESULT)?;
        for part in parts {
            for (byte, bits) in result.iter_mut().zip(part) {
                *byte |= bits;
            }
        }
        Ok(result)
    }
}

impl MergeOperator for BitOr {
    fn name(&self) -> &str {
        "bit_or"
    }

    fn check(&self, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn fold(&self, base: Option<&[u8]>, operands: &[&[u8]]) -> Result<Vec<u8>> {
        BitOr::reduce(base.into_iter().chain(operands.iter().copied()))
    }

    fn compose(&self, operands: &[&[u8]]) -> Result<Option<Vec<u8>>> {
        BitOr::reduce(operands.iter().copied()).map(Some)
    }
}
