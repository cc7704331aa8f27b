//! Reads what is left of a damaged database's manifest, for repair.
//!
//! If CURRENT is missing or damaged, every manifest in the directory is read, and the newest intact one counts.
//! If a manifest is cut short or damaged, the edits before the damage count; nothing is known of later ones.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use super::current::read_current;
use super::edit::VersionEdit;
use super::features::Features;
use super::manifest::ManifestReader;
use super::settings::Settings;
use super::table_info::TableInfo;
use crate::env::{Env, PathKind};
use crate::error::{Error, ErrorKind, Result};
use crate::filename::{FileKind, parse, table_path};
use crate::key::{FileNumber, KeyspaceId, SequenceNumber};

/// The contents of the manifest.
#[derive(Default)]
pub(crate) struct Salvage {
    /// The live tables, as far as is known.
    pub(crate) tables: BTreeMap<FileNumber, TableInfo>,
    /// Tables that were live once and are no longer.
    pub(crate) removed: HashSet<FileNumber>,
    /// Which keyspace has each live table.
    homes: HashMap<FileNumber, KeyspaceId>,
    /// What the default keyspace was set to, as far as is known.
    pub(crate) settings: Settings,
    /// The oldest log that is needed.
    pub(crate) log_number: FileNumber,
    /// The id of the database; 0 if not known.
    pub(crate) database: u32,
    /// The features that its tables and logs may need.
    pub(crate) features: Features,
    /// A log with synced records, unless `log_number` is larger.
    pub(crate) synced_log: FileNumber,
    pub(crate) last_sequence: SequenceNumber,
    /// Whether this is complete, so that a file which it does not name is not part of the database.
    pub(crate) is_complete: bool,
}

/// Reads what can be read of the manifests. Errors of unreadable parts go to `faults`.
///
/// `Unsupported` if a newer AiDb wrote it; `Io` if the directory cannot be listed.
pub(crate) fn salvage(env: &dyn Env, dir: &Path, faults: &mut Vec<Error>) -> Result<Salvage> {
    let mut manifests: Vec<FileNumber> = Vec::new();
    for name in env.list(dir)? {
        if let Some(FileKind::Manifest(number)) = parse(&name) {
            manifests.push(number);
        }
    }
    manifests.sort_unstable_by(|a, b| b.cmp(a));
    let mut current = None;
    match read_current(env, dir) {
        Ok((number, file_id)) => {
            current = Some((number, file_id));
            // The manifest that CURRENT names comes first.
            manifests.retain(|&other| other != number);
            manifests.insert(0, number);
        }
        Err(error) => note(error, faults)?,
    }
    let mut best: Option<Salvage> = None;
    for number in manifests {
        let named = current.filter(|(named, _)| *named == number);
        let found = match read(env, dir, number, named.map(|(_, id)| id), faults) {
            Ok(found) => found,
            Err(error) => {
                note(error, faults)?;
                continue;
            }
        };
        if found.is_complete && (named.is_some() || has_all_tables(env, dir, &found)) {
            return Ok(found);
        }
        let is_better = best.as_ref().is_none_or(|best| {
            (found.is_complete, found.last_sequence) > (best.is_complete, best.last_sequence)
        });
        if is_better {
            best = Some(found);
        }
    }
    Ok(best.unwrap_or_default())
}

fn read(
    env: &dyn Env,
    dir: &Path,
    number: FileNumber,
    file_id: Option<u64>,
    faults: &mut Vec<Error>,
) -> Result<Salvage> {
    let (mut reader, is_whole) = ManifestReader::open_damaged(env, dir, number, file_id)?;
    let mut found = Salvage {
        is_complete: is_whole,
        ..Salvage::default()
    };
    let mut edits = 0;
    loop {
        match reader.next_edit() {
            Ok(Some(edit)) => found.apply(edit),
            Ok(None) => break,
            Err(error) => {
                note(error, faults)?;
                found.is_complete = false;
                break;
            }
        }
        edits += 1;
    }
    if edits == 0 {
        return Err(reader.corruption("no edit of it can be read"));
    }
    if !is_whole {
        faults.push(reader.corruption("its head or its slots are damaged: its end is not known"));
    }
    Ok(found)
}

impl Salvage {
    fn apply(&mut self, mut edit: VersionEdit) {
        let others = std::mem::take(&mut edit.others);
        self.apply_part(&mut edit);
        for mut part in others {
            self.apply_part(&mut part);
        }
        debug_assert!(
            self.tables
                .keys()
                .all(|number| !self.removed.contains(number)),
            "VERSION-4: a table is live or removed, not both"
        );
        self.log_number = self.log_number.max(edit.log_number.unwrap_or_default());
        self.features.add(&edit.features);
        self.database = self.database.max(edit.database.unwrap_or_default());
        self.synced_log = self.synced_log.max(edit.synced_log.unwrap_or_default());
        self.note_number(edit.last_number);
    }

    fn note_number(&mut self, number: Option<SequenceNumber>) {
        self.last_sequence = self.last_sequence.max(number.unwrap_or_default());
    }

    /// Applies what an edit says of one keyspace.
    fn apply_part(&mut self, part: &mut VersionEdit) {
        let keyspace = part.about();
        let removed = part.removed.drain(..).map(|(_, number)| number);
        removed.for_each(|number| self.remove(number));
        for (_, table) in part.added.drain(..) {
            self.removed.remove(&table.number);
            self.homes.insert(table.number, keyspace);
            self.tables.insert(table.number, table);
        }
        if part.drops {
            let of_it = self.homes.iter().filter(|(_, home)| **home == keyspace);
            let of_it: Vec<FileNumber> = of_it.map(|(number, _)| *number).collect();
            of_it.into_iter().for_each(|number| self.remove(number));
        }
        self.note_number(part.last_sequence);
        if keyspace == KeyspaceId::DEFAULT && self.settings.apply(&part.settings).is_err() {
            // No build sets so much; what was set so far stays.
            self.is_complete = false;
        }
    }

    fn remove(&mut self, number: FileNumber) {
        self.tables.remove(&number);
        self.homes.remove(&number);
        self.removed.insert(number);
    }
}

fn has_all_tables(env: &dyn Env, dir: &Path, found: &Salvage) -> bool {
    found.tables.keys().all(|&number| {
        let kind = env.kind(&table_path(dir, number));
        matches!(kind, Ok(PathKind::File(_)))
    })
}

/// Notes an error of an unreadable part; an error of another kind ends the repair.
fn note(error: Error, faults: &mut Vec<Error>) -> Result<()> {
    match error.kind() {
        ErrorKind::Corruption | ErrorKind::Io => {
            faults.push(error);
            Ok(())
        }
        _ => Err(error),
    }
}
