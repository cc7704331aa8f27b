//! Walks all entries of a table, a memtable or a merge, and sums them.

use std::ops::ControlFlow;

use super::shown::Shown;
use crate::content::Sum;
use crate::error::Result;
use crate::iterator::InternalIterator;
use crate::key::{KeyRef, SequenceNumber};

/// A walk reports after this many bytes of keys and values, and may be ended then.
pub(super) const LOOK_BYTES: u64 = 1 << 20;

/// Called with the bytes walked since its last call; may end the walk.
pub(super) type Walking<'a> = &'a mut dyn FnMut(u64) -> Result<ControlFlow<()>>;

/// Which end a walk begins at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Forward,
    Backward,
}

/// The entries found by a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Walked {
    pub(super) all: Sum,
    /// The entries at or below the number read at.
    pub(super) seen: Sum,
    /// Bytes of all keys and values.
    pub(super) bytes: u64,
}

/// Walks all entries from one end to the other and passes each key on; `None` if it was ended.
pub(super) fn walk(
    entries: &mut impl InternalIterator,
    way: Way,
    number: SequenceNumber,
    mut look: impl FnMut(KeyRef<'_>),
    walking: Walking<'_>,
) -> Result<Option<Walked>> {
    let mut walked = Walked::default();
    let mut reported = 0;
    match way {
        Way::Forward => entries.seek_to_first()?,
        Way::Backward => entries.seek_to_last()?,
    }
    while entries.valid() {
        let (key, value) = (entries.key(), entries.value());
        look(key);
        let mut sum = Sum::default();
        // An entry of an unknown kind counts as missing, and the raw bytes have been checked for such.
        sum.add_entry(key.user_key, key.trailer, value);
        walked.all += sum;
        if key.trailer.sequence() <= number {
            walked.seen += sum;
        }
        walked.bytes += (key.user_key.len() + value.len()) as u64;
        if walked.bytes - reported >= LOOK_BYTES {
            if walking(walked.bytes - reported)?.is_break() {
                return Ok(None);
            }
            reported = walked.bytes;
        }
        match way {
            Way::Forward => entries.next()?,
            Way::Backward => entries.prev()?,
        }
    }
    debug_assert!(
        walked.seen.entries() <= walked.all.entries(),
        "READS-2: a reader sees only what is there"
    );
    let ended = walking(walked.bytes - reported)?;
    Ok(ended.is_continue().then_some(walked))
}

/// Describes the first difference between two forward walks; `None` if they find the same entries.
pub(super) fn first_difference(
    one: &mut impl InternalIterator,
    other: &mut impl InternalIterator,
) -> Result<Option<String>> {
    let mut before: Option<Vec<u8>> = None;
    one.seek_to_first()?;
    other.seek_to_first()?;
    while one.valid() && other.valid() {
        if one.key() != other.key() || one.value() != other.value() {
            break;
        }
        let before = before.get_or_insert_default();
        before.clear();
        before.extend_from_slice(one.key().user_key);
        one.next()?;
        other.next()?;
    }
    let key = |entries: &dyn InternalIterator| match entries.valid() {
        true => Shown(entries.key().user_key).to_string(),
        false => "the end".to_owned(),
    };
    let previous = before
        .as_deref()
        .map_or("the beginning".to_owned(), |key| Shown(key).to_string());
    Ok((one.valid() || other.valid()).then(|| {
        format!(
            "after {previous} one has {} and the other {}",
            key(one),
            key(other)
        )
    }))
}
