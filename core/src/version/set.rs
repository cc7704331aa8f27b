//! The current version of each keyspace, and how edits to them become durable.
//!
//! * SET-1  Memory follows the disk: a version is installed only after its edit is durable. If that fails, the
//!          current version stays, and it may be unknown whether the edit counts at the next open. Only the set
//!          removes the tables that the edit adds: it queues them as obsolete once no manifest can name them,
//!          either at once or with the next edit that succeeds.
//! * SET-2  After a failed write nothing more goes to that manifest. The next edit begins a new one and
//!          switches CURRENT.
//! * SET-3  A switch completes and syncs the new manifest, syncs the directory, and then replaces CURRENT. Old
//!          manifests are deleted after that.
//! * SET-7  An edit changes the content sum of all tables by exactly the amount that its maker states, and the
//!          written record decodes to the edit. So a table that is left out, removed by mistake, or damaged on
//!          its way to the disk is noticed before the version is installed.
//! * SET-4  No file number is used twice: each edit records the next one, and opening skips every number in the
//!          name of a file in the directory.
//! * SET-5  Open never guesses: a missing CURRENT, manifest or table is an error, never an empty store.
//! * SET-6  The bytes that opening reads may be only in the kernel's memory, if the last process was killed
//!          before its sync or the sync failed. So the first edit after opening goes into a new manifest, and
//!          no file is removed before that.
//!
//! `log_and_apply` syncs the disk; the database calls it under a separate lock for the set. Elsewhere: whether
//! a directory is a database (`identity.rs`), deleting tables and logs (`db`).

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::current::{read_current, set_current};
use super::edit::{COMPARATOR, FORMAT_VERSION, VersionEdit};
use super::features::{Features, Needs};
use super::file::ObsoleteFiles;
use super::file_numbers::FileNumbers;
use super::keyspaces::{Flushed, Keyspaces, Versions};
use super::manifest::{ManifestReader, ManifestWriter, RECORDS_OFFSET, snapshot_records};
use super::settings::Settings;
use super::table_info::TableInfo;
use super::{Builder, Version};
use crate::content::Sum;
use crate::env::{Env, PathKind};
use crate::error::{Error, Result};
use crate::filename::{FileKind, LAST_FIRST_NUMBER, manifest_path, parse, table_path};
use crate::key::{FileNumber, KeyspaceId, SequenceNumber};
use crate::sync::Arc;
use crate::wal::DurableLog;

/// The manifest of a new database; the only one that an interrupted creation leaves.
pub(super) const FIRST_MANIFEST: FileNumber = FileNumber(1);
/// Every manifest may grow to this many bytes of records.
const MIN_ROLL_BYTES: u64 = 1 << 20;
/// A manifest may also grow to this many times its initial size.
const ROLL_FACTOR: u64 = 4;

/// The current versions and their durable history. See the head of the file.
pub(crate) struct VersionSet {
    env: Arc<dyn Env>,
    dir: PathBuf,
    current: Versions,
    numbers: Arc<FileNumbers>,
    obsolete: Arc<ObsoleteFiles>,
    /// The id of the database; 0 if not known yet.
    database: u32,
    /// What every manifest from now on names (FEATURE-1).
    features: Features,
    log_number: FileNumber,
    synced_log: FileNumber,
    /// At least the largest number in any table, also of the dropped keyspaces.
    last_sequence: SequenceNumber,
    /// The manifest that CURRENT names.
    manifest_number: FileNumber,
    /// `None` if the next edit must begin a new manifest (SET-2).
    writer: Option<ManifestWriter>,
    /// Whether an earlier process made the writer's manifest (SET-6).
    is_inherited: bool,
    /// Bytes of records with which the manifest began.
    snapshot_bytes: u64,
    /// Manifests to remove after the next switch; removals that failed are tried again (SET-3).
    old_manifests: Vec<FileNumber>,
    /// Whether the last edit that was tried may be on the disk although it failed (SET-1).
    may_be_durable: bool,
    /// Tables that only failed edits name; those edits may be durable.
    maybe_named: Vec<FileNumber>,
    is_read_only: bool,
    is_closed: bool,
}

impl VersionSet {
    /// Makes `dir` (which exists, and is [`super::Contents::Nothing`]) a database without tables.
    ///
    /// `obsolete`: receives the numbers of tables that are no longer needed.
    pub(crate) fn create(
        env: Arc<dyn Env>,
        dir: &Path,
        obsolete: Arc<ObsoleteFiles>,
    ) -> Result<VersionSet> {
        for name in env.list(dir)? {
            if let Some(FileKind::Manifest(_) | FileKind::Temporary) = parse(&name) {
                env.remove_file(&dir.join(name))?;
            }
        }
        let mut set = VersionSet {
            database: new_database(&*env)?,
            env,
            dir: dir.to_path_buf(),
            current: Keyspaces::of_default(Arc::new(Version::empty())),
            numbers: Arc::new(FileNumbers::starting_at(FileNumber(FIRST_MANIFEST.0 + 1))),
            obsolete,
            features: Features::of(Needs::OF_NEW_DATABASES),
            log_number: FileNumber(0),
            synced_log: FileNumber(0),
            last_sequence: SequenceNumber(0),
            manifest_number: FIRST_MANIFEST,
            writer: None,
            is_inherited: false,
            snapshot_bytes: 0,
            old_manifests: Vec::new(),
            may_be_durable: false,
            maybe_named: Vec::new(),
            is_read_only: false,
            is_closed: false,
        };
        let snapshot = set.snapshot(&set.current, &VersionEdit::default());
        let writer = set.write_manifest(FIRST_MANIFEST, snapshot)?;
        set_current(&*set.env, dir, &writer)?;
        set.install_writer(writer);
        Ok(set)
    }

    /// Makes `dir` a database of `tables`, each with its level, and without logs: the last step of a checkpoint or
    /// repair. The tables must be durable (their directory entries need not be), and there must be no CURRENT. Until
    /// this returns, `dir` either does not open or opens completely.
    ///
    /// `last_sequence`: at least the largest number in any table. `features`: all that the tables may need
    /// (FEATURE-1). `settings`: those of the default keyspace.
    pub(crate) fn create_from(
        env: &dyn Env,
        dir: &Path,
        tables: Vec<(usize, TableInfo)>,
        last_sequence: SequenceNumber,
        mut features: Features,
        settings: Settings,
    ) -> Result<()> {
        name_features_of(&tables, &mut features);
        debug_assert!(
            tables
                .iter()
                .all(|(_, table)| table.largest_sequence <= last_sequence),
            "SET-7: no table has a later number"
        );
        let numbers = tables.iter().map(|(_, table)| table.number);
        // Never the first manifest's number, because that would be taken for an interrupted creation (SET-5).
        let number = numbers.fold(FIRST_MANIFEST, FileNumber::max).0 + 1;
        let edit = VersionEdit {
            format_version: Some(FORMAT_VERSION),
            comparator: Some(COMPARATOR.to_vec()),
            features,
            keyspace: Some(KeyspaceId::DEFAULT),
            database: Some(new_database(env)?),
            log_number: Some(FileNumber(0)),
            next_file_number: Some(FileNumber(number + 1)),
            settings,
            last_sequence: Some(last_sequence),
            added: tables,
            ..VersionEdit::default()
        };
        // Refuse what recovery would refuse.
        Version::empty().apply(&edit, &ObsoleteFiles::new(|| {}))?;
        let records = snapshot_records(edit);
        let writer = ManifestWriter::create(env, dir, FileNumber(number), records)?;
        set_current(env, dir, &writer)
    }

    /// Reads the last durable version of `dir` (which is [`super::Contents::Database`]).
    ///
    /// Writes nothing. `Corruption` names the file that is damaged, shortened or missing; `Unsupported` means a
    /// newer format. `is_read_only`: no edit will follow.
    pub(crate) fn recover(
        env: Arc<dyn Env>,
        dir: &Path,
        obsolete: Arc<ObsoleteFiles>,
        is_read_only: bool,
    ) -> Result<VersionSet> {
        let (manifest_number, file_id) = read_current(&*env, dir)?;
        let mut reader = ManifestReader::open(&*env, dir, manifest_number, file_id, !is_read_only)?;
        let recovered = replay(&mut reader, &obsolete)?;
        check_tables(&*env, dir, &recovered.versions)?;
        let mut next = recovered.next_file_number.max(FIRST_MANIFEST.0 + 1);
        for name in env.list(dir)? {
            if let Some(number) = parse(&name).and_then(FileKind::number)
                // A number that counting never reaches need not be skipped.
                && number.0 < LAST_FIRST_NUMBER
            {
                next = next.max(number.0 + 1);
            }
        }
        let writer = reader.into_writer().filter(|_| !is_read_only);
        let files = recovered.versions.all_files();
        // About the size with which a manifest of this version would begin.
        let snapshot_bytes = files
            .map(|file| (file.smallest.len() + file.largest.len() + 64) as u64)
            .sum();
        Ok(VersionSet {
            env,
            dir: dir.to_path_buf(),
            current: recovered.versions,
            numbers: Arc::new(FileNumbers::starting_at(FileNumber(next))),
            obsolete,
            database: recovered.database,
            features: recovered.features,
            log_number: recovered.log_number,
            synced_log: recovered.synced_log,
            last_sequence: recovered.last_sequence,
            manifest_number,
            snapshot_bytes,
            writer,
            is_inherited: true,
            old_manifests: Vec::new(),
            may_be_durable: false,
            maybe_named: Vec::new(),
            is_read_only,
            is_closed: false,
        })
    }

    /// Writes CURRENT again if no edit has followed it. The process that created the database may have failed to sync
    /// it. Then CURRENT may still vanish, and a log without it would look like the remains of a lost database.
    pub(crate) fn confirm_creation(&self) -> Result<()> {
        match &self.writer {
            Some(writer) if self.log_number == FileNumber(0) => {
                set_current(&*self.env, &self.dir, writer)
            }
            _ => Ok(()),
        }
    }

    /// The random id of the database in its manifest, which logs name; 0 if an earlier build began the manifest.
    pub(crate) fn database(&self) -> u32 {
        self.database
    }

    /// Takes the id `database`, which the logs name (0: they name none), for the next manifest, unless the current
    /// one names an id.
    pub(crate) fn identify(&mut self, database: u32) -> Result<()> {
        if self.database == 0 && !self.is_read_only {
            self.database = match database {
                0 => new_database(&*self.env)?,
                named => named,
            };
        }
        debug_assert!(
            self.database != 0 || self.is_read_only,
            "SET-5: a writable database has an id"
        );
        Ok(())
    }

    /// Makes `edit` durable and what it leads to the current state. Syncs the disk. Returns the version of the keyspace
    /// that it is about. `gained`: the sum by which the edit changes the content of all tables, those of a dropped
    /// keyspace apart; it wraps if the content shrinks (SET-7).
    ///
    /// After an error nothing has changed in memory; for the disk see SET-1. The tables that `edit` would have added
    /// then belong to this set, not to the caller. The next call tries with a new manifest.
    pub(crate) fn log_and_apply(
        &mut self,
        mut edit: VersionEdit,
        gained: Sum,
    ) -> Result<Arc<Version>> {
        self.check_open()?;
        if self.is_read_only {
            return Err(Error::invalid_argument("the database was opened read-only"));
        }
        if edit
            .log_number
            .is_some_and(|number| number < self.log_number)
        {
            return Err(Error::internal("an edit lowers the log number"));
        }
        self.complete(&mut edit);
        let applied = self.current.after(&edit, &self.obsolete);
        let balanced = applied.and_then(|(versions, removed)| {
            check_balance(&self.current, &versions, &edit, gained)?;
            Ok((versions, removed))
        });
        let (versions, removed) = balanced.inspect_err(|_| self.disown(&edit, false))?;
        if let Err(error) = self.persist(&mut edit, &versions) {
            self.disown(&edit, self.may_be_durable);
            return Err(error);
        }
        debug_assert!(self.writer.is_some(), "SET-1: the edit is durable");
        debug_assert!(
            edit.synced_log.is_none_or(|log| log >= self.synced_log),
            "SYNC-2: the newest log with synced records is kept"
        );
        self.may_be_durable = false;
        self.current = versions;
        debug_assert!(
            edit.all_added().all(|table| self.holds(table.number)),
            "SET-1: the version holds the tables of its edit"
        );
        self.features.add(&edit.features);
        self.log_number = edit.log_number.unwrap_or(self.log_number);
        self.synced_log = edit.synced_log.unwrap_or(self.synced_log);
        self.last_sequence = self.last_sequence.max(last_number_of(&edit));
        for file in removed {
            debug_assert!(
                !self.holds(file.number),
                "FILE-1: no later version holds the table"
            );
            file.mark_obsolete();
        }
        // The disk now agrees with memory, and no version ever held these tables.
        if !self.maybe_named.is_empty() {
            let live = self.live_files();
            let mut maybe_named = std::mem::take(&mut self.maybe_named);
            maybe_named.retain(|number| !live.contains(number));
            maybe_named
                .into_iter()
                .for_each(|number| self.obsolete.push(number));
        }
        debug_assert!(
            self.maybe_named.is_empty() && !self.may_be_durable,
            "SET-1: after an edit the disk agrees with memory"
        );
        Ok(self.current(edit.about()))
    }

    /// Fills in what follows from the rest of `edit`: the features of its tables, the last number in them, and the id
    /// after that of a new keyspace (KEYSPACE-1).
    fn complete(&self, edit: &mut VersionEdit) {
        edit.complete_part();
        edit.others.iter_mut().for_each(VersionEdit::complete_part);
        let mut features = std::mem::take(&mut edit.features);
        edit.parts()
            .for_each(|part| name_features_of(&part.added, &mut features));
        if edit.concerns_other_keyspaces() {
            features.add(&Features::of_keyspaces());
        }
        edit.features = features;
        let named = edit.parts().filter(|part| part.name.is_some());
        let ids = named.map(|part| KeyspaceId(part.about().0 + 1));
        let next = ids.chain(edit.next_keyspace).max();
        edit.next_keyspace = next.filter(|next| *next > self.current.next());
    }

    /// The same with `gained` taken from the edit itself, for tests that make up tables.
    #[cfg(test)]
    pub(crate) fn log_and_apply_any(&mut self, edit: VersionEdit) -> Result<Arc<Version>> {
        let gained = gain_of(&edit, &self.current(edit.about()));
        self.log_and_apply(edit, gained)
    }

    /// Disposes of the tables that the failed `edit` would have added (SET-1). `may_be_durable`: whether the disk may
    /// name them.
    fn disown(&mut self, edit: &VersionEdit, may_be_durable: bool) {
        let live = self.live_files();
        let added = edit.all_added().map(|table| table.number);
        for number in added.filter(|number| !live.contains(number)) {
            if may_be_durable {
                self.maybe_named.push(number);
            } else {
                self.obsolete.push(number);
            }
        }
    }

    /// Makes `edit`, which leads to `versions`, durable: in the current manifest, or in a new one. After an error
    /// `may_be_durable` says whether the edit may be durable nevertheless.
    fn persist(&mut self, edit: &mut VersionEdit, versions: &Versions) -> Result<()> {
        self.may_be_durable = false;
        // After any failure below there is no writer (SET-2).
        let Some(writer) = self.writer.take() else {
            let new = self.begin_manifest(edit, versions)?;
            return self.switch_to(new);
        };
        // If file sizes are limited, well before the manifest would no longer fit.
        let limit = MIN_ROLL_BYTES
            .max(ROLL_FACTOR * self.snapshot_bytes)
            .min(self.env.largest_file().saturating_sub(RECORDS_OFFSET) / 2);
        if self.is_inherited || writer.record_bytes() > limit {
            // If there is no room for a new manifest, the old one still serves: its next sync covers all of it.
            if let Ok(new) = self.begin_manifest(edit, versions) {
                return self.switch_to(new);
            }
        }
        self.append(writer, edit)
    }

    fn append(&mut self, mut writer: ManifestWriter, edit: &mut VersionEdit) -> Result<()> {
        debug_assert!(
            writer.number() == self.manifest_number,
            "SET-2: edits go to the manifest that CURRENT names"
        );
        debug_assert!(
            self.writer.is_none(),
            "SET-2: a write that fails leaves no writer"
        );
        edit.next_file_number = Some(self.numbers.next());
        self.may_be_durable = true;
        writer.append(edit)?;
        self.writer = Some(writer);
        Ok(())
    }

    /// Writes a manifest that begins with `versions`; CURRENT does not name it yet.
    fn begin_manifest(
        &mut self,
        edit: &VersionEdit,
        versions: &Versions,
    ) -> Result<ManifestWriter> {
        let number = self.numbers.allocate();
        debug_assert!(
            number > self.manifest_number,
            "SET-4: the manifest has a new number"
        );
        let snapshot = self.snapshot(versions, edit);
        let written = self.write_manifest(number, snapshot);
        // Failed attempts must not pile up on a full disk.
        if written.is_err() && self.remove_manifest(number).is_err() {
            self.old_manifests.push(number);
        }
        written
    }

    fn write_manifest(
        &self,
        number: FileNumber,
        snapshot: Vec<VersionEdit>,
    ) -> Result<ManifestWriter> {
        let records = snapshot.into_iter().flat_map(snapshot_records);
        ManifestWriter::create(&*self.env, &self.dir, number, records)
    }

    /// Makes `writer` the manifest that CURRENT names.
    fn switch_to(&mut self, writer: ManifestWriter) -> Result<()> {
        debug_assert!(
            self.writer.is_none(),
            "SET-2: neither manifest gets another edit"
        );
        debug_assert!(
            writer.number() > self.manifest_number,
            "SET-4: the manifest has a new number"
        );
        // Until this succeeds CURRENT may name either manifest, so both stay, and neither gets another edit.
        self.may_be_durable = true;
        if let Err(error) = set_current(&*self.env, &self.dir, &writer) {
            self.old_manifests.push(writer.number());
            return Err(error);
        }
        self.old_manifests.push(self.manifest_number);
        debug_assert!(
            !self.old_manifests.contains(&writer.number()),
            "SET-3: the new manifest is not an old one"
        );
        self.install_writer(writer);
        self.remove_old_manifests();
        Ok(())
    }

    fn install_writer(&mut self, writer: ManifestWriter) {
        debug_assert!(
            writer.record_bytes() > 0,
            "SET-3: a manifest begins with a whole version"
        );
        debug_assert!(self.writer.is_none(), "SET-2: one manifest gets edits");
        self.manifest_number = writer.number();
        self.snapshot_bytes = writer.record_bytes();
        self.is_inherited = false;
        self.writer = Some(writer);
    }

    /// Removes manifests that CURRENT durably does not name. Removals that fail are tried again.
    fn remove_old_manifests(&mut self) {
        debug_assert!(
            !self.old_manifests.contains(&self.manifest_number),
            "SET-3: the manifest that CURRENT names stays"
        );
        let mut old = std::mem::take(&mut self.old_manifests);
        old.retain(|&number| self.remove_manifest(number).is_err());
        self.old_manifests = old;
    }

    fn remove_manifest(&self, number: FileNumber) -> Result<()> {
        let path = manifest_path(&self.dir, number);
        match self.env.kind(&path)? {
            PathKind::Missing => Ok(()),
            _ => self.env.remove_file(&path),
        }
    }

    /// Edits that lead from nothing to `versions`, one for each keyspace. `edit`: the change that led to them.
    fn snapshot(&self, versions: &Versions, edit: &VersionEdit) -> Vec<VersionEdit> {
        debug_assert!(
            versions
                .all_files()
                .all(|file| file.number < self.numbers.next()),
            "SET-4: every table's number was given out"
        );
        let parts = versions.iter().map(|(id, keyspace)| {
            let files = keyspace.tables.all_files();
            VersionEdit {
                keyspace: Some(id),
                name: (id != KeyspaceId::DEFAULT).then(|| keyspace.name.to_string()),
                settings: keyspace.settings.clone(),
                last_sequence: Some(keyspace.flushed),
                added: files
                    .map(|(level, file)| (level, file.info.clone()))
                    .collect(),
                ..VersionEdit::default()
            }
        });
        let mut parts: Vec<VersionEdit> = parts.collect();
        if let Some(first) = parts.first_mut() {
            first.format_version = Some(FORMAT_VERSION);
            first.comparator = Some(COMPARATOR.to_vec());
            first.features = self.features.clone();
            first.features.add(&edit.features);
            let next = Some(versions.next()).filter(|next| *next > KeyspaceId(1));
            first.next_keyspace = next;
            let last = self.last_sequence.max(last_number_of(edit));
            let flushed = versions.iter().map(|(_, keyspace)| keyspace.flushed);
            first.last_number = Some(last).filter(|last| flushed.max() < Some(*last));
            first.database = (self.database != 0).then_some(self.database);
            first.log_number = Some(edit.log_number.unwrap_or(self.log_number));
            first.synced_log = Some(edit.synced_log.unwrap_or(self.synced_log));
            first.next_file_number = Some(self.numbers.next());
        }
        parts
    }

    /// Reads CURRENT and the manifest again and compares them with memory; returns the length of the manifest.
    pub(crate) fn check_disk(&self) -> Result<u64> {
        self.check_open()?;
        let (number, file_id) = read_current(&*self.env, &self.dir)?;
        let mut reader = ManifestReader::open(&*self.env, &self.dir, number, file_id, false)?;
        reader.check_unused()?;
        let read = replay(&mut reader, &ObsoleteFiles::new(|| {}))?;
        let bytes = reader.length();
        if self.writer.is_none() && !self.is_read_only {
            // An edit failed. Until the next one, the disk may rightly differ from memory (SET-1).
            return Ok(bytes);
        }
        let nothing = VersionEdit::default();
        let parts = |versions: &Versions| -> Vec<_> {
            let all = self.snapshot(versions, &nothing).into_iter();
            all.map(|part| {
                let tables = (part.last_sequence, part.added);
                (part.keyspace, part.name, part.settings, tables)
            })
            .collect()
        };
        let is_same = number == self.manifest_number
            && read.log_number == self.log_number
            && (read.database == self.database || read.database == 0)
            && read.features == self.features
            && read.last_sequence == self.last_sequence
            && read.versions.next() == self.current.next()
            && parts(&read.versions) == parts(&self.current);
        if !is_same {
            return Err(reader.corruption("its contents are not what was written"));
        }
        Ok(bytes)
    }

    /// Releases the current version of the default keyspace and the manifest; no edit may follow.
    pub(crate) fn let_go(&mut self) -> Arc<Version> {
        debug_assert!(!self.is_closed, "SET-2: the manifest is released once");
        self.is_closed = true;
        self.writer = None;
        let empty = Keyspaces::of_default(Arc::new(Version::empty()));
        let released = std::mem::replace(&mut self.current, empty);
        version_of(&released, KeyspaceId::DEFAULT)
    }

    fn check_open(&self) -> Result<()> {
        match self.is_closed {
            true => Err(Error::closed("the database")),
            false => Ok(()),
        }
    }

    /// What a keyspace is set to; nothing if there is no such keyspace, or the versions were released.
    pub(crate) fn settings(&self, keyspace: KeyspaceId) -> Settings {
        let found = self.current.get(keyspace);
        found.map_or_else(Settings::default, |found| found.settings.clone())
    }

    /// The current version of a keyspace; an empty one if there is no such keyspace, or the versions were released.
    pub(crate) fn current(&self, keyspace: KeyspaceId) -> Arc<Version> {
        version_of(&self.current, keyspace)
    }

    /// Whether a keyspace has the table `number`.
    fn holds(&self, number: FileNumber) -> bool {
        self.current.all_files().any(|file| file.number == number)
    }

    /// Gives out file numbers without the set's lock.
    pub(crate) fn numbers(&self) -> Arc<FileNumbers> {
        self.numbers.clone()
    }

    /// Records durably that `log` has a synced record. So its absence is later recognised as damage, and not taken for
    /// the result of a crash.
    pub(crate) fn note_synced_log(&mut self, log: &DurableLog) -> Result<()> {
        let number = log.number();
        if number <= self.log_number.max(self.synced_log) {
            return Ok(());
        }
        let synced_log = Some(number);
        let edit = VersionEdit {
            synced_log,
            ..VersionEdit::default()
        };
        self.log_and_apply(edit, Sum::default())?;
        debug_assert!(self.synced_log == number, "SYNC-2: the log is recorded");
        Ok(())
    }

    /// The keyspaces of the database.
    #[cfg(test)]
    pub(super) fn keyspaces(&self) -> &Versions {
        &self.current
    }

    /// Up to which number the writes to each keyspace are in tables.
    pub(crate) fn flushed(&self) -> Flushed {
        Flushed::of(&self.current)
    }

    /// The features of the database.
    pub(crate) fn features(&self) -> &Features {
        &self.features
    }

    /// Whether a manifest of this process durably names `features` (FEATURE-1, SET-6).
    pub(crate) fn names_durably(&self, features: &Features) -> bool {
        !self.is_inherited && self.features.include(features)
    }

    /// A log with a synced record, or 0. It exists unless [`VersionSet::log_number`] is larger.
    pub(crate) fn synced_log(&self) -> FileNumber {
        self.synced_log
    }

    /// Logs with a smaller number are not needed.
    pub(crate) fn log_number(&self) -> FileNumber {
        self.log_number
    }

    /// At least the largest sequence number in any table, also of the dropped keyspaces.
    pub(crate) fn last_sequence(&self) -> SequenceNumber {
        self.last_sequence
    }

    /// The manifest that CURRENT names, for a checkpoint to copy.
    pub(crate) fn manifest_number(&self) -> FileNumber {
        self.manifest_number
    }

    /// The numbers of the tables of all current versions.
    pub(crate) fn live_files(&self) -> HashSet<FileNumber> {
        self.current.all_files().map(|file| file.number).collect()
    }
}

fn version_of(versions: &Versions, keyspace: KeyspaceId) -> Arc<Version> {
    let found = versions.get(keyspace);
    found.map_or_else(
        || Arc::new(Version::empty()),
        |found| Arc::clone(&found.tables),
    )
}

/// The largest number that an edit says is in tables, or was that of a dropped keyspace.
fn last_number_of(edit: &VersionEdit) -> SequenceNumber {
    let numbers = edit.parts().filter_map(|part| part.last_sequence);
    numbers.chain(edit.last_number).max().unwrap_or_default()
}

/// Refuses an `edit` from `before` to `after` that changes the tables' sum by anything but `gained` (SET-7).
fn check_balance(
    before: &Versions,
    after: &Versions,
    edit: &VersionEdit,
    gained: Sum,
) -> Result<()> {
    let (mut due, was_known) = before.content(edit);
    let (after, is_known) = after.content(edit);
    due += gained;
    // For a table of format version 1 only counts are known.
    let is_known = was_known && is_known;
    let counts = |sum: Sum| (sum.puts, sum.tombstones, sum.range_deletes);
    if counts(due) == counts(after) && (!is_known || due.terms == after.terms) {
        return Ok(());
    }
    Err(Error::unaccounted(format!(
        "an edit of the manifest leads to tables with {after}, expected {due}"
    )))
}

/// The sum that `edit` adds to the tables, minus that of the tables of `version` that it removes.
#[cfg(test)]
pub(crate) fn gain_of(edit: &VersionEdit, version: &Version) -> Sum {
    let mut gained = Sum::default();
    for (_, table) in &edit.added {
        gained += table.content().unwrap_or_default();
    }
    for (level, number) in &edit.removed {
        let files = version.files(*level).iter();
        let found = files.filter(|file| file.number == *number);
        gained = gained - found.filter_map(|file| file.content()).sum();
    }
    gained
}

/// Adds the features that `tables` need (FEATURE-1).
fn name_features_of(tables: &[(usize, TableInfo)], features: &mut Features) {
    let has_ranges = |(_, table): &(usize, TableInfo)| !table.range_deletes.is_empty();
    let needs = Needs::RANGE_DELETES.only_if(tables.iter().any(has_ranges));
    features.add(&Features::of(needs));
}

/// A random id for a new database.
fn new_database(env: &dyn Env) -> Result<u32> {
    Ok((env.random()? as u32).max(1))
}

/// What the edits of a manifest lead to.
struct ReplayedManifest {
    versions: Versions,
    database: u32,
    features: Features,
    log_number: FileNumber,
    synced_log: FileNumber,
    last_sequence: SequenceNumber,
    next_file_number: u64,
}

fn replay(reader: &mut ManifestReader, obsolete: &Arc<ObsoleteFiles>) -> Result<ReplayedManifest> {
    let empty = Version::empty();
    let begin = || Builder::new(&empty, obsolete.clone());
    let mut keyspaces = Keyspaces::of_default(begin());
    let (mut log_number, mut next_file_number, mut last_sequence) = (None, None, None);
    let (mut synced_log, mut database) = (None, None);
    let mut features = Features::default();
    let mut is_first = true;
    while let Some(edit) = reader.next_edit()? {
        let is_whole = edit.format_version.is_some()
            && edit.comparator.is_some()
            && edit.keyspace == Some(KeyspaceId::DEFAULT)
            && edit.log_number.is_some()
            && edit.next_file_number.is_some()
            && edit.last_sequence.is_some();
        if std::mem::take(&mut is_first) && !is_whole {
            return Err(reader.corruption("the first record lacks a field"));
        }
        keyspaces
            .apply(&edit, begin)
            .map_err(|error| reader.corruption(error.message()))?;
        log_number = log_number.max(edit.log_number);
        synced_log = synced_log.max(edit.synced_log);
        database = database.or(edit.database);
        features.add(&edit.features);
        if edit.concerns_other_keyspaces() && !features.have_keyspaces() {
            // FEATURE-1.
            return Err(reader.corruption("it has a keyspace without the feature"));
        }
        next_file_number = next_file_number.max(edit.next_file_number);
        last_sequence = last_sequence.max(Some(last_number_of(&edit)));
    }
    let (Some(log_number), Some(next_file_number), Some(last_sequence)) =
        (log_number, next_file_number, last_sequence)
    else {
        return Err(reader.corruption("it has no record"));
    };
    let versions = keyspaces
        .finish()
        .map_err(|error| reader.corruption(error.message()))?;
    let mut numbers = HashSet::new();
    for file in versions.all_files() {
        if file.number >= next_file_number {
            let what = format!(
                "table {} has a number not yet given out (next is {next_file_number})",
                file.number
            );
            return Err(reader.corruption(what));
        }
        if !numbers.insert(file.number) {
            let what = format!("table {} is in two keyspaces", file.number);
            return Err(reader.corruption(what));
        }
    }
    Ok(ReplayedManifest {
        versions,
        database: database.unwrap_or_default(),
        features,
        log_number,
        synced_log: synced_log.unwrap_or_default(),
        last_sequence,
        next_file_number: next_file_number.0,
    })
}

/// Checks that every table exists and has the length with which it was written (SET-5).
fn check_tables(env: &dyn Env, dir: &Path, versions: &Versions) -> Result<()> {
    for file in versions.all_files() {
        let path = table_path(dir, file.number);
        let size = file.size;
        match env.kind(&path)? {
            PathKind::File(found) if found == size => {}
            PathKind::File(found) => {
                let what = format!("the table has {found} bytes, the manifest says {size}");
                return Err(Error::corruption(&path, found.min(size), what));
            }
            _ => {
                let what = "the manifest names this table, but it is missing";
                return Err(Error::corruption(&path, 0, what));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
