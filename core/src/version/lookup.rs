//! The protocol of a point lookup: what it needs after each entry that it is given.
//!
//! * LOOKUP-1  A lookup gets entries of one key with numbers up to the one it reads at, from newest to oldest,
//!             without a gap. It gets no more once it is done.

use crate::key::Trailer;

/// What a lookup needs after an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// It is done.
    Nothing,
    /// It needs the next older entry of its key.
    Older,
}

/// The point from which a lookup continues after some of its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// It is done.
    Nothing,
    /// It needs the newest entry at or after this trailer.
    From(Trailer),
}

impl Rest {
    /// The rest of the lookup after an entry with this trailer, when it needs `need`.
    #[inline]
    pub(super) fn after(trailer: Trailer, need: Need) -> Rest {
        match need {
            Need::Nothing => Rest::Nothing,
            Need::Older => trailer.older().map_or(Rest::Nothing, Rest::From),
        }
    }
}
