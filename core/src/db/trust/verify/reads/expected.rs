//! What readers should see, computed from the entries by the simplest rule (READS-3).

use crate::content::Sum;
use crate::db::trust::verify::shown::Shown;
use crate::error::{Error, Result};
use crate::iterator::InternalIterator;
use crate::iterator::visible::kind_of;
use crate::key::{KeyRef, SequenceNumber, Trailer, ValueKind};
use crate::range_delete::RangeDelete;
use crate::range_sweep::RangeSweep;

/// The effect of an entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decided {
    /// It decides what a reader at the number sees of its key.
    pub(super) is_now: bool,
    /// It decides that for a reader at the smaller number.
    pub(super) is_then: bool,
    /// The reader at the number sees its value.
    pub(super) shows_now: bool,
    /// The reader at the smaller number sees its value.
    pub(super) shows_then: bool,
}

/// The values of each key for a reader at `number` and for one at the smaller `past` (READS-3), computed from
/// entries in order.
pub(super) struct Expected<I> {
    entries: I,
    number: SequenceNumber,
    past: Option<SequenceNumber>,
    is_begun: bool,
    /// The last entry, and whether the readers' view of its key is decided.
    user_key: Vec<u8>,
    trailer: Trailer,
    is_decided: bool,
    is_past_decided: bool,
    /// The range deletes among the entries.
    ranges: RangeSweep,
    pub(super) met: Sum,
    pub(super) bytes: u64,
}

impl<I: InternalIterator> Expected<I> {
    pub(super) fn new(
        entries: I,
        number: SequenceNumber,
        past: Option<SequenceNumber>,
    ) -> Expected<I> {
        debug_assert!(
            past.is_none_or(|past| past < number),
            "READS-3: the past is before the present"
        );
        Expected {
            entries,
            number,
            past,
            is_begun: false,
            user_key: Vec::new(),
            trailer: Trailer::NEWEST,
            is_decided: false,
            is_past_decided: false,
            ranges: RangeSweep::default(),
            met: Sum::default(),
            bytes: 0,
        }
    }

    /// Moves to the next entry that decides what a reader sees of its key. `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Decided>> {
        loop {
            let is_first = !self.is_begun;
            match std::mem::replace(&mut self.is_begun, true) {
                false => self.entries.seek_to_first()?,
                true => self.entries.next()?,
            }
            if !self.entries.valid() {
                return Ok(None);
            }
            let KeyRef { user_key, trailer } = self.entries.key();
            let last = KeyRef::new(&self.user_key, self.trailer);
            if !is_first && last >= self.entries.key() {
                return Err(Error::unaccounted(format!(
                    "a merge of all tables and memtables does not ascend after {}",
                    Shown(&self.user_key)
                )));
            }
            if is_first || user_key != self.user_key {
                (self.is_decided, self.is_past_decided) = (false, false);
                self.user_key.clear();
                self.user_key.extend_from_slice(user_key);
            }
            self.trailer = trailer;
            self.bytes += (user_key.len() + self.entries.value().len()) as u64;
            if trailer.sequence() > self.number {
                continue;
            }
            let kind = kind_of(trailer)?;
            self.met.add_entry(user_key, trailer, self.entries.value());
            let sequence = trailer.sequence();
            self.ranges.advance(user_key);
            if kind == ValueKind::RangeDelete {
                let value = self.entries.value();
                let range = RangeDelete::of_entry(user_key, sequence, value)?;
                self.ranges.begin(range);
            }
            let shows_at = |reader: SequenceNumber| {
                kind == ValueKind::Put && !self.ranges.deletes(sequence, reader)
            };
            let is_now = !std::mem::replace(&mut self.is_decided, true);
            let is_past = self.past.is_some_and(|past| trailer.sequence() <= past);
            let is_then = is_past && !std::mem::replace(&mut self.is_past_decided, true);
            if is_now || is_then {
                return Ok(Some(Decided {
                    is_now,
                    is_then,
                    shows_now: is_now && shows_at(self.number),
                    shows_then: is_then && self.past.is_some_and(shows_at),
                }));
            }
        }
    }

    pub(super) fn key(&self) -> &[u8] {
        self.entries.key().user_key
    }

    pub(super) fn value(&self) -> &[u8] {
        self.entries.value()
    }
}
