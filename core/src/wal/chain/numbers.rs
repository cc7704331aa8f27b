//! The sequence numbers of the records of a chain, which are consecutive (CHAIN-5).

use std::path::Path;

use crate::error::{Error, Result};
use crate::key::SequenceNumber;
use crate::wal::reader::Record;

/// The sequence numbers of records that are read in order (CHAIN-5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Numbers {
    /// The last number; `None` if it is not known.
    last: Option<SequenceNumber>,
}

impl Numbers {
    /// Expects the numbers that follow `last`.
    pub(crate) fn after(last: SequenceNumber) -> Numbers {
        Numbers { last: Some(last) }
    }

    /// The last number; `None` after damage, which may have taken any number of records with it.
    pub(crate) fn last(&self) -> Option<SequenceNumber> {
        self.last
    }

    /// Notes damage: the next record may begin with any number.
    pub(crate) fn lose(&mut self) {
        self.last = None;
    }

    /// Refuses a record of the log at `path` that does not continue the numbers.
    pub(crate) fn check(&self, path: &Path, record: &Record<'_>) -> Result<()> {
        let first = record.first_sequence;
        match self.last.map(|last| last.plus(1)) {
            Some(expected) if expected != first => {
                let what = format!("the record begins with number {first}, expected {expected}");
                Err(Error::corruption(path, record.offset, what))
            }
            _ => Ok(()),
        }
    }

    /// Takes a record of `count` operations, which must continue the numbers; returns its last number.
    pub(crate) fn take(
        &mut self,
        path: &Path,
        record: &Record<'_>,
        count: u64,
    ) -> Result<SequenceNumber> {
        self.check(path, record)?;
        let last = last_of(record, count);
        if last > SequenceNumber::MAX {
            let what = format!("the record ends with the impossible number {last}");
            return Err(Error::corruption(path, record.offset, what));
        }
        debug_assert!(
            self.last.is_none_or(|before| before <= last),
            "CHAIN-5: numbers never fall"
        );
        self.last = Some(last);
        Ok(last)
    }

    /// The same for the remains of a damaged log: there may be holes, but no number comes twice.
    pub(crate) fn take_rising(
        &mut self,
        path: &Path,
        record: &Record<'_>,
        count: u64,
    ) -> Result<SequenceNumber> {
        let last = last_of(record, count);
        let before = self.last.unwrap_or_default();
        if record.first_sequence <= before || last > SequenceNumber::MAX {
            let what = "its sequence numbers are impossible";
            return Err(Error::corruption(path, record.offset, what));
        }
        debug_assert!(before <= last, "CHAIN-5: no number comes twice");
        self.last = Some(last);
        Ok(last)
    }
}

/// The last number of a record of `count` operations. `count` comes from disk and may be anything.
fn last_of(record: &Record<'_>, count: u64) -> SequenceNumber {
    let next = record.first_sequence.0.saturating_add(count);
    SequenceNumber(next.saturating_sub(1))
}

#[cfg(test)]
mod tests;
