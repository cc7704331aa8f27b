//! `Iter`: entries as an ordinary double-ended Rust iterator, over one cursor from each end.

use super::read::Cursor;
use crate::error::{Error, Result};
use crate::memory;

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
