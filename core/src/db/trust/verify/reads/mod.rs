//! Reads an open database through the public read paths, and compares the results with the stored entries.
//!
//! * READS-1  A table is walked forward block by block, forward with read-ahead, and backward: each walk finds
//!            what the check of its raw bytes has counted.
//! * READS-2  A merge of all tables and memtables at one sequence number finds the same entries as walks of
//!            each by itself.
//! * READS-3  The expected result at that number is computed from the merge by the simplest rule, which is
//!            stated only here: for each key the newest entry with a number <= the reader's, and nothing if
//!            that is a tombstone, or if a range delete with a number between the two has the key. A forward
//!            cursor is compared with it pair by pair, and a backward cursor run by run. Gets, single and of
//!            many keys, and seeks into the gap before a key are compared for a sample. At the oldest pinned
//!            number, if there is one, a forward cursor and both kinds of get are compared too.
//! * READS-4  A difference is a bug or a memory error: the bytes on disk were checked before. Memory: a few
//!            entries, and the blocks that the iterators hold.
//!
//! Elsewhere: the raw bytes (`sstable/reader/check.rs`), when this runs and what is reported (`users.rs`).

mod backward;
mod expected;
mod forward;
mod gets;
mod message;
mod pair;
mod past;
mod readers;
#[cfg(test)]
mod tests;

use self::backward::Backward;
use self::expected::Expected;
use self::forward::Forward;
use self::gets::{Gets, SAMPLED_KEYS};
use self::message::{Step, wrong_step};
use self::past::Past;
pub(super) use self::readers::{Answer, Lookups, Pairs};
use super::walk::{LOOK_BYTES, Walking};
use crate::content::Sum;
use crate::error::Result;
use crate::iterator::InternalIterator;
use crate::key::SequenceNumber;

/// Each key with a larger value than this is looked up too, because blocks store such values in other ways.
const SAMPLED_VALUE_BYTES: usize = 32 << 10;

/// READS-3.
pub(super) struct Comparison<I, C, L> {
    pub(super) merged: I,
    pub(super) number: SequenceNumber,
    pub(super) forward: C,
    pub(super) backward: C,
    pub(super) seeking: C,
    pub(super) lookups: L,
    /// A smaller number, and a reader at it.
    pub(super) past: Option<(SequenceNumber, C, L)>,
}

/// The result of a comparison.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// READS-2: the entries at or below the number in the merge.
    pub(super) met: Sum,
    /// The first difference of each cursor and of the gets, one sentence each.
    pub(super) differences: Vec<String>,
    /// The same at the smaller number.
    pub(super) past_differences: Vec<String>,
    /// The number of keys looked up; a cursor was also sought to those with a value.
    pub(super) looked_up: u64,
    /// Pairs that a reader sees.
    pub(super) visible: u64,
}

impl<I, C, L> Comparison<I, C, L>
where
    I: InternalIterator,
    C: Pairs,
    L: Lookups,
{
    /// Reads everything in every way; `None` if it was ended.
    pub(super) fn run(self, walking: Walking<'_>) -> Result<Option<Outcome>> {
        let past_number = self.past.as_ref().map(|(number, ..)| *number);
        let mut expected = Expected::new(self.merged, self.number, past_number);
        let mut past = (self.past).map(|(_, cursor, lookups)| Past::new(cursor, lookups));
        let mut outcome = Outcome::default();
        let mut forward = Forward::new(self.forward);
        let mut back = Backward::new(self.backward);
        let mut seeking = self.seeking;
        let mut gets = Gets::new(self.lookups);
        let mut seek_differs = false;
        let (mut keys, mut reported) = (0u64, 0);
        while let Some(decided) = expected.next()? {
            let (key, value) = (expected.key(), expected.value());
            if let Some(past) = &mut past {
                let value = decided.shows_then.then_some(value);
                past.meet(decided, key, value, &mut outcome.past_differences)?;
            }
            let value = decided.shows_now.then_some(value);
            if decided.is_now {
                let is_large = value.is_some_and(|value| value.len() > SAMPLED_VALUE_BYTES);
                if keys.is_multiple_of(SAMPLED_KEYS) || is_large {
                    outcome.looked_up += 1;
                    gets.look_up(key, value, &mut outcome.differences)?;
                    if let (Some(value), false) = (value, seek_differs) {
                        // The gap right after the previous pair: this pair is next, even in another block or table.
                        let last = forward.last.as_deref();
                        let mut gap = forward.last.clone().unwrap_or_default();
                        gap.extend(last.is_some().then_some(0));
                        let found = seeking.seek(&gap)?;
                        if !(found && seeking.key() == key && seeking.value() == value) {
                            seek_differs = true;
                            let found = found.then(|| seeking.key());
                            let difference = wrong_step(Step::Seek, last, Some(key), found);
                            outcome.differences.push(difference);
                        }
                    }
                }
                keys += 1;
                if let Some(value) = value {
                    outcome.visible += 1;
                    forward.meet(key, value, &mut outcome.differences)?;
                    back.add(key, value, &mut outcome.differences)?;
                }
            }
            if expected.bytes - reported >= LOOK_BYTES {
                if walking(expected.bytes - reported)?.is_break() {
                    return Ok(None);
                }
                reported = expected.bytes;
            }
        }
        forward.finish(&mut outcome.differences)?;
        back.finish(&mut outcome.differences)?;
        gets.finish(&mut outcome.differences)?;
        if let Some(past) = past {
            past.finish(&mut outcome.past_differences)?;
        }
        outcome.met = expected.met;
        let ended = walking(expected.bytes - reported)?;
        Ok(ended.is_continue().then_some(outcome))
    }
}
