//! Names features in the manifest before something needs them (FEATURE-1).

use super::Tree;
use crate::content::Sum;
use crate::error::Result;
use crate::sync::atomic::Ordering;
use crate::version::{Features, VersionEdit};

impl Tree {
    /// Makes sure that the manifest durably names the feature of range deletes (FEATURE-1). Syncs the disk at the first
    /// call: what an earlier process wrote may not be durable (SET-6).
    #[cold]
    pub(in crate::db) fn name_range_deletes(&self) -> Result<()> {
        if self.names_range_deletes.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut edit = VersionEdit::default();
        edit.features = Features::of_range_deletes();
        self.install(edit, Sum::default(), |_| {})?;
        self.names_range_deletes.store(true, Ordering::Release);
        Ok(())
    }
}
