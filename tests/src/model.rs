//! The model: the right answers of the database, from a `BTreeMap`, and a cursor that moves by the documented rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use aidb::{BatchOperation, WriteBatch};

/// Keys and values in order.
pub type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// The contents that a database must have. Copies share the bytes, so that a test can keep a state of megabytes a
/// hundred times.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Model {
    map: BTreeMap<Arc<[u8]>, Arc<[u8]>>,
}

/// Which entries a cursor shows, and in which direction.
#[derive(Clone, Debug, Default)]
pub struct Walk {
    /// The smallest key shown.
    pub lower: Option<Vec<u8>>,
    /// The first key not shown.
    pub upper: Option<Vec<u8>>,
    /// The prefix of every key shown.
    pub prefix: Option<Vec<u8>>,
    /// From the largest key down.
    pub reverse: bool,
}

impl Model {
    /// A model without entries.
    pub fn new() -> Model {
        Model::default()
    }

    /// Stores `value` under `key`.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.map.insert(key.into(), value.into());
    }

    /// Removes `key`.
    pub fn delete(&mut self, key: &[u8]) {
        self.map.remove(key);
    }

    /// Removes the keys of `[start, end)`; `None` is open.
    pub fn delete_range(&mut self, start: Option<&[u8]>, end: Option<&[u8]>) {
        self.map.retain(|key, _| {
            start.is_some_and(|start| **key < *start) || end.is_some_and(|end| end <= &**key)
        });
    }

    /// Removes the keys that begin with `prefix`.
    pub fn delete_prefix(&mut self, prefix: &[u8]) {
        self.map.retain(|key, _| !key.starts_with(prefix));
    }

    /// Applies the batch's operations in order.
    pub fn write(&mut self, batch: &WriteBatch) {
        for operation in batch.iter() {
            match operation {
                BatchOperation::Put { key, value } => self.put(key, value),
                BatchOperation::Delete { key } => self.delete(key),
                BatchOperation::DeleteRange { start, end } => self.delete_range(Some(start), end),
                other => panic!("the model does not know {other:?}"),
            }
        }
    }

    /// The value under `key`.
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.map.get(key).map(|value| &value[..])
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Every entry, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> {
        self.map.iter().map(|(key, value)| (&key[..], &value[..]))
    }

    /// The entries that `walk` shows, in its direction.
    pub fn entries(&self, walk: &Walk) -> Entries {
        let shown = |key: &[u8]| {
            walk.lower.as_deref().is_none_or(|lower| key >= lower)
                && walk.upper.as_deref().is_none_or(|upper| key < upper)
                && walk
                    .prefix
                    .as_deref()
                    .is_none_or(|prefix| key.starts_with(prefix))
        };
        let mut entries: Entries = self
            .iter()
            .filter(|(key, _)| shown(key))
            .map(|(key, value)| (key.to_vec(), value.to_vec()))
            .collect();
        if walk.reverse {
            entries.reverse();
        }
        entries
    }
}

/// The place of a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    New,
    Before,
    At(usize),
    Behind,
}

/// A cursor over fixed entries. It moves as [`aidb::Cursor`] promises.
pub struct ModelCursor {
    entries: Entries,
    reverse: bool,
    place: Place,
}

impl ModelCursor {
    /// A cursor before the first of the entries of `model` that `walk` shows.
    pub fn new(model: &Model, walk: &Walk) -> ModelCursor {
        ModelCursor {
            entries: model.entries(walk),
            reverse: walk.reverse,
            place: Place::New,
        }
    }

    /// Whether it has not moved yet.
    pub fn is_new(&self) -> bool {
        self.place == Place::New
    }

    /// Whether `next` (`forward`), or else `prev`, leaves it where it is: past the end that lies there.
    pub fn is_past(&self, forward: bool) -> bool {
        self.place
            == match forward {
                true => Place::Behind,
                false => Place::Before,
            }
    }

    /// The entry it stands on.
    pub fn entry(&self) -> Option<(&[u8], &[u8])> {
        match self.place {
            Place::At(index) => {
                let (key, value) = &self.entries[index];
                Some((key, value))
            }
            _ => None,
        }
    }

    /// The first entry.
    pub fn first(&mut self) {
        self.stand(0);
    }

    /// The last entry.
    pub fn last(&mut self) {
        self.stand_before(self.entries.len());
    }

    /// The first entry at or after `key` in walking order.
    pub fn seek(&mut self, key: &[u8]) {
        let index = self.entries.partition_point(|(at, _)| match self.reverse {
            false => at.as_slice() < key,
            true => at.as_slice() > key,
        });
        self.stand(index);
    }

    /// The last entry at or before `key` in walking order.
    pub fn seek_for_prev(&mut self, key: &[u8]) {
        let count = self.entries.partition_point(|(at, _)| match self.reverse {
            false => at.as_slice() <= key,
            true => at.as_slice() >= key,
        });
        self.stand_before(count);
    }

    /// Moves one entry forward.
    pub fn next(&mut self) {
        match self.place {
            Place::New | Place::Before => self.stand(0),
            Place::At(index) => self.stand(index + 1),
            Place::Behind => {}
        }
    }

    /// Moves one entry backward.
    pub fn prev(&mut self) {
        match self.place {
            Place::New | Place::Behind => self.stand_before(self.entries.len()),
            Place::At(index) => self.stand_before(index),
            Place::Before => {}
        }
    }

    /// Stands on the entry `index`, or after the last.
    fn stand(&mut self, index: usize) {
        self.place = match index < self.entries.len() {
            true => Place::At(index),
            false => Place::Behind,
        };
    }

    /// Stands on the entry before `index`, or before the first.
    fn stand_before(&mut self, index: usize) {
        self.place = match index.checked_sub(1) {
            Some(index) => Place::At(index),
            None => Place::Before,
        };
    }
}
