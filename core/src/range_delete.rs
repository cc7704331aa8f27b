//! `RangeDelete`: one operation that deletes all keys in `[start, end)`, and how its entry stores it.
//!
//! Layout: docs/format.md, "Range deletes". The entry's user key is the start (empty if the range has none), and its
//! value has the end.
//!
//! * RANGE-1  A range has a key: its end sorts after its start.
//!
//! Elsewhere: many range deletes, and what they cover (`range_deletes.rs`).

use std::fmt;

use crate::error::{Error, Result};
use crate::key::{MAX_KEY_BYTES, SequenceNumber};
use crate::memory;
use crate::sync::Arc;

/// In the first byte of the value: the range has no end.
const HAS_NO_END: u8 = 1;
/// The most bytes of a key that a message shows.
const SHOWN_KEY_BYTES: usize = 64;

/// The keys that one range delete deletes, as far as they were written before it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct RangeDelete {
    /// The first deleted key.
    pub(crate) start: Arc<[u8]>,
    /// The first key after the range; `None`: it has no end.
    pub(crate) end: Option<Arc<[u8]>>,
    /// It deletes entries with smaller numbers.
    pub(crate) number: SequenceNumber,
}

impl RangeDelete {
    /// The range delete of an entry.
    ///
    /// Errors: `Internal` if `value` is not the value of one; the caller knows the place.
    pub(crate) fn of_entry(
        start: &[u8],
        number: SequenceNumber,
        value: &[u8],
    ) -> Result<RangeDelete> {
        Ok(RangeDelete {
            start: Arc::from(start),
            end: end_in(start, value)?.map(Arc::from),
            number,
        })
    }

    /// Whether it deletes `user_key`.
    #[cfg(test)]
    pub(crate) fn covers(&self, user_key: &[u8]) -> bool {
        *self.start <= *user_key && self.end.as_deref().is_none_or(|end| user_key < end)
    }

    /// Whether it deletes some key of `[first, last]`.
    pub(crate) fn meets(&self, first: &[u8], last: &[u8]) -> bool {
        *self.start <= *last && self.end.as_deref().is_none_or(|end| first < end)
    }

    /// The bytes of its keys.
    pub(crate) fn key_bytes(&self) -> usize {
        self.start.len() + self.end.as_deref().map_or(0, <[u8]>::len)
    }

    /// The value of its entry, in two parts.
    pub(crate) fn value(&self) -> ([u8; 1], &[u8]) {
        value_of(self.end.as_deref())
    }
}

impl fmt::Display for RangeDelete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |key: &[u8]| {
            key[..key.len().min(SHOWN_KEY_BYTES)]
                .escape_ascii()
                .to_string()
        };
        write!(
            f,
            "number {} of \"{}\" to ",
            self.number,
            shown(&self.start)
        )?;
        match &self.end {
            Some(end) => write!(f, "\"{}\"", shown(end)),
            None => f.write_str("the end"),
        }
    }
}

/// The value of the entry of a range delete with this end, in two parts.
pub(crate) fn value_of(end: Option<&[u8]>) -> ([u8; 1], &[u8]) {
    match end {
        Some(end) => ([0], end),
        None => ([HAS_NO_END], &[]),
    }
}

/// The end in the value of a range delete that begins with `start`; `None`: it has none.
///
/// Errors: `Internal` if it is not such a value; the caller knows the place.
pub(crate) fn end_in<'a>(start: &[u8], value: &'a [u8]) -> Result<Option<&'a [u8]>> {
    match value {
        [HAS_NO_END] => Ok(None),
        [0, end @ ..] if start < end && end.len() <= MAX_KEY_BYTES => Ok(Some(end)),
        _ => Err(Error::internal("a range delete has an impossible end")),
    }
}

/// The first key after all keys that begin with `prefix`; `None` if there is none.
///
/// Errors: `OutOfMemory`.
pub fn after_prefix(prefix: &[u8]) -> Result<Option<Vec<u8>>> {
    let Some(last) = prefix.iter().rposition(|byte| *byte != 0xff) else {
        return Ok(None);
    };
    let mut after = memory::copy_of(&prefix[..=last], "a bound")?;
    after[last] += 1;
    debug_assert!(
        &after[..] > prefix && !after.starts_with(prefix),
        "the bound is after every key with the prefix"
    );
    Ok(Some(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: &[u8], end: Option<&[u8]>) -> RangeDelete {
        let (flags, rest) = value_of(end);
        let value = [&flags, rest].concat();
        RangeDelete::of_entry(start, SequenceNumber(7), &value).unwrap()
    }

    /// RANGE-1.
    #[test]
    fn a_value_is_read_back_and_an_impossible_one_is_refused() {
        for (start, end) in [
            (&b""[..], None),
            (b"", Some(&b"\0"[..])),
            (b"a", None),
            (b"a", Some(b"a\0")),
            (b"\xff", Some(b"\xff\xff")),
        ] {
            let range = range(start, end);
            assert_eq!((&*range.start, range.end.as_deref()), (start, end));
            let (flags, rest) = range.value();
            assert_eq!(end_in(start, &[&flags, rest].concat()).unwrap(), end);
        }
        for (start, value) in [
            (&b"a"[..], &b""[..]),
            (b"a", b"\0"),
            (b"a", b"\0a"),
            (b"b", b"\0a"),
            (b"a", b"\x01b"),
            (b"a", b"\x02"),
            (b"a", b"\x02b"),
            (b"", b"\0"),
        ] {
            assert!(end_in(start, value).is_err(), "{start:?} {value:?}");
        }
        let mut longest = vec![0; 1];
        longest.resize(1 + MAX_KEY_BYTES, b'z');
        assert!(end_in(b"a", &longest).is_ok());
        longest.push(b'z');
        assert!(end_in(b"a", &longest).is_err());
    }

    #[test]
    fn the_start_is_deleted_and_the_end_is_not() {
        let bounded = range(b"b", Some(b"d"));
        let covered = |range: &RangeDelete| {
            let keys = [&b"a\xff"[..], b"b", b"c", b"c\xff", b"d", b"e"];
            keys.map(|key| range.covers(key))
        };
        assert_eq!(covered(&bounded), [false, true, true, true, false, false]);
        let open = range(b"b", None);
        assert_eq!(covered(&open), [false, true, true, true, true, true]);
        assert!(bounded.meets(b"a", b"b") && bounded.meets(b"c", b"z"));
        assert!(!bounded.meets(b"a", b"a\xff") && !bounded.meets(b"d", b"z"));
        assert!(open.meets(b"z", b"z"));
    }

    #[test]
    fn the_key_after_a_prefix_is_the_first_that_does_not_begin_with_it() {
        let cases: [(&[u8], Option<&[u8]>); 6] = [
            (b"", None),
            (b"\xff\xff", None),
            (b"a", Some(b"b")),
            (b"a\xff", Some(b"b")),
            (b"a\xfe\xff\xff", Some(b"a\xff")),
            (b"\0", Some(b"\x01")),
        ];
        for (prefix, after) in cases {
            assert_eq!(
                after_prefix(prefix).unwrap().as_deref(),
                after,
                "{prefix:?}"
            );
        }
    }
}
