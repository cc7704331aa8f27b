//! Installs version edits: on disk first, then for readers.
//!
//! * FLUSH-7  A panic between the two halves of an installation, on disk and in memory, stops all writing,
//!            because the next edit would be based on an outdated version. Reads continue, and the next open
//!            finds the durable state.
//!
//! Locks: `versions` for both halves, so that edits are shown in the order in which they were made durable.

use super::Tree;
use super::superversion::SuperVersion;
use crate::content::Sum;
use crate::db::order::StopUnlessDone;
use crate::error::Result;
use crate::version::{Version, VersionEdit};

impl Tree {
    /// Makes `edit` durable, then shows the new version, with `change` applied to the superversion. `gained`: the sum
    /// that the edit adds to the tables.
    pub(in crate::db) fn install(
        &self,
        mut edit: VersionEdit,
        gained: Sum,
        change: impl FnOnce(&mut SuperVersion),
    ) -> Result<()> {
        // If an earlier installation ended halfway, no other may build upon it.
        self.order.check()?;
        edit.set_keyspace(self.keyspace);
        let mut versions = self.versions.lock();
        debug_assert!(
            is_same(
                &versions.current(self.keyspace),
                &self.superversion.load().version
            ),
            "FLUSH-7: readers see the version that the edit changes"
        );
        self.context.step("an edit is to be made durable");
        let version = versions.log_and_apply(edit, gained)?;
        let half_done = StopUnlessDone::new(&self.order);
        self.context.step("an edit is durable");
        let mut state = self.state.lock();
        let mut next = SuperVersion {
            version,
            ..(**self.superversion.load()).clone()
        };
        change(&mut next);
        let old = self.show(&mut state, next);
        half_done.done();
        drop(state);
        self.context.step("an edit is shown");
        drop(versions);
        drop(old);
        Ok(())
    }
}

/// Whether two versions have the same tables. An edit without tables makes another version of them.
fn is_same(one: &Version, other: &Version) -> bool {
    let numbers = |version: &Version| -> Vec<_> {
        let files = version.all_files();
        files.map(|(level, file)| (level, file.number)).collect()
    };
    numbers(one) == numbers(other)
}
