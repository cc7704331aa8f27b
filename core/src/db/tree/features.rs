//! Names features in the manifest before something needs them (FEATURE-1).

use super::Tree;
use crate::content::Sum;
use crate::error::Result;
use crate::sync::atomic::Ordering;
use crate::version::{Features, Needs, VersionEdit};

impl Tree {
    /// Makes sure that the manifest durably names the features that `needs` has (FEATURE-1). The first call for each
    /// syncs the disk unless a manifest that this process wrote names it already: what an earlier process wrote may not
    /// be durable (SET-6).
    #[cold]
    pub(in crate::db) fn name_features(&self, needs: Needs) -> Result<()> {
        let named = Needs::from_bits(self.named_features.load(Ordering::Acquire));
        if named.and(needs) == named {
            return Ok(());
        }
        let features = Features::of(needs);
        let is_named = self.versions.lock().names_durably(&features);
        if !is_named {
            let mut edit = VersionEdit::default();
            edit.features = features;
            self.install(edit, Sum::default(), |_| {})?;
        }
        self.named_features
            .fetch_or(needs.bits(), Ordering::Release);
        Ok(())
    }
}
