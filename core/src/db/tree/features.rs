//! Names features in the manifest before something needs them (FEATURE-1).

use super::Tree;
use crate::content::Sum;
use crate::error::Result;
use crate::sync::atomic::Ordering;
use crate::version::{Features, Needs, VersionEdit};

impl Tree {
    /// Makes sure that the manifest durably names the features that `needs` has (FEATURE-1). Syncs the disk at the
    /// first call for each: what an earlier process wrote may not be durable (SET-6).
    #[cold]
    pub(in crate::db) fn name_features(&self, needs: Needs) -> Result<()> {
        let named = Needs::from_bits(self.named_features.load(Ordering::Acquire));
        if named.and(needs) == named {
            return Ok(());
        }
        let mut edit = VersionEdit::default();
        edit.features = Features::of(needs);
        self.install(edit, Sum::default(), |_| {})?;
        self.named_features
            .fetch_or(needs.bits(), Ordering::Release);
        Ok(())
    }
}
