//! `DurableLog`: the proof that a log's name survives a power loss, which a manifest needs before it may name the log.

use crate::env::DurableName;
use crate::key::FileNumber;

/// A log whose name is durable (NAMES-3). A manifest takes the number from here, so it cannot name another log.
#[derive(Debug)]
pub(crate) struct DurableLog {
    number: FileNumber,
    /// Of the directory, synced after the log was made.
    _name: DurableName,
}

impl DurableLog {
    /// The log `number`, which was made before the sync of its directory that `name` proves.
    pub(crate) fn new(number: FileNumber, name: DurableName) -> DurableLog {
        DurableLog {
            number,
            _name: name,
        }
    }

    pub(crate) fn number(&self) -> FileNumber {
        self.number
    }
}
