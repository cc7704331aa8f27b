//! What other rooms ask of the manifest.
//!
//! Locks: `versions`, for as long as the answer takes.

use super::Tree;
use crate::error::Result;
use crate::key::{FileNumber, SequenceNumber};
use crate::sync::Arc;
use crate::version::{Features, Settings, Version};
use crate::wal::{Expected, SyncedLog};

/// What the manifest says of a tree.
pub(in crate::db) struct Durable {
    pub(in crate::db) version: Arc<Version>,
    pub(in crate::db) features: Features,
    pub(in crate::db) settings: Settings,
    /// The last sequence number that the manifest names.
    pub(in crate::db) last_sequence: SequenceNumber,
}

impl Tree {
    /// The oldest log that the manifest needs.
    pub(in crate::db) fn log_number(&self) -> FileNumber {
        self.versions.lock().log_number()
    }

    /// What the manifest says of this tree, for a copy.
    pub(in crate::db) fn durable(&self) -> Durable {
        let versions = self.versions.lock();
        Durable {
            version: versions.current(self.keyspace),
            features: versions.features().clone(),
            settings: versions.settings(self.keyspace),
            last_sequence: versions.last_sequence(),
        }
    }

    /// The manifest's current facts about the logs, except SYNCED.
    pub(in crate::db) fn expected_logs(&self) -> Expected {
        let versions = self.versions.lock();
        Expected {
            needed: versions.log_number(),
            synced_log: versions.synced_log(),
            // SYNCED is about the current log, whose length is known.
            synced_file: SyncedLog::default(),
            last_sequence: versions.last_sequence(),
            database: versions.database(),
        }
    }

    /// Reads the manifest again and compares it with what is in memory; returns its length. No edit is made durable
    /// meanwhile.
    pub(in crate::db) fn check_manifest(&self) -> Result<u64> {
        self.versions.lock().check_disk()
    }
}
