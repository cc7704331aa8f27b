//! One directory in memory: its names as programs see them, and their changes on the way to the disk.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::file::MemFile;
use super::history::{Change, History};
use crate::sync::Arc;

pub(super) type Names = BTreeMap<String, Arc<MemFile>>;

#[derive(Clone, Default)]
pub(super) struct Directory {
    names: Names,
    disk: History<NameChange>,
    /// Whether its own entry in its parent is not durable.
    is_unsynced: bool,
    /// Its place before a rename that is not yet durable.
    old_path: Option<PathBuf>,
}

#[derive(Clone)]
pub(super) enum NameChange {
    Added(String, Arc<MemFile>),
    Removed(String),
    Renamed(String, String, Arc<MemFile>),
}

impl Change for NameChange {
    type Whole = Names;

    fn apply(&self, names: &mut Names) {
        match self {
            NameChange::Added(name, file) => {
                names.insert(name.clone(), file.clone());
            }
            NameChange::Removed(name) => {
                names.remove(name);
            }
            NameChange::Renamed(from, to, file) => {
                // If the cut dropped the creation of `from`, or kept a later file there, only `to` changes.
                if names.get(from).is_some_and(|old| Arc::ptr_eq(old, file)) {
                    names.remove(from);
                }
                names.insert(to.clone(), file.clone());
            }
        }
    }
}

impl Directory {
    /// A directory with these names, all of them and itself durable.
    pub(super) fn durable(names: Names) -> Directory {
        Directory {
            disk: History::new(Arc::new(names.clone())),
            names,
            is_unsynced: false,
            old_path: None,
        }
    }

    /// The names as programs see them.
    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// The names on the disk, and their changes since.
    pub(super) fn disk(&self) -> &History<NameChange> {
        &self.disk
    }

    /// Whether no power loss would change it or its place.
    pub(super) fn is_durable(&self) -> bool {
        self.disk.changes().is_empty() && !self.is_unsynced && self.old_path.is_none()
    }

    pub(super) fn is_unsynced(&self) -> bool {
        self.is_unsynced
    }

    pub(super) fn old_path(&self) -> Option<&PathBuf> {
        self.old_path.as_ref()
    }

    pub(super) fn change(&mut self, change: NameChange) {
        debug_assert!(
            self.admits(&change),
            "MEM-2: a name is added once, and removed or renamed while it is there"
        );
        change.apply(&mut self.names);
        self.disk.push(change);
    }

    fn admits(&self, change: &NameChange) -> bool {
        match change {
            NameChange::Added(name, _) => !self.names.contains_key(name),
            NameChange::Removed(name) => self.names.contains_key(name),
            NameChange::Renamed(from, to, file) => {
                from != to
                    && self
                        .names
                        .get(from)
                        .is_some_and(|old| Arc::ptr_eq(old, file))
            }
        }
    }

    /// Notes that it was synced.
    pub(super) fn sync(&mut self) {
        self.disk.sync();
        debug_assert!(
            !self.disk.changes().is_empty() || self.disk.base().keys().eq(self.names.keys()),
            "MEM-1: after a sync the disk has the names that programs see"
        );
    }

    /// Notes that its sync failed.
    pub(super) fn fail_sync(&mut self) {
        self.disk.fail_sync();
    }

    /// Notes that it was made and its parent was not synced.
    pub(super) fn leave_unsynced(&mut self) {
        self.is_unsynced = true;
    }

    /// Notes that it was renamed, from `old`, and its parent was not synced.
    pub(super) fn leave(&mut self, old: PathBuf) {
        self.old_path.get_or_insert(old);
    }

    /// Notes that its parent was synced.
    pub(super) fn settle(&mut self) {
        self.is_unsynced = false;
        self.old_path = None;
    }

    /// Replaces each file, in the names and in all that the disk knows of them, by what `replace` makes of it.
    pub(super) fn replace_files(&mut self, mut replace: impl FnMut(&mut Arc<MemFile>)) {
        self.names.values_mut().for_each(&mut replace);
        self.disk.base_mut().values_mut().for_each(&mut replace);
        for change in self.disk.changes_mut() {
            match change {
                NameChange::Added(_, file) | NameChange::Renamed(_, _, file) => replace(file),
                NameChange::Removed(_) => {}
            }
        }
    }
}
