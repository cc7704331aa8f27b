//! Compares a forward cursor with the expected pairs, one by one.

use super::message::{Step, wrong_step};
use super::readers::Pairs;
use crate::error::Result;
use crate::memory;

/// A forward cursor and the last pair that it should have found.
pub(super) struct Forward<C> {
    cursor: C,
    /// The last pair's key.
    pub(super) last: Option<Vec<u8>>,
    differs: bool,
}

impl<C: Pairs> Forward<C> {
    pub(super) fn new(cursor: C) -> Forward<C> {
        Forward {
            cursor,
            last: None,
            differs: false,
        }
    }

    /// Compares the cursor's next pair with the next expected one.
    pub(super) fn meet(
        &mut self,
        key: &[u8],
        value: &[u8],
        differences: &mut Vec<String>,
    ) -> Result<()> {
        debug_assert!(
            self.last.as_deref().is_none_or(|last| last < key),
            "READS-3: the expected pairs ascend"
        );
        if !self.differs {
            let cursor = &mut self.cursor;
            let found = cursor.next()?;
            if !(found && cursor.key() == key && cursor.value() == value) {
                self.differs = true;
                let found = found.then(|| cursor.key());
                let last = self.last.as_deref();
                differences.push(wrong_step(Step::Next, last, Some(key), found));
            }
        }
        memory::replace(self.last.get_or_insert_default(), key, "a key")
    }

    /// Checks that the cursor has no further pair.
    pub(super) fn finish(&mut self, differences: &mut Vec<String>) -> Result<()> {
        if !self.differs && self.cursor.next()? {
            let (last, found) = (self.last.as_deref(), Some(self.cursor.key()));
            differences.push(wrong_step(Step::Next, last, None, found));
        }
        Ok(())
    }
}
