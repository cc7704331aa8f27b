//! Surveys the tables of a damaged database: which of them count, and what can be read of each.
//!
//! * REPAIR-3  With a whole manifest only the tables that it names count: leftovers of compactions would bring deleted
//!             keys back. Without one every table in the directory counts, except those that readable edits have
//!             removed.
//! * REPAIR-6  If all blocks of a table can be read, but its entries are not those that the manifest or its own
//!             properties state, all of them go into the new database, and the table is reported.
//!
//! Elsewhere: reading a damaged table (`sstable/salvage.rs`).

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use super::losses::{note_range, refuse_newer, user_key_of};
use crate::content::Sum;
use crate::db::trust::report::{Loss, RepairReport};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::filename::{FileKind, parse, table_path};
use crate::key::{FileNumber, KeyRef};
use crate::sstable::{Known, Said, SalvagedTable, salvage, table_id};
use crate::version::{Salvage, TableInfo};

/// A look at all tables in a directory.
pub(super) struct Survey<'a> {
    env: &'a dyn Env,
    from: &'a Path,
    manifest: &'a Salvage,
    report: &'a mut RepairReport,
}

impl<'a> Survey<'a> {
    /// Surveys the tables in `from`, given the manifest's facts about them. Unreadable parts go to `report`.
    pub(super) fn new(
        env: &'a dyn Env,
        from: &'a Path,
        manifest: &'a Salvage,
        report: &'a mut RepairReport,
    ) -> Survey<'a> {
        Survey {
            env,
            from,
            manifest,
            report,
        }
    }

    /// Looks at every table that counts (REPAIR-3).
    pub(super) fn tables(&mut self, names: &[String]) -> Result<Vec<SalvagedTable>> {
        let manifest = self.manifest;
        let numbers: BTreeMap<u64, FileNumber> = manifest
            .tables
            .values()
            .map(|table| (table.file_id, table.number))
            .collect();
        let mut missing: HashSet<FileNumber> = manifest.tables.keys().copied().collect();
        let mut tables = Vec::new();
        for name in names {
            let Some(FileKind::Table(named)) = parse(name) else {
                continue;
            };
            let path = self.from.join(name);
            // A file is known by its id, even under another name; if the id is damaged, by its name.
            let own = match table_id(self.env, &path) {
                Ok(file_id) => numbers.get(&file_id).copied(),
                Err(error) => {
                    refuse_newer(error)?;
                    Some(named).filter(|named| manifest.tables.contains_key(named))
                }
            };
            let counts = match own {
                Some(_) => true,
                None => !manifest.is_complete && !manifest.removed.contains(&named),
            };
            if !counts {
                continue;
            }
            let info = own.and_then(|number| manifest.tables.get(&number));
            tables.extend(self.table(&path, info)?);
            if let Some(number) = own {
                missing.remove(&number);
            }
        }
        let mut missing: Vec<FileNumber> = missing.into_iter().collect();
        missing.sort_unstable();
        for number in missing {
            let info = &manifest.tables[&number];
            let loss = missing_table(self.from, info, manifest.is_complete)?;
            self.report.add(loss);
        }
        Ok(tables)
    }

    /// Surveys a table, given its `info` in the manifest; returns what can be read of it.
    fn table(&mut self, path: &Path, info: Option<&TableInfo>) -> Result<Option<SalvagedTable>> {
        let known = info.map(|info| Known {
            file_id: info.file_id,
            size: info.size,
        });
        let mut lost = Vec::new();
        let table = salvage(self.env, path, known, &mut lost)?;
        if let Some(table) = &table
            && lost.is_empty()
        {
            self.compare(path, table, info)?;
        }
        for lost in lost {
            let mut loss = Loss::new(path.to_path_buf(), lost.start, lost.end, &lost.error);
            (loss.offset, loss.end) = (lost.start, lost.end);
            let after = lost.after.as_ref().or(info.map(|info| &info.smallest));
            let before = lost.before.as_ref().or(info.map(|info| &info.largest));
            let key_of = |key: Option<&Vec<u8>>| {
                let key = key.and_then(|key| KeyRef::decode(key));
                key.map(user_key_of).transpose()
            };
            loss.smallest_key = key_of(after)?;
            loss.largest_key = key_of(before)?;
            loss.first_sequence = info.map(|info| info.smallest_sequence);
            loss.last_sequence = info.map(|info| info.largest_sequence);
            self.report.add(loss);
        }
        if let Some(table) = &table {
            self.report.tables += 1;
            self.report.table_entries += table.sum.entries();
        }
        Ok(table)
    }

    /// REPAIR-6, for a table whose blocks can all be read.
    fn compare(
        &mut self,
        path: &Path,
        table: &SalvagedTable,
        info: Option<&TableInfo>,
    ) -> Result<()> {
        let manifest = info.map(|info| Said {
            entries: info.entries,
            tombstones: info.tombstones,
            range_deletes: info.range_deletes.len() as u64,
            terms: info.content_sum,
        });
        let Some(what) = other_entries(table.sum, manifest, table.said) else {
            return Ok(());
        };
        let mut loss = Loss::new(path.to_path_buf(), 0, 0, &Error::corruption(path, 0, what));
        if let Some(info) = info {
            note_range(&mut loss, info)?;
        }
        self.report.add(loss);
        Ok(())
    }
}

/// How the entries `found` in a table with only readable blocks differ from what the manifest or the properties
/// state; `None` if they do not (REPAIR-6).
fn other_entries(found: Sum, manifest: Option<Said>, properties: Option<Said>) -> Option<String> {
    let said = [
        (manifest, "the manifest says"),
        (properties, "its own properties say"),
    ];
    let mut said = said.into_iter();
    let (said, who) = said.find_map(|(said, who)| {
        let said = said.filter(|said| !said.agrees_with(found))?;
        Some((said, who))
    })?;
    Some(format!(
        "all its blocks can be read, and all their entries are in the new database; but they are {found}, while {who} {said}"
    ))
}

/// The loss of a table that is missing.
fn missing_table(dir: &Path, info: &TableInfo, is_complete: bool) -> Result<Loss> {
    let path = table_path(dir, info.number);
    let what = match is_complete {
        true => "the manifest names this table, but it is missing",
        false => "the table is missing; perhaps an edit that cannot be read had replaced it",
    };
    let mut loss = Loss::new(path.clone(), 0, 0, &Error::corruption(&path, 0, what));
    note_range(&mut loss, info)?;
    Ok(loss)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_others_if_their_number_or_their_sum_is_not_what_somebody_says() {
        let found = Sum {
            terms: 5,
            puts: 3,
            tombstones: 1,
            range_deletes: 0,
        };
        let right = Said {
            entries: 4,
            tombstones: 1,
            range_deletes: 0,
            terms: Some(5),
        };
        // A table of format version 1 has no known sum.
        let older = Said {
            terms: None,
            ..right
        };
        for said in [None, Some(right), Some(older)] {
            assert_eq!(other_entries(found, said, None), None);
            assert_eq!(other_entries(found, None, said), None);
        }
        let wrong = [
            Said {
                entries: 5,
                ..older
            },
            Said {
                tombstones: 2,
                ..right
            },
            Said {
                range_deletes: 1,
                ..right
            },
            Said {
                terms: Some(6),
                ..right
            },
        ];
        for said in wrong {
            let message = other_entries(found, Some(said), Some(right)).unwrap();
            assert!(message.contains("the manifest says"), "{message}");
            let message = other_entries(found, Some(right), Some(said)).unwrap();
            assert!(message.contains("its own properties say"), "{message}");
        }
    }
}
