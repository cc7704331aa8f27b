//! `Range`: the keys between two ends, as abstract-level gives them.

use aidb::{Error, IterOptions, MAX_KEY_BYTES, Result};

use crate::convert::{Bytes, owned};

/// The ends of a range of keys; `None`: no bound.
pub(crate) struct Range {
    lower: Option<Vec<u8>>,
    upper: Option<Vec<u8>>,
}

impl Range {
    /// From abstract-level's inclusive and exclusive ends; if both are given, the inclusive one counts.
    pub(crate) fn new(
        gte: Option<Bytes<'_>>,
        gt: Option<Bytes<'_>>,
        lte: Option<Bytes<'_>>,
        lt: Option<Bytes<'_>>,
    ) -> Result<Range> {
        let behind = |key| owned(key).and_then(successor);
        Ok(Range {
            lower: gte.map(owned).or_else(|| gt.map(behind)).transpose()?,
            upper: lte.map(behind).or_else(|| lt.map(owned)).transpose()?,
        })
    }

    /// Whether both ends may be keys. The key after the longest one may not.
    pub(crate) fn has_keys_as_ends(&self) -> bool {
        let mut ends = self.lower.iter().chain(&self.upper);
        ends.all(|end| end.len() <= MAX_KEY_BYTES)
    }

    /// The ends for a range delete; `None` if the range has no keys.
    pub(crate) fn ends(&self) -> Option<(Option<&[u8]>, Option<&[u8]>)> {
        let (lower, upper) = (self.lower.as_deref(), self.upper.as_deref());
        let is_empty = upper.is_some_and(|upper| upper <= lower.unwrap_or_default());
        (!is_empty).then_some((lower, upper))
    }

    /// What walks over the entries of the range.
    pub(crate) fn options(self) -> IterOptions {
        IterOptions::new()
            .lower_bound(self.lower)
            .upper_bound(self.upper)
    }
}

/// The smallest key after `key`.
fn successor(mut key: Vec<u8>) -> Result<Vec<u8>> {
    let length = key.len() + 1;
    let reserved = key.try_reserve_exact(1);
    reserved.map_err(|_| Error::out_of_memory("a key", length))?;
    key.push(0);
    Ok(key)
}
