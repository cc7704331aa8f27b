//! `add`, `max` and `min`: signed 64-bit integers, little-endian.

use super::operator::{MergeOperator, refused};
use crate::error::{Error, Result};
use crate::memory;

/// An operator of two numbers. Both groupings of three numbers must give the same.
pub(super) struct Number {
    name: &'static str,
    of_two: fn(i64, i64) -> i64,
}

impl Number {
    pub(super) fn new(name: &'static str, of_two: fn(i64, i64) -> i64) -> Number {
        Number { name, of_two }
    }

    fn decode(&self, what: &str, bytes: &[u8]) -> Result<i64> {
        let number = bytes.try_into().map(i64::from_le_bytes);
        number.map_err(|_| {
            refused(
                self.name,
                format_args!("{what} has {} bytes, and must have 8", bytes.len()),
            )
        })
    }

    fn reduce(&self, base: Option<i64>, operands: &[&[u8]]) -> Result<Vec<u8>> {
        let mut result = base;
        for operand in operands {
            let number = self.decode("an operand", operand)?;
            result = Some(result.map_or(number, |result| (self.of_two)(result, number)));
        }
        let result = result.ok_or_else(|| Error::internal("a merge without operands"))?;
        memory::copy_of(&result.to_le_bytes(), "a merged number")
    }
}

impl MergeOperator for Number {
    fn name(&self) -> &str {
        self.name
    }

    fn check(&self, operand: &[u8]) -> Result<()> {
        self.decode("the operand", operand).map(|_| ())
    }

    fn fold(&self, base: Option<&[u8]>, operands: &[&[u8]]) -> Result<Vec<u8>> {
        let base = base.map(|base| self.decode("the base", base)).transpose()?;
        self.reduce(base, operands)
    }

    fn compose(&self, operands: &[&[u8]]) -> Result<Option<Vec<u8>>> {
        self.reduce(None, operands).map(Some)
    }
}
