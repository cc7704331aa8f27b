//! `KeyRange`: the keys from one to another.

/// The keys from `start`, included, to `end`, excluded; `None`: no bound.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeyRange {
    pub(crate) start: Vec<u8>,
    pub(crate) end: Option<Vec<u8>>,
}

impl KeyRange {
    pub(super) fn contains(&self, key: &[u8]) -> bool {
        *self.start <= *key && self.end.as_ref().is_none_or(|end| *key < **end)
    }

    pub(super) fn bytes(&self) -> usize {
        self.start.len() + self.end.as_ref().map_or(0, Vec::len)
    }

    /// Lengthens it to the end of `other`, which starts at or after it.
    pub(super) fn join(&mut self, other: KeyRange) {
        debug_assert!(
            self.start <= other.start,
            "READSET-2: sorted by their starts"
        );
        self.end = match (self.end.take(), other.end) {
            (Some(own), Some(other)) => Some(own.max(other)),
            _ => None,
        };
    }

    /// Whether it ends before `key`, and a key lies between.
    pub(super) fn ends_before(&self, key: &[u8]) -> bool {
        self.end.as_deref().is_some_and(|end| end < key)
    }

    /// The keys from the first of both to the last of both.
    pub(super) fn joined(self, other: &KeyRange) -> KeyRange {
        KeyRange {
            start: match other.start < self.start {
                true => other.start.clone(),
                false => self.start,
            },
            end: match (self.end, &other.end) {
                (Some(own), Some(other)) if *other > own => Some(other.clone()),
                (Some(own), Some(_)) => Some(own),
                _ => None,
            },
        }
    }

    /// Whether no key lies between it and `next`, which starts at or after it.
    pub(super) fn touches(&self, next: &KeyRange) -> bool {
        self.end.as_ref().is_none_or(|end| next.start <= *end)
    }
}
