//! A reader at an earlier sequence number, beside the one at the current number.

use super::expected::Decided;
use super::forward::Forward;
use super::gets::{Gets, SAMPLED_KEYS};
use super::readers::{Lookups, Pairs};
use crate::error::Result;
use crate::memory;

/// A reader at the smaller number, and what it should see.
pub(super) struct Past<C, L> {
    forward: Forward<C>,
    gets: Gets<L>,
    /// The last key, if it is not yet decided what this reader sees of it.
    undecided: Option<Vec<u8>>,
    /// The keys whose value differs from the one at the larger number, and the keys with the same value.
    changed: u64,
    same: u64,
}

impl<C: Pairs, L: Lookups> Past<C, L> {
    pub(super) fn new(cursor: C, lookups: L) -> Past<C, L> {
        Past {
            forward: Forward::new(cursor),
            gets: Gets::new(lookups),
            undecided: None,
            changed: 0,
            same: 0,
        }
    }

    pub(super) fn meet(
        &mut self,
        decided: Decided,
        key: &[u8],
        value: Option<&[u8]>,
        differences: &mut Vec<String>,
    ) -> Result<()> {
        debug_assert!(
            decided.is_now || decided.is_then,
            "READS-3: an entry that decides nothing is passed over"
        );
        let before = self.undecided.take();
        if decided.is_now {
            self.absent(before, differences)?;
        }
        if !decided.is_then {
            return memory::replace(self.undecided.insert(Vec::new()), key, "a key");
        }
        let is_same = decided.is_now && decided.shows_now == decided.shows_then;
        let count = match is_same {
            true => &mut self.same,
            false => &mut self.changed,
        };
        let is_sampled = count.is_multiple_of(SAMPLED_KEYS);
        *count += 1;
        if is_sampled {
            self.gets.look_up(key, value, differences)?;
        }
        match value {
            Some(value) => self.forward.meet(key, value, differences),
            None => Ok(()),
        }
    }

    /// Counts and samples a key that this reader does not see, because all its entries are newer.
    fn absent(&mut self, key: Option<Vec<u8>>, differences: &mut Vec<String>) -> Result<()> {
        let Some(key) = key else {
            return Ok(());
        };
        self.changed += 1;
        match (self.changed - 1).is_multiple_of(SAMPLED_KEYS) {
            true => self.gets.look_up(&key, None, differences),
            false => Ok(()),
        }
    }

    pub(super) fn finish(mut self, differences: &mut Vec<String>) -> Result<()> {
        let before = self.undecided.take();
        self.absent(before, differences)?;
        self.forward.finish(differences)?;
        self.gets.finish(differences)
    }
}
