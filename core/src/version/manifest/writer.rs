//! Appends edits to a manifest.
//!
//! * SLOT-1  An edit counts once a synced slot covers its record. Record first, sync, then slot, sync.
//! * SLOT-5  After a failed append or sync the writer is poisoned: the state of the tail is unknown, so nothing
//!           may be appended. The version set starts a new manifest.

use std::path::{Path, PathBuf};

use super::super::edit::VersionEdit;
use super::RECORDS_OFFSET;
use super::head::encode_head;
use super::record::encode_record;
use super::slot::{SLOT_BYTES, Slot};
use crate::env::{Env, File, Names};
use crate::error::{Error, Result};
use crate::filename::manifest_path;
use crate::key::FileNumber;
use crate::sync::Arc;

/// Appends edits to one manifest.
pub(crate) struct ManifestWriter {
    pub(super) file: Arc<dyn File>,
    path: PathBuf,
    number: FileNumber,
    file_id: u64,
    pub(super) slot: Slot,
    poisoned: bool,
}

impl ManifestWriter {
    /// Goes on after the last edit of a manifest, which `slot` covers.
    pub(super) fn resume(
        file: Arc<dyn File>,
        path: PathBuf,
        number: FileNumber,
        file_id: u64,
        slot: Slot,
    ) -> ManifestWriter {
        ManifestWriter {
            file,
            path,
            number,
            file_id,
            slot,
            poisoned: false,
        }
    }

    /// Creates manifest `number` in `dir`, holding `edits`, and syncs it and the directory.
    ///
    /// No file refers to it before [`set_current`](super::super::current::set_current).
    pub(crate) fn create(
        env: &dyn Env,
        dir: &Path,
        number: FileNumber,
        edits: impl Iterator<Item = VersionEdit>,
    ) -> Result<ManifestWriter> {
        let path = manifest_path(dir, number);
        let file_id = env.random()?;
        let name = Names::made_from_now(env);
        let file = env.create_new(&path)?;
        let mut slot = Slot {
            generation: 0,
            length: RECORDS_OFFSET,
            edits: 0,
        };
        for edit in edits {
            let record = encode_record(&edit, file_id, slot.length, slot.edits)?;
            file.write_at(slot.length, &record)?;
            slot.length += record.len() as u64;
            slot.edits += 1;
        }
        debug_assert!(
            slot.edits > 0,
            "SET-3: a new manifest begins with a whole version"
        );
        file.write_at(0, &encode_head(file_id))?;
        // Both slots are written, so that later a bad slot must be torn or damaged (SLOT-4).
        for generation in 0..2 {
            slot.generation = generation;
            file.write_at(Slot::offset(generation), &slot.encode(file_id))?;
        }
        file.sync()?;
        // CURRENT will refer to this name.
        name.sync(env, dir)?;
        Ok(ManifestWriter::resume(file, path, number, file_id, slot))
    }

    /// Appends `edit`; durable when this returns (SLOT-1). After an error the writer is poisoned (SLOT-5), and whether
    /// the edit counts at the next open is unknown.
    pub(crate) fn append(&mut self, edit: &VersionEdit) -> Result<()> {
        if self.poisoned {
            return Err(Error::internal(format!(
                "{}: an earlier write failed",
                self.path.display()
            )));
        }
        let record = encode_record(edit, self.file_id, self.slot.length, self.slot.edits)?;
        self.poisoned = true;
        self.file.write_at(self.slot.length, &record)?;
        self.file.sync()?;
        let next = self.slot.after(record.len() as u64);
        debug_assert!(
            Slot::offset(next.generation) != Slot::offset(self.slot.generation),
            "SLOT-2: in turn"
        );
        let offset = Slot::offset(next.generation);
        debug_assert!(self.poisoned, "SLOT-5: poisoned until the slot is synced");
        debug_assert!(
            offset + SLOT_BYTES as u64 <= RECORDS_OFFSET,
            "SLOT-2: no slot reaches a record"
        );
        self.file.write_at(offset, &next.encode(self.file_id))?;
        self.file.sync()?;
        self.slot = next;
        self.poisoned = false;
        Ok(())
    }

    /// The number in the manifest's name.
    pub(crate) fn number(&self) -> FileNumber {
        self.number
    }

    /// Bytes of records.
    pub(crate) fn record_bytes(&self) -> u64 {
        self.slot.length - RECORDS_OFFSET
    }

    /// The random id in the manifest's head.
    pub(crate) fn file_id(&self) -> u64 {
        self.file_id
    }

    /// Whether every edit that it was given is durable, and there is one.
    pub(in crate::version) fn is_complete(&self) -> bool {
        !self.poisoned && self.slot.edits > 0
    }
}
