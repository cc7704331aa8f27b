//! What a point lookup needs after each entry that it is fed.
//!
//! * LOOKUP-1  A lookup is fed entries of one key at or before the number it reads at, each older than the one before, and none
//!             between them is left out. It is fed no more once it is done.

use crate::key::Trailer;

/// What a lookup needs after an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// It is done.
    Nothing,
    /// The next older entry of its key.
    Older,
}

/// Where a lookup goes on after some of its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// It is done.
    Nothing,
    /// The newest entry at or after this one.
    From(Trailer),
}

impl Rest {
    /// What is left after an entry with this trailer, after which the lookup needs `need`.
    #[inline]
    pub(super) fn after(trailer: Trailer, need: Need) -> Rest {
        match need {
            Need::Nothing => Rest::Nothing,
            Need::Older => trailer.older().map_or(Rest::Nothing, Rest::From),
        }
    }
}
