//! `Iter`: entries as an ordinary double-ended Rust iterator, over one cursor from each end.

use std::ops::{Bound, RangeBounds};

use super::read::Cursor;
use crate::error::{Error, Result};
use crate::memory;
use crate::options::IterOptions;

/// Iterates over entries as owned `(key, value)` pairs, from both ends. The first error is the last item.
pub struct Iter {
    ends: Ends,
}

/// Each cursor is on the last entry that it yielded; the iteration ends where the two meet.
enum Ends {
    Failed(Error),
    Open {
        front: Box<Cursor>,
        back: Option<Box<Cursor>>,
    },
    Done,
}

type OwnedEntry = (Vec<u8>, Vec<u8>);

impl Iter {
    /// If `front` could not be made, its error is the first item.
    pub(super) fn new(front: Result<Cursor>) -> Iter {
        let ends = match front {
            Ok(front) => Ends::Open {
                front: Box::new(front),
                back: None,
            },
            Err(error) => Ends::Failed(error),
        };
        Iter { ends }
    }

    /// Iterates over the keys in `range`, with a cursor that `open` makes.
    pub(super) fn over_range<K: AsRef<[u8]>>(
        range: &impl RangeBounds<K>,
        open: impl FnOnce(IterOptions) -> Result<Cursor>,
    ) -> Iter {
        let owned = |bound: Bound<&K>| {
            Ok(match bound {
                Bound::Included(key) => Bound::Included(memory::copy_of(key.as_ref(), "a bound")?),
                Bound::Excluded(key) => Bound::Excluded(memory::copy_of(key.as_ref(), "a bound")?),
                Bound::Unbounded => Bound::Unbounded,
            })
        };
        let options = || {
            Ok(IterOptions {
                lower_bound: lower_bound(owned(range.start_bound())?),
                upper_bound: upper_bound(owned(range.end_bound())?),
                ..IterOptions::default()
            })
        };
        Iter::new(options().and_then(open))
    }

    /// Iterates over the keys that start with `prefix`, with a cursor that `open` makes.
    pub(super) fn over_prefix(
        prefix: &[u8],
        open: impl FnOnce(IterOptions) -> Result<Cursor>,
    ) -> Iter {
        let options = memory::copy_of(prefix, "a bound").map(|prefix| IterOptions {
            prefix: Some(prefix),
            ..IterOptions::default()
        });
        Iter::new(options.and_then(open))
    }

    /// The next entry from one end, unless the other end has already yielded it.
    fn step(&mut self, from: From) -> Result<Option<OwnedEntry>> {
        let (front, back) = match &mut self.ends {
            Ends::Open { front, back } => (front, back),
            Ends::Done => return Ok(None),
            Ends::Failed(error) => return Err(error.clone()),
        };
        debug_assert!(
            front.status().is_ok() && back.as_ref().is_none_or(|back| back.status().is_ok()),
            "an error has ended the iteration"
        );
        if from == From::Back && back.is_none() {
            *back = Some(Box::new(front.reversed_twin()?));
        }
        let (moved, other) = match (from, back.as_mut()) {
            (From::Back, Some(back)) => (back, Some(front)),
            (_, back) => (front, back),
        };
        if !moved.next()? {
            return Ok(None);
        }
        let met = other.is_some_and(|other| {
            other.valid()
                && (moved.key() == other.key()
                    || (moved.key() > other.key()) == (from == From::Front))
        });
        if met {
            return Ok(None);
        }
        let copy = |bytes| memory::copy_of(bytes, "an entry");
        Ok(Some((copy(moved.key())?, copy(moved.value())?)))
    }

    /// Ends the iteration unless `step` found an entry.
    fn finish(&mut self, step: Result<Option<OwnedEntry>>) -> Option<Result<OwnedEntry>> {
        if !matches!(step, Ok(Some(_))) {
            self.ends = Ends::Done;
        }
        step.transpose()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Front,
    Back,
}

impl Iterator for Iter {
    type Item = Result<OwnedEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = self.step(From::Front);
        self.finish(found)
    }
}

impl DoubleEndedIterator for Iter {
    fn next_back(&mut self) -> Option<Self::Item> {
        let found = self.step(From::Back);
        self.finish(found)
    }
}

/// The smallest key that a range's start admits.
fn lower_bound(bound: Bound<Vec<u8>>) -> Option<Vec<u8>> {
    match bound {
        Bound::Included(key) => Some(key),
        Bound::Excluded(key) => Some(successor(key)),
        Bound::Unbounded => None,
    }
}

/// The first key that a range's end excludes.
fn upper_bound(bound: Bound<Vec<u8>>) -> Option<Vec<u8>> {
    match bound {
        Bound::Included(key) => Some(successor(key)),
        Bound::Excluded(key) => Some(key),
        Bound::Unbounded => None,
    }
}

/// The smallest key after `key`.
fn successor(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}
