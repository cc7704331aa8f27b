//! How far one log is known to be synced (docs/durability.md).
//!
//! Three places say it. A record says how far its log was synced when the record was written. The header of
//! the next log says how many bytes at the end of this log were not synced. The file SYNCED says how far the
//! newest log was last synced. Each of these is read as a [`Synced`], and the largest counts. The manifest only
//! says that a log was synced at all (CHAIN-4 of `chain.rs`).
//!
//! * SYNCED-1  It is a length that the log had when a sync began that succeeded: it never exceeds the log.
//! * SYNCED-2  Of several values for one log the largest counts: each was true when it was written, and what
//!             is durable stays durable.
//! * SYNCED-3  A place without room for the whole value says less, never more.
//! * SYNCED-4  A log that ends before this length is damaged: the missing bytes were durable.
//!
//! Pure: no file is touched here. Elsewhere: which thread syncs (`db/logs/sync_group.rs`), the file SYNCED
//! (`synced_file.rs`).

use std::fmt;
use std::path::Path;

use crate::error::{Error, Result};

/// How many bytes of a log are known to be durable. See the head of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Synced(u64);

impl Synced {
    /// Nothing is known to be durable.
    pub(crate) const NOTHING: Synced = Synced(0);

    /// The result of a successful sync that began when the log had `length` bytes.
    #[inline]
    pub(crate) fn up_to(length: u64) -> Synced {
        Synced(length)
    }

    /// The value in the header of the next log, for a log of `length` bytes: all but its last `unsynced` bytes.
    pub(super) fn all_but(unsynced: u32, length: u64) -> Synced {
        match unsynced {
            // The number of unsynced bytes may not have fitted (SYNCED-3).
            u32::MAX => Synced::NOTHING,
            unsynced => Synced(length.saturating_sub(u64::from(unsynced))),
        }
    }

    /// How many bytes at the end of a log of `length` bytes are not known to be synced: the inverse of
    /// [`Synced::all_but`], or `u32::MAX` if the number does not fit.
    pub(super) fn unsynced_of(self, length: u64) -> u32 {
        debug_assert!(
            self.0 <= length,
            "SYNCED-1: no more bytes are synced than the log has"
        );
        let unsynced = u32::try_from(length.saturating_sub(self.0)).unwrap_or(u32::MAX);
        debug_assert!(
            Synced::all_but(unsynced, length) <= self,
            "SYNCED-3: a header does not state more than is synced"
        );
        unsynced
    }

    /// Combines the values from two places (SYNCED-2).
    #[inline]
    #[must_use]
    pub(crate) fn and(self, other: Synced) -> Synced {
        self.max(other)
    }

    /// In bytes; 0 if nothing is known.
    #[inline]
    pub(crate) fn length(self) -> u64 {
        self.0
    }

    /// Refuses the log at `path`, which ends at `length`, if its synced part reaches further (SYNCED-4).
    pub(super) fn check_reached(self, path: &Path, length: u64) -> Result<()> {
        match self.0 > length {
            true => {
                let what = format!("the log ends, but it was synced up to {self}");
                Err(Error::corruption(path, length, what))
            }
            false => Ok(()),
        }
    }
}

impl fmt::Display for Synced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    /// SYNCED-2.
    #[test]
    fn of_two_places_the_one_that_tells_of_more_counts() {
        let [less, more] = [40, 41].map(Synced::up_to);
        assert_eq!((less.and(more), more.and(less)), (more, more));
        assert_eq!(Synced::NOTHING.and(less), less);
        assert_eq!(Synced::default(), Synced::NOTHING);
    }

    /// SYNCED-3.
    #[test]
    fn the_next_header_tells_all_that_it_has_room_for_and_never_more() {
        const ROOM: u64 = u32::MAX as u64;
        for length in [0, 1, ROOM - 1, ROOM, ROOM + 1, u64::MAX] {
            for unsynced in [0, 1, 2, ROOM - 1, ROOM, ROOM + 1, u64::MAX] {
                let Some(synced) = length.checked_sub(unsynced).map(Synced::up_to) else {
                    continue;
                };
                let said = Synced::all_but(synced.unsynced_of(length), length);
                match unsynced < ROOM {
                    true => assert_eq!(said, synced, "{unsynced} of {length}"),
                    false => assert_eq!(said, Synced::NOTHING, "{unsynced} of {length}"),
                }
            }
        }
        // A damaged header does not panic.
        assert_eq!(Synced::all_but(8, 7), Synced::NOTHING);
    }

    /// SYNCED-4.
    #[test]
    fn a_log_that_ends_before_what_was_synced_is_damaged_there() {
        let (path, synced) = (Path::new("/db/000007.log"), Synced::up_to(81));
        for length in [81, 82] {
            synced.check_reached(path, length).unwrap();
        }
        let error = synced.check_reached(path, 80).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corruption);
        let message = error.to_string();
        assert!(
            message.contains("80") && message.contains("synced up to 81"),
            "{message}"
        );
    }
}
