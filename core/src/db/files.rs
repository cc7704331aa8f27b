//! Deleting what no version, reader or log chain needs any more.

use std::path::Path;

use super::shared::Shared;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::filename::{self, FileKind};
use crate::key::FileNumber;

impl Shared {
    /// Removes the tables that left the version and that the last reader has let go.
    pub(super) fn delete_obsolete_tables(&self) {
        while self.delete_obsolete_table() {}
    }

    /// Removes one of them; whether there was one. If it cannot be removed now, the next open removes it.
    pub(super) fn delete_obsolete_table(&self) -> bool {
        let Some(number) = self.obsolete.pop() else {
            return false;
        };
        self.step("a table is to be removed");
        if self.superversion.load().version.holds(number) {
            self.note(format_args!(
                "table {number} was to be removed, and is in use"
            ));
            return true;
        }
        let path = filename::table_path(&self.dir, number);
        if let Err(error) = self.env.remove_file(&path) {
            self.note(format_args!("{error}"));
        }
        true
    }
}

/// The numbers of the log files in `dir`, ascending.
pub(super) fn log_numbers(names: &[String]) -> Vec<FileNumber> {
    let mut numbers: Vec<FileNumber> = names
        .iter()
        .filter_map(|name| match filename::parse(name) {
            Some(FileKind::Log(number)) => Some(number),
            _ => None,
        })
        .collect();
    numbers.sort_unstable();
    numbers
}

/// Removes the logs before `needed`; what cannot be removed now, the next open removes.
pub(super) fn delete_old_logs(env: &dyn Env, dir: &Path, needed: FileNumber) -> Result<()> {
    for number in log_numbers(&env.list(dir)?) {
        if number < needed {
            env.remove_file(&filename::log_path(dir, number))?;
        }
    }
    Ok(())
}

/// Removes what crashes left behind: tables in no version, logs that are neither needed nor in the chain, replaced
/// manifests, half-made files. What is gone already, or cannot be removed now, does not matter: no file number is
/// given out twice, and the next open tries again. Answers what went wrong.
pub(super) fn delete_orphans(
    env: &dyn Env,
    dir: &Path,
    names: &[String],
    is_live: impl Fn(FileKind) -> bool,
) -> Vec<Error> {
    let orphans = names
        .iter()
        .filter(|name| filename::parse(name).is_some_and(|kind| !is_live(kind)));
    orphans
        .filter_map(|name| env.remove_file(&dir.join(name)).err())
        .collect()
}
