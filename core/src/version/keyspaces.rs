//! `Keyspaces`: which keyspaces a database has, with the name and the tables of each.
//!
//! The manifest's edits change it: those that its reader replays, and those that the version set makes.
//!
//! * KEYSPACE-1  A keyspace that is made gets an id that no other had before it. So the records in the logs of a
//!               dropped keyspace are never taken for those of another.
//! * KEYSPACE-2  The default keyspace is always there and has no name. Every other one has a name of its own.
//! * KEYSPACE-3  The tables of a keyspace have all of its writes up to the number `flushed`, and no later ones.

use std::collections::BTreeMap;

use super::Version;
use super::builder::Builder;
use super::edit::VersionEdit;
use super::file::{FileMeta, ObsoleteFiles};
use super::settings::Settings;
use crate::content::Sum;
use crate::error::{Error, Result};
use crate::key::{KeyspaceId, SequenceNumber};
use crate::sync::Arc;

/// The keyspaces of an open database: each with its current version.
pub(super) type Versions = Keyspaces<Arc<Version>>;

/// See the head of the file. `T`: the form in which the tables of each are held.
#[derive(Clone)]
pub(super) struct Keyspaces<T> {
    alive: BTreeMap<KeyspaceId, Keyspace<T>>,
    /// No keyspace has had this id or a larger one.
    next: KeyspaceId,
}

/// One keyspace.
#[derive(Clone)]
pub(super) struct Keyspace<T> {
    /// Empty for the default one.
    pub(super) name: Arc<str>,
    /// See KEYSPACE-3.
    pub(super) flushed: SequenceNumber,
    pub(super) settings: Settings,
    pub(super) tables: T,
}

impl<T> Keyspaces<T> {
    /// The default keyspace alone.
    pub(super) fn of_default(tables: T) -> Keyspaces<T> {
        let keyspace = Keyspace::new("", tables);
        Keyspaces {
            alive: BTreeMap::from([(KeyspaceId::DEFAULT, keyspace)]),
            next: KeyspaceId(1),
        }
    }

    /// The id that the next keyspace gets.
    pub(super) fn next(&self) -> KeyspaceId {
        self.next
    }

    /// In the order of their ids: the default one first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (KeyspaceId, &Keyspace<T>)> {
        self.alive.iter().map(|(id, keyspace)| (*id, keyspace))
    }

    pub(super) fn get(&self, id: KeyspaceId) -> Option<&Keyspace<T>> {
        self.alive.get(&id)
    }

    fn get_mut(&mut self, id: KeyspaceId) -> Result<&mut Keyspace<T>> {
        let found = self.alive.get_mut(&id);
        found.ok_or_else(|| unknown(id))
    }

    /// Applies a part of an edit, except for the tables that it adds and removes. Returns what it drops. `make` makes
    /// the tables of a new keyspace. `Internal` if KEYSPACE-1 or KEYSPACE-2 would break.
    fn apply_part(
        &mut self,
        part: &VersionEdit,
        make: impl FnOnce() -> T,
    ) -> Result<Option<Keyspace<T>>> {
        let id = part.about();
        if let Some(name) = &part.name {
            self.check_name(id, name)?;
            match self.alive.get_mut(&id) {
                Some(keyspace) => keyspace.name = Arc::from(name.as_str()),
                None if id < self.next => {
                    self.alive.insert(id, Keyspace::new(name, make()));
                }
                None => return Err(unknown(id)),
            }
        }
        if part.drops {
            let changes = part.changes_tables() || !part.settings.is_empty();
            if id == KeyspaceId::DEFAULT || changes || part.name.is_some() {
                let what = format!("an edit drops keyspace {id}, which it cannot");
                return Err(Error::internal(what));
            }
            return self.alive.remove(&id).map(Some).ok_or_else(|| unknown(id));
        }
        let keyspace = self.get_mut(id)?;
        let flushed = part.last_sequence.unwrap_or_default();
        keyspace.flushed = keyspace.flushed.max(flushed);
        keyspace.settings.apply(&part.settings)?;
        Ok(None)
    }

    /// KEYSPACE-2.
    fn check_name(&self, id: KeyspaceId, name: &str) -> Result<()> {
        let mut others = self.alive.iter().filter(|(other, _)| **other != id);
        let is_taken = others.any(|(_, other)| *other.name == *name);
        match id == KeyspaceId::DEFAULT || is_taken {
            false => Ok(()),
            true => Err(Error::internal(format!(
                "keyspace {id} cannot have the name {name:?}"
            ))),
        }
    }
}

/// Up to which number the writes to each keyspace are in tables (KEYSPACE-3), for the replay of logs.
#[derive(Debug, Clone)]
pub(crate) struct Flushed {
    /// In the order of the ids.
    alive: Vec<(KeyspaceId, SequenceNumber)>,
    next: KeyspaceId,
}

impl Flushed {
    pub(super) fn of<T>(keyspaces: &Keyspaces<T>) -> Flushed {
        let alive = keyspaces.iter();
        Flushed {
            alive: alive.map(|(id, keyspace)| (id, keyspace.flushed)).collect(),
            next: keyspaces.next(),
        }
    }

    /// Those of some keyspaces, in the order of their ids, for tests.
    #[cfg(test)]
    pub(crate) fn of_ids(alive: &[(u64, u64)], next: u64) -> Flushed {
        let alive = alive.iter();
        Flushed {
            alive: alive
                .map(|(id, flushed)| (KeyspaceId(*id), SequenceNumber(*flushed)))
                .collect(),
            next: KeyspaceId(next),
        }
    }

    /// The number up to which all writes to all keyspaces are in tables.
    pub(crate) fn by_all(&self) -> SequenceNumber {
        let numbers = self.alive.iter().map(|(_, flushed)| *flushed);
        numbers.min().unwrap_or_default()
    }

    /// The number up to which those to keyspace `id` are; `None` if it was dropped. `Internal` if there never was one
    /// with this id (KEYSPACE-1).
    pub(crate) fn by(&self, id: KeyspaceId) -> Result<Option<SequenceNumber>> {
        match self.alive.binary_search_by_key(&id, |(id, _)| *id) {
            Ok(place) => Ok(Some(self.alive[place].1)),
            Err(_) if id < self.next => Ok(None),
            Err(_) => {
                let what = format!("a write to keyspace {id}, which there never was");
                Err(Error::internal(what))
            }
        }
    }
}

impl<T> Keyspace<T> {
    fn new(name: &str, tables: T) -> Keyspace<T> {
        Keyspace {
            name: Arc::from(name),
            flushed: SequenceNumber(0),
            settings: Settings::default(),
            tables,
        }
    }
}

impl Versions {
    /// What `edit` leads to, and the files that no keyspace has any more.
    pub(super) fn after(
        &self,
        edit: &VersionEdit,
        obsolete: &Arc<ObsoleteFiles>,
    ) -> Result<(Versions, Vec<Arc<FileMeta>>)> {
        let mut next = self.clone();
        next.next = next.next.max(edit.next_keyspace.unwrap_or_default());
        let mut removed = Vec::new();
        for part in edit.parts() {
            let id = part.about();
            if part.name.is_some() && self.get(id).is_none() && id < self.next {
                let what = format!("an edit makes keyspace {id}, which there was before");
                return Err(Error::internal(what));
            }
            let make = || Arc::new(Version::empty());
            if let Some(dropped) = next.apply_part(part, make)? {
                let files = dropped.tables.all_files();
                removed.extend(files.map(|(_, file)| Arc::clone(file)));
                continue;
            }
            let keyspace = next.get_mut(id)?;
            let (version, files) = keyspace.tables.apply(part, obsolete)?;
            keyspace.tables = Arc::new(version);
            removed.extend(files);
        }
        Ok((next, removed))
    }

    /// The sum of the tables of the keyspaces that `edit` changes and does not drop, and whether all of it is known.
    pub(super) fn content(&self, edit: &VersionEdit) -> (Sum, bool) {
        let kept = edit.parts().filter(|part| !part.drops);
        let changed = kept.filter_map(|part| self.get(part.about()));
        let contents = changed.map(|keyspace| keyspace.tables.content());
        contents.fold((Sum::default(), true), |(mut sum, is_known), content| {
            sum += content.sum;
            (sum, is_known && content.is_known)
        })
    }

    /// The live tables of all keyspaces.
    pub(super) fn all_files(&self) -> impl Iterator<Item = &Arc<FileMeta>> {
        let versions = self.alive.values().map(|keyspace| &keyspace.tables);
        versions.flat_map(|version| version.all_files().map(|(_, file)| file))
    }
}

impl<'a> Keyspaces<Builder<'a>> {
    /// Replays the edits of a manifest, beginning with no table.
    pub(super) fn apply(
        &mut self,
        edit: &VersionEdit,
        make: impl Fn() -> Builder<'a>,
    ) -> Result<()> {
        self.next = self.next.max(edit.next_keyspace.unwrap_or_default());
        for part in edit.parts() {
            if self.apply_part(part, &make)?.is_none() {
                self.get_mut(part.about())?.tables.apply(part)?;
            }
        }
        Ok(())
    }

    /// What the edits have led to.
    pub(super) fn finish(self) -> Result<Versions> {
        let mut alive = BTreeMap::new();
        for (id, keyspace) in self.alive {
            let (version, _) = keyspace.tables.finish()?;
            let keyspace = Keyspace {
                name: keyspace.name,
                flushed: keyspace.flushed,
                settings: keyspace.settings,
                tables: Arc::new(version),
            };
            alive.insert(id, keyspace);
        }
        let next = self.next;
        Ok(Keyspaces { alive, next })
    }
}

fn unknown(id: KeyspaceId) -> Error {
    Error::internal(format!(
        "an edit is about keyspace {id}, which is not there"
    ))
}

#[cfg(test)]
mod tests;
