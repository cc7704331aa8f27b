//! Removes tables that no version and no reader needs any more.

use super::Tree;
use crate::filename;

impl Tree {
    /// Removes the tables that have left the version and have no reader.
    pub(in crate::db) fn delete_obsolete_tables(&self) {
        while self.delete_obsolete_table() {}
    }

    /// Removes one of them; returns whether there was one. If it cannot be removed now, the next open removes it.
    pub(super) fn delete_obsolete_table(&self) -> bool {
        let Some(number) = self.obsolete.pop() else {
            return false;
        };
        self.context.step("a table is to be removed");
        if self.superversion.load().version.holds(number) {
            self.context.note(format_args!(
                "table {number} was to be removed, but is in use"
            ));
            return true;
        }
        let path = filename::table_path(self.context.dir(), number);
        if let Err(error) = self.context.env().remove_file(&path) {
            self.context.note(format_args!("{error}"));
        }
        true
    }
}
