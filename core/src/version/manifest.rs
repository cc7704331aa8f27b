//! The manifest: the durable log of version edits, and CURRENT, which names it.
//!
//! Layout: docs/format.md, "Manifest" and "CURRENT". A manifest is a head, two slots, then records, one edit each.
//! A slot says how many bytes and edits are valid; the next write goes to the other slot, so one is always
//! intact.
//!
//! * SLOT-1  An edit counts once a synced slot covers its record. Record first, sync, then slot, sync.
//! * SLOT-2  The slots are written in turn: generation g is in slot g % 2. If a write tears one, the other is
//!           intact.
//! * SLOT-3  If the file is shorter than the newest slot says, or a record below that length is bad, that is
//!           `Corruption`. Bytes after that length are an unfinished append and are ignored, except:
//! * SLOT-4  If one slot is bad, an intact record that begins exactly at the good slot's length counts too. It
//!           was synced before the bad slot was written (SLOT-1), so later damage to a slot cannot undo an
//!           acknowledged edit.
//! * SLOT-5  After a failed append or sync the writer is poisoned: the state of the tail is unknown, so nothing
//!           may be appended. The version set starts a new manifest.
//!
//! Elsewhere: when to start a new manifest (`set.rs`), the content of an edit (`edit.rs`).

use std::path::{Path, PathBuf};

use super::edit::VersionEdit;
use crate::checksum::{crc, id_behind, placed_crc};
use crate::coding::{get_u32, get_u64, put_u32, put_u64};
use crate::env::{Env, File, Names, PathKind};
use crate::error::{Error, ErrorKind, Result};
use crate::filename::{CURRENT, CURRENT_TMP, FileKind, manifest_name, manifest_path, parse};
use crate::key::FileNumber;
use crate::memory;
use crate::sync::Arc;

const MAGIC: [u8; 8] = *b"aidbMANI";
const MANIFEST_VERSION: u32 = 1;
/// magic (8), version (4), file id (8), checksum (4).
const HEAD_BYTES: usize = 24;
const _: () = assert!(HEAD_BYTES == 8 + 4 + 8 + 4);
/// The head and each slot have a sector of their own, so that writing one cannot tear another.
const SECTOR_BYTES: u64 = 4096;
/// generation (8), length (8), edits (8), checksum (4).
const SLOT_BYTES: usize = 28;
const _: () = assert!(SLOT_BYTES == 8 + 8 + 8 + 4);
/// The offset of the first record.
pub(super) const RECORDS_OFFSET: u64 = 3 * SECTOR_BYTES;
/// checksum (4), length (4).
const RECORD_HEADER_BYTES: usize = 8;
const _: () = assert!(RECORD_HEADER_BYTES == 4 + 4);

/// A snapshot is written in records of about this size.
const SNAPSHOT_RECORD_BYTES: usize = 256 << 10;

/// The content of a slot: how much of the manifest is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slot {
    generation: u64,
    /// How many bytes of the file count, from its beginning.
    length: u64,
    /// How many records those bytes have.
    edits: u64,
}

impl Slot {
    /// The offset of this generation's slot (SLOT-2).
    fn offset(generation: u64) -> u64 {
        SECTOR_BYTES * (1 + generation % 2)
    }

    fn encode(self, file_id: u64) -> Vec<u8> {
        debug_assert!(
            self.length >= RECORDS_OFFSET,
            "SLOT-3: the head and the slots count"
        );
        let mut out = Vec::with_capacity(SLOT_BYTES);
        for value in [self.generation, self.length, self.edits] {
            put_u64(&mut out, value);
        }
        let checksum = placed_crc(file_id, Slot::offset(self.generation), &[&out]);
        put_u32(&mut out, checksum);
        debug_assert!(
            out.len() == SLOT_BYTES,
            "SLOT-2: the fields add up to a slot"
        );
        out
    }

    /// The slot in `bytes`, which were read from `offset`; `None` if it is not whole.
    fn decode(bytes: &[u8], file_id: u64, offset: u64) -> Option<Slot> {
        let mut input = bytes;
        let slot = Slot {
            generation: get_u64(&mut input)?,
            length: get_u64(&mut input)?,
            edits: get_u64(&mut input)?,
        };
        let covered = &bytes[..bytes.len() - input.len()];
        let whole = get_u32(&mut input)? == placed_crc(file_id, offset, &[covered]);
        let in_place = Slot::offset(slot.generation) == offset && slot.length >= RECORDS_OFFSET;
        // AiDb counts generations from 0 and never comes near this one, so adding 1 cannot overflow.
        let counted = slot.generation <= u64::MAX / 2;
        (whole && in_place && counted).then_some(slot)
    }

    /// The next slot, after one more record of `bytes` bytes.
    fn after(self, bytes: u64) -> Slot {
        debug_assert!(
            bytes >= RECORD_HEADER_BYTES as u64,
            "SLOT-1: the slot covers a record"
        );
        Slot {
            generation: self.generation + 1,
            length: self.length + bytes,
            edits: self.edits + 1,
        }
    }
}

fn encode_head(file_id: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD_BYTES);
    out.extend_from_slice(&MAGIC);
    put_u32(&mut out, MANIFEST_VERSION);
    put_u64(&mut out, file_id);
    let checksum = placed_crc(file_id, 0, &[&out]);
    put_u32(&mut out, checksum);
    debug_assert!(
        out.len() == HEAD_BYTES,
        "SLOT-2: the fields add up to the head"
    );
    out
}

/// The record of `edit` at `offset`, with `index` records before it.
fn encode_record(edit: &VersionEdit, file_id: u64, offset: u64, index: u64) -> Result<Vec<u8>> {
    let record = encoded_record(edit, file_id, offset, index)?;
    // SET-7 of `set.rs`: the bytes written must be those of the edit.
    match VersionEdit::decode(&record[RECORD_HEADER_BYTES..])? == *edit {
        true => Ok(record),
        false => Err(Error::internal(
            "a version edit does not decode to what was encoded",
        )),
    }
}

/// The record of an edit, even one that only a later build can read.
pub(super) fn encoded_record(
    edit: &VersionEdit,
    file_id: u64,
    offset: u64,
    index: u64,
) -> Result<Vec<u8>> {
    let mut out = vec![0; RECORD_HEADER_BYTES];
    edit.encode_to(&mut out);
    let payload = out.len() - RECORD_HEADER_BYTES;
    let length = u32::try_from(payload)
        .map_err(|_| Error::internal(format!("a version edit of {payload} bytes")))?
        .to_le_bytes();
    let checksum = record_crc(file_id, offset, index, length, &out[RECORD_HEADER_BYTES..]);
    out[..4].copy_from_slice(&checksum.to_le_bytes());
    out[4..8].copy_from_slice(&length);
    Ok(out)
}

fn record_crc(file_id: u64, offset: u64, index: u64, length: [u8; 4], payload: &[u8]) -> u32 {
    placed_crc(file_id, offset, &[&index.to_le_bytes(), &length, payload])
}

/// Appends edits to one manifest.
pub(crate) struct ManifestWriter {
    file: Arc<dyn File>,
    path: PathBuf,
    number: FileNumber,
    file_id: u64,
    slot: Slot,
    poisoned: bool,
}

impl ManifestWriter {
    /// Creates manifest `number` in `dir`, holding `edits`, and syncs it and the directory.
    ///
    /// No file refers to it before [`set_current`].
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
        Ok(ManifestWriter {
            file,
            path,
            number,
            file_id,
            slot,
            poisoned: false,
        })
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
}

/// Makes CURRENT name the manifest of `writer`, which is complete and synced; durable when this returns.
///
/// After an error the next open may read either the old or the new manifest, so both must stay.
pub(crate) fn set_current(env: &dyn Env, dir: &Path, writer: &ManifestWriter) -> Result<()> {
    debug_assert!(
        !writer.poisoned && writer.slot.edits > 0,
        "SET-3: CURRENT names a complete manifest"
    );
    let temporary = dir.join(CURRENT_TMP);
    let names = Names::made_from_now(env);
    if env.kind(&temporary)? != PathKind::Missing {
        env.remove_file(&temporary)?;
    }
    let file = env.create_new(&temporary)?;
    file.write_at(0, current_text(writer.number, writer.file_id).as_bytes())?;
    file.sync()?;
    drop(file);
    env.rename(&temporary, &dir.join(CURRENT))?;
    // Without this sync of the directory, the rename may be lost and the old CURRENT come back.
    names.sync(env, dir)?;
    Ok(())
}

/// The content of CURRENT: one line of text with its own checksum.
fn current_text(number: FileNumber, file_id: u64) -> String {
    let name = manifest_name(number);
    let covered = format!("aidb 1 {name} {file_id:016x}");
    format!("{covered} {:08x}\n", crc(covered.as_bytes()))
}

/// Whether a file that begins with `head` is a manifest, of whatever version.
pub(super) fn begins_manifest(head: &[u8]) -> bool {
    head.starts_with(&MAGIC)
}

/// Whether a file that begins with `head` is a CURRENT of AiDb, of whatever version.
pub(super) fn begins_current(head: &[u8]) -> bool {
    let version = head.strip_prefix(b"aidb ");
    version
        .and_then(<[u8]>::first)
        .is_some_and(u8::is_ascii_digit)
}

/// Reads CURRENT: the manifest's number and file id.
pub(crate) fn read_current(env: &dyn Env, dir: &Path) -> Result<(FileNumber, u64)> {
    read_current_at(env, &dir.join(CURRENT))
}

/// [`read_current`] of the file at `path`, whatever its name.
pub(crate) fn read_current_at(env: &dyn Env, path: &Path) -> Result<(FileNumber, u64)> {
    let file = env.open_read(path)?;
    // Longer than any CURRENT, so that surplus bytes are noticed.
    let mut buffer = [0u8; 128];
    let length = file.read_at(0, &mut buffer)?;
    parse_current(path, &buffer[..length])
}

fn parse_current(path: &Path, bytes: &[u8]) -> Result<(FileNumber, u64)> {
    let damaged = || Error::corruption(path, 0, "this is not a line that AiDb wrote");
    let text = std::str::from_utf8(bytes).map_err(|_| damaged())?;
    let (covered, checksum) = text.rsplit_once(' ').ok_or_else(damaged)?;
    if checksum != format!("{:08x}\n", crc(covered.as_bytes())) {
        return Err(damaged());
    }
    let mut words = covered.split(' ');
    if words.next() != Some("aidb") {
        return Err(damaged());
    }
    match words.next() {
        Some("1") => {}
        Some(version) => {
            return Err(Error::unsupported(format!(
                "{}: version {version}; this build reads version 1",
                path.display()
            )));
        }
        None => return Err(damaged()),
    }
    let Some(FileKind::Manifest(number)) = words.next().and_then(parse) else {
        return Err(damaged());
    };
    let file_id = words.next().and_then(|id| u64::from_str_radix(id, 16).ok());
    let file_id = file_id.ok_or_else(damaged)?;
    // Only one spelling is accepted.
    if current_text(number, file_id) != text {
        return Err(damaged());
    }
    Ok((number, file_id))
}

/// The name of its memory in errors.
const EDIT: &str = "an edit of the manifest";

/// Reads a manifest's edits in order, then becomes its writer.
pub(crate) struct ManifestReader {
    file: Arc<dyn File>,
    path: PathBuf,
    number: FileNumber,
    file_id: u64,
    slot: Slot,
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
    pub(super) fn open_damaged(
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
        self.is_clean.then(|| ManifestWriter {
            file: self.file,
            path: self.path,
            number: self.number,
            file_id: self.file_id,
            slot: self.slot,
            poisoned: false,
        })
    }
}

/// Checks a head and returns the file id in it.
fn read_head(path: &Path, head: &[u8]) -> Result<u64> {
    let mut input = head;
    if input.split_off(..MAGIC.len()) != Some(&MAGIC[..]) {
        return Err(Error::corruption(path, 0, "this is not a manifest"));
    }
    let damaged = || Error::corruption(path, 0, "the head's checksum differs");
    let version = get_u32(&mut input).ok_or_else(damaged)?;
    let file_id = get_u64(&mut input).ok_or_else(damaged)?;
    let covered = &head[..head.len() - input.len()];
    // The checksum first: a flipped bit in the version is damage, not a newer format.
    if get_u32(&mut input) != Some(placed_crc(file_id, 0, &[covered])) {
        return Err(damaged());
    }
    if version != MANIFEST_VERSION {
        return Err(Error::unsupported(format!(
            "{}: manifest version {version}; this build reads version {MANIFEST_VERSION}",
            path.display()
        )));
    }
    Ok(file_id)
}

/// Cuts one large edit into records of a bounded size.
pub(crate) fn snapshot_records(mut whole: VersionEdit) -> impl Iterator<Item = VersionEdit> {
    let mut added = std::mem::take(&mut whole.added).into_iter().peekable();
    let mut first = Some(whole);
    std::iter::from_fn(move || {
        if first.is_none() && added.peek().is_none() {
            return None;
        }
        let mut edit = first.take().unwrap_or_default();
        let mut bytes = 0;
        while bytes < SNAPSHOT_RECORD_BYTES {
            let Some((level, table)) = added.next() else {
                break;
            };
            bytes += table.smallest.len() + table.largest.len() + 64;
            edit.added.push((level, table));
        }
        Some(edit)
    })
}

#[cfg(test)]
mod tests;
