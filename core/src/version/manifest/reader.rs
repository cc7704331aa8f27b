//! Reads a manifest's edits in order.
//!
//! * SLOT-3  If the file is shorter than the newest slot says, or a record below that length is bad, that is
//!           `Corruption`. Bytes after that length are an unfinished append and are ignored, except:
//! * SLOT-4  If one slot is bad, an intact record that begins exactly at the good slot's length counts too. It
//!           was synced before the bad slot was written (SLOT-1), so later damage to a slot cannot undo an
//!           acknowledged edit.

use std::path::{Path, PathBuf};

use super::super::edit::VersionEdit;
use super::head::{HEAD_BYTES, read_head};
use super::record::{RECORD_HEADER_BYTES, record_crc};
use super::slot::{SLOT_BYTES, Slot};
use super::writer::ManifestWriter;
use super::{RECORDS_OFFSET, SECTOR_BYTES};
use crate::checksum::id_behind;
use crate::coding::get_u32;
use crate::env::{Env, File, PathKind};
use crate::error::{Error, ErrorKind, Result};
use crate::filename::manifest_path;
use crate::key::FileNumber;
use crate::memory;
use crate::sync::Arc;

/// The name of its memory in errors.
const EDIT: &str = "an edit of the manifest";

/// Reads a manifest's edits in order, then becomes its writer.
pub(crate) struct ManifestReader {
    file: Arc<dyn File>,
    path: PathBuf,
    number: FileNumber,
    file_id: u64,
    pub(super) slot: Slot,
    file_length: u64,
    /// The offset of the next record, and how many were read before it.
    offset: u64,
    read: u64,
    /// Whether both slots were whole, with nothing after the length that counts.
    is_clean: bool,
    /// Whether one slot is bad; then a whole record after the length counts (SLOT-4).
    one_slot: bool,
}

impl ManifestReader {
    /// Opens manifest `number`, whose file id is `file_id` according to CURRENT; `writable` to append to it
    /// later.
    pub(crate) fn open(
        env: &dyn Env,
        dir: &Path,
        number: FileNumber,
        file_id: u64,
        writable: bool,
    ) -> Result<ManifestReader> {
        let path = manifest_path(dir, number);
        if env.kind(&path)? == PathKind::Missing {
            return Err(Error::corruption(
                &path,
                0,
                "CURRENT names it, but it is missing",
            ));
        }
        let file = match writable {
            true => env.open_write(&path)?,
            false => env.open_read(&path)?,
        };
        ManifestReader::of_file(file, path, number, Some(file_id))
    }

    /// Refuses a manifest with other bytes than zeros between head, slots and records, where nothing is written.
    /// Opening ignores them: damage there loses nothing.
    pub(crate) fn check_unused(&self) -> Result<()> {
        for (sector, used) in [HEAD_BYTES, SLOT_BYTES, SLOT_BYTES].into_iter().enumerate() {
            let mut bytes = [0u8; SECTOR_BYTES as usize];
            let unused = &mut bytes[used..];
            let offset = sector as u64 * SECTOR_BYTES + used as u64;
            let length = self.file.read_at(offset, unused)?;
            if let Some(at) = unused[..length].iter().position(|byte| *byte != 0) {
                let what = "a byte that is never written is not zero";
                return Err(Error::corruption(&self.path, offset + at as u64, what));
            }
        }
        Ok(())
    }

    /// Opens the manifest at `path` for reading, whatever its name, and whatever id CURRENT names.
    pub(crate) fn open_any(env: &dyn Env, path: &Path) -> Result<ManifestReader> {
        // Only a writer needs the number, and this reader never becomes one.
        let number = FileNumber(0);
        ManifestReader::of_file(env.open_read(path)?, path.to_path_buf(), number, None)
    }

    /// `file_id`: the id in CURRENT, if it is to be compared.
    fn of_file(
        file: Arc<dyn File>,
        path: PathBuf,
        number: FileNumber,
        file_id: Option<u64>,
    ) -> Result<ManifestReader> {
        let mut head = [0u8; HEAD_BYTES];
        let length = file.read_at(0, &mut head)?;
        let own_id = read_head(&path, &head[..length])?;
        if file_id.is_some_and(|named| named != own_id) {
            let what = "its file id is not the one CURRENT names";
            return Err(Error::corruption(&path, 12, what));
        }
        let file_id = own_id;
        let mut slots = [None; 2];
        for (slot, generation) in slots.iter_mut().zip(0..) {
            let mut buffer = [0u8; SLOT_BYTES];
            let offset = Slot::offset(generation);
            let length = file.read_at(offset, &mut buffer)?;
            *slot = Slot::decode(&buffer[..length], file_id, offset);
        }
        let one_slot = slots.contains(&None);
        let newest = slots.into_iter().flatten().max_by_key(|s| s.generation);
        let slot = newest
            .ok_or_else(|| Error::corruption(&path, SECTOR_BYTES, "both slots are damaged"))?;
        let file_length = file.len()?;
        if file_length < slot.length {
            let what = format!("the file ends here, but {} bytes were written", slot.length);
            return Err(Error::corruption(&path, file_length, what));
        }
        Ok(ManifestReader {
            file,
            path,
            number,
            file_id,
            slot,
            file_length,
            offset: RECORDS_OFFSET,
            read: 0,
            is_clean: !one_slot && file_length == slot.length,
            one_slot,
        })
    }

    /// Opens manifest `number` despite any damage, to read the edits it still has. Also returns whether
    /// everything except its records is intact, including its id.
    ///
    /// `file_id`: the id in CURRENT, if there is one. `Corruption` if not even records can be recognised.
    pub(in crate::version) fn open_damaged(
        env: &dyn Env,
        dir: &Path,
        number: FileNumber,
        file_id: Option<u64>,
    ) -> Result<(ManifestReader, bool)> {
        let path = manifest_path(dir, number);
        let file = env.open_read(&path)?;
        let file_length = file.len()?;
        let mut head = [0u8; HEAD_BYTES];
        let length = file.read_at(0, &mut head)?;
        let own_id = match read_head(&path, &head[..length]) {
            Ok(own_id) => Some(own_id),
            Err(error) if error.kind() == ErrorKind::Unsupported => return Err(error),
            Err(_) => None,
        };
        if let Some(id) = own_id.or(file_id) {
            match ManifestReader::open(env, dir, number, id, false) {
                Ok(mut reader) => {
                    reader.file_id = id;
                    let is_named = file_id.is_none_or(|named| named == id);
                    return Ok((reader, is_named));
                }
                Err(error) if error.is_out_of_memory() => return Err(error),
                Err(_) => {}
            }
        }
        let mut reader = ManifestReader {
            file,
            path,
            number,
            file_id: own_id.or(file_id).unwrap_or_default(),
            slot: Slot {
                generation: 0,
                length: file_length,
                edits: u64::MAX,
            },
            file_length,
            offset: RECORDS_OFFSET,
            read: 0,
            is_clean: false,
            one_slot: false,
        };
        if own_id.or(file_id).is_none() {
            reader.file_id = reader.find_id()?;
        }
        Ok((reader, false))
    }

    /// The file id under which the first record is intact.
    fn find_id(&self) -> Result<u64> {
        let lost = || self.corruption("its file id is lost");
        let mut header = [0u8; RECORD_HEADER_BYTES];
        self.file.read_at(RECORDS_OFFSET, &mut header)?;
        let mut input = &header[..];
        let checksum = get_u32(&mut input).ok_or_else(lost)?;
        let length = get_u32(&mut input).ok_or_else(lost)?;
        let start = RECORDS_OFFSET + RECORD_HEADER_BYTES as u64;
        if length == 0 || u64::from(length) > self.file_length.saturating_sub(start) {
            return Err(lost());
        }
        let mut payload = memory::zeros(length as usize, EDIT)?;
        self.file.read_at(start, &mut payload)?;
        // Without an id its checksum proves nothing, but decoding as an edit does.
        VersionEdit::decode(&payload).map_err(|error| match error.is_out_of_memory() {
            true => error,
            false => lost(),
        })?;
        let parts = [&0u64.to_le_bytes()[..], &length.to_le_bytes(), &payload];
        Ok(id_behind(checksum, RECORDS_OFFSET, &parts))
    }

    /// The next edit; `None` after the last that counts. `Unsupported` if it names a feature that this build does not
    /// know (FEATURE-2).
    pub(crate) fn next_edit(&mut self) -> Result<Option<VersionEdit>> {
        let edit = self.next_edit_of_any_feature()?;
        if let Some(edit) = &edit {
            let known = edit.features.check_known();
            known.map_err(|error| error.context(self.path.display()))?;
        }
        Ok(edit)
    }

    /// The next edit, whatever its features, to show it and not to apply it.
    pub(crate) fn next_edit_of_any_feature(&mut self) -> Result<Option<VersionEdit>> {
        if self.offset < self.slot.length {
            let payload = self.read_record(self.slot.length)?;
            return self.decode(&payload).map(Some);
        }
        if self.read != self.slot.edits {
            let what = format!(
                "{} edits end here instead of {}",
                self.read, self.slot.edits
            );
            return Err(self.corruption(what));
        }
        if std::mem::take(&mut self.one_slot) {
            // SLOT-4.
            match self.read_record(self.file_length) {
                Ok(payload) => {
                    let edit = self.decode(&payload)?;
                    self.slot = self.slot.after(self.offset - self.slot.length);
                    return Ok(Some(edit));
                }
                // There is no whole record. But an unreadable place may hold one.
                Err(error) if error.kind() == ErrorKind::Corruption => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// The payload of the record at `offset`, which must end at or before `end`.
    fn read_record(&mut self, end: u64) -> Result<Vec<u8>> {
        debug_assert!(
            self.offset <= end && end <= self.file_length,
            "SLOT-3: a record is read within the file"
        );
        let mut header = [0u8; RECORD_HEADER_BYTES];
        let left = end - self.offset;
        if left < RECORD_HEADER_BYTES as u64
            || self.file.read_at(self.offset, &mut header)? < RECORD_HEADER_BYTES
        {
            return Err(self.corruption("a record is cut short"));
        }
        let mut input = &header[..];
        let (checksum, length) = get_u32(&mut input)
            .zip(get_u32(&mut input))
            .expect("the header has eight bytes");
        if u64::from(length) > left - RECORD_HEADER_BYTES as u64 {
            return Err(self.corruption("a record is longer than what is left"));
        }
        let mut payload = memory::zeros(length as usize, EDIT)?;
        let start = self.offset + RECORD_HEADER_BYTES as u64;
        if self.file.read_at(start, &mut payload)? < payload.len() {
            return Err(self.corruption("a record is cut short"));
        }
        let expected = record_crc(
            self.file_id,
            self.offset,
            self.read,
            length.to_le_bytes(),
            &payload,
        );
        if checksum != expected {
            let what = format!("a record's checksum is {checksum:08x}, expected {expected:08x}");
            return Err(self.corruption(what));
        }
        self.offset = start + u64::from(length);
        debug_assert!(
            self.offset <= end,
            "SLOT-3: the record ends within what counts"
        );
        self.read += 1;
        Ok(payload)
    }

    fn decode(&self, payload: &[u8]) -> Result<VersionEdit> {
        VersionEdit::decode(payload).map_err(|error| match error.kind() {
            ErrorKind::Unsupported | ErrorKind::OutOfMemory => error.context(self.path.display()),
            _ => self.corruption(error.message()),
        })
    }

    /// The random id in its head.
    pub(crate) fn file_id(&self) -> u64 {
        self.file_id
    }

    /// Bytes of the file that count.
    pub(crate) fn length(&self) -> u64 {
        self.slot.length
    }

    /// An error about the place that reading has reached.
    pub(crate) fn corruption(&self, what: impl std::fmt::Display) -> Error {
        Error::corruption(&self.path, self.offset, what)
    }

    /// The writer that goes on after the last edit, or `None` if the file is not clean: then the next edit
    /// must go into a new manifest. Requires that every edit was read and the file was opened as writable.
    pub(crate) fn into_writer(self) -> Option<ManifestWriter> {
        debug_assert!(self.read == self.slot.edits, "SLOT-3: every edit was read");
        debug_assert!(
            !self.is_clean || self.file_length == self.slot.length,
            "SLOT-3: nothing follows the last record"
        );
        debug_assert_eq!(self.offset, self.slot.length, "every edit was read");
        let ManifestReader { file, path, .. } = self;
        self.is_clean
            .then(|| ManifestWriter::resume(file, path, self.number, self.file_id, self.slot))
    }
}
