//! Checkpoints: copies of the database in another directory, each a database of its own.
//!
//! Tables never change, so the copy's tables are hard links to the same files where the file system allows
//! that, and otherwise copies. Only the manifest and CURRENT are the copy's own.
//!
//! * CHECKPOINT-1  The copy has a prefix of the sequence of batches, with at least those acknowledged before
//!                 the call: all memtables are flushed first, oldest first, so the tables of any later version
//!                 have such a prefix.
//! * CHECKPOINT-2  The version is held until the last table is linked, so none of its tables is deleted before that.
//! * CHECKPOINT-3  CURRENT is written last, durably. Until then the copy's directory is marked as incomplete
//!                 (`life/destination.rs`), so the leftovers of a crash are not a database, and opening them fails
//!                 with an error that says so.

use std::path::Path;

use crate::db::life::{Database, Destination};
use crate::error::{Error, ErrorKind, Result};
use crate::filename::table_path;
use crate::key::SequenceNumber;
use crate::memory;
use crate::version::{TableInfo, VersionEdit, VersionSet};

/// Copies this many bytes at once, and then checks whether the database was closed.
const COPY_BYTES: usize = 1 << 20;

impl Database {
    /// Makes the copy in `path`; see `DB::checkpoint`.
    pub(in crate::db) fn checkpoint(&self, path: &Path) -> Result<()> {
        self.context.check_open()?;
        let target = Destination::prepare(self.context.shared_env(), path)?;
        let outcome = self.fill_checkpoint(&target.dir);
        target.finish(outcome.map_err(|error| self.context.closed_or(error)))?;
        self.context
            .note(format_args!("made a checkpoint in {}", path.display()));
        Ok(())
    }

    fn fill_checkpoint(&self, dir: &Path) -> Result<()> {
        if !self.context.options().read_only {
            // CHECKPOINT-1.
            self.commit.flush_all()?;
        }
        let durable = self.tree.durable();
        let (version, mut last_sequence) = (durable.version, durable.last_sequence);
        // After the load, because a closed database has an empty superversion.
        self.context.check_open()?;
        let mut tables: Vec<(usize, TableInfo)> = Vec::new();
        for (level, file) in version.all_files() {
            self.context.check_open()?;
            let from = table_path(self.context.dir(), file.number);
            let to = table_path(dir, file.number);
            self.link_or_copy(&from, &to, file.size)?;
            tables.push((level, file.info.clone()));
        }
        if self.context.options().read_only {
            // A read-only database cannot flush replayed writes, so they are still in memtables.
            let superversion = self.tree.load_full();
            self.context.check_open()?;
            for sealed in superversion.sealed() {
                let number = self.tree.new_number();
                debug_assert!(
                    !version.holds(number),
                    "SET-4: no table of the copy has the number"
                );
                let mut edit = VersionEdit::default();
                self.tree.write_table(dir, number, sealed, &mut edit)?;
                tables.append(&mut edit.added);
                last_sequence = SequenceNumber::max(last_sequence, sealed.last_sequence());
            }
        }
        // Syncs the directory before it makes CURRENT (CHECKPOINT-3).
        let (features, settings) = (durable.features, durable.settings);
        let env = self.context.env();
        VersionSet::create_from(env, dir, tables, last_sequence, features, settings)
    }

    /// Makes `to` a hard link to `from`, which has `size` bytes. Copies the file if it cannot be linked: `to` is on
    /// another file system, or the file has too many links.
    fn link_or_copy(&self, from: &Path, to: &Path, size: u64) -> Result<()> {
        match self.context.env().hard_link(from, to) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NoSpace => Err(error),
            Err(_) => self.copy(from, to, size),
        }
    }

    fn copy(&self, from: &Path, to: &Path, size: u64) -> Result<()> {
        let source = self.context.env().open_read(from)?;
        let target = self.context.env().create_new(to)?;
        let mut buffer = memory::zeros(COPY_BYTES.min(size as usize), "a file to copy")?;
        let mut offset = 0;
        while offset < size {
            self.context.check_open()?;
            let length = (size - offset).min(COPY_BYTES as u64) as usize;
            let read = source.read_at(offset, &mut buffer[..length])?;
            if read < length {
                let what = format!("the file ends here, but it should have {size} bytes");
                return Err(Error::corruption(from, offset + read as u64, what));
            }
            target.write_at(offset, &buffer[..length])?;
            target.start_writeback(offset, length as u64);
            offset += length as u64;
        }
        target.sync()
    }
}

#[cfg(test)]
mod tests {
    use crate::db::DB;
    use crate::env::{Call, Env, Fault, FaultEnv, MemEnv};
    use crate::error::ErrorKind;
    use crate::options::{Options, WriteOptions};
    use crate::sync::{Arc, Mutex};
    use std::path::Path;

    const COPY: &str = "/copies/one";

    fn options(env: &FaultEnv) -> Options {
        Options::new()
            .env(Arc::new(env.clone()))
            .manual_background(true)
            .write_buffer_size(4096)
    }

    /// A database with tables in two levels, a sealed memtable's worth in the log, and an overwritten key.
    fn example(env: &FaultEnv) -> DB {
        let db = DB::open("/db", options(env)).unwrap();
        for key in 0..60u8 {
            db.put(&[key], &[1; 40]).unwrap();
        }
        db.compact_range(None, None).unwrap();
        for key in 30..90u8 {
            db.put(&[key], &[2; 40]).unwrap();
        }
        let sync = WriteOptions { sync: true };
        db.delete_with(&[7], &sync).unwrap();
        db
    }

    fn entries(db: &DB) -> Vec<(Vec<u8>, Vec<u8>)> {
        db.iter().map(|entry| entry.unwrap()).collect()
    }

    #[test]
    fn a_failed_operation_leaves_a_whole_copy_or_nothing() {
        for nth in 0.. {
            let env = FaultEnv::new(Arc::new(MemEnv::new()), nth);
            let db = example(&env);
            let expected = entries(&db);
            env.inject(
                Fault::new(&Call::ALL, libc::EIO)
                    .on_path("/copies")
                    .after(nth),
            );
            let outcome = db.checkpoint(COPY);
            let injected = env.injected();
            env.clear();
            if outcome.is_err() {
                assert_eq!(injected, 1);
                let left = env.list(Path::new(COPY)).unwrap_or_default();
                assert!(left.is_empty(), "operation {nth} left {left:?}");
                db.checkpoint(COPY).unwrap();
            }
            let copy = DB::open(COPY, options(&env)).unwrap();
            assert!(entries(&copy) == expected, "operation {nth}");
            assert!(entries(&db) == expected, "operation {nth}");
            if injected == 0 {
                assert!(nth > 10, "only {nth} operations");
                return;
            }
        }
    }

    /// CHECKPOINT-3.
    #[test]
    fn a_power_cut_leaves_a_whole_copy_or_nothing_that_opens() {
        for links in [true, false] {
            power_cuts(links);
        }
    }

    fn power_cuts(links: bool) {
        let disk = MemEnv::new();
        let env = FaultEnv::new(Arc::new(disk.clone()), 0);
        if !links {
            env.inject(Fault::new(&[Call::Link], libc::EXDEV).always());
        }
        let db = example(&env);
        let expected = entries(&db);
        let cuts = Arc::new(Mutex::new(Vec::new()));
        let (sink, cut_disk) = (Arc::clone(&cuts), disk.clone());
        env.set_hook(Some(Arc::new(move |operation, _: &Path| {
            if Call::CHANGES.contains(&operation) {
                let mut cuts = sink.lock();
                for _ in 0..4 {
                    let seed = cuts.len() as u64;
                    cuts.push(cut_disk.power_cut(seed));
                }
            }
        })));
        db.checkpoint(COPY).unwrap();
        env.set_hook(None);
        let mut cuts = std::mem::take(&mut *cuts.lock());
        let unfinished = cuts.len();
        cuts.extend((0..4).map(|seed| disk.power_cut(seed)));
        for (index, cut) in cuts.into_iter().enumerate() {
            let left = cut.list(Path::new(COPY)).unwrap_or_default();
            let env = FaultEnv::new(Arc::new(cut), 0);
            match DB::open(COPY, options(&env)) {
                // An empty directory may become a new database. It is not a copy, and does not look like one.
                Ok(copy) if left.iter().all(|name| name == "LOCK") => {
                    assert!(index < unfinished && entries(&copy).is_empty());
                }
                Ok(copy) => assert!(entries(&copy) == expected, "cut {index}: {left:?}"),
                Err(error) => {
                    assert!(index < unfinished, "{error}");
                    assert_eq!(error.kind(), ErrorKind::Corruption, "cut {index}: {error}");
                    DB::destroy(COPY, &options(&env)).unwrap();
                }
            }
            // The database itself is as it was, whatever happened to the copy.
            let db = DB::open("/db", options(&env)).unwrap();
            assert!(entries(&db) == expected, "cut {index}");
        }
    }

    #[test]
    fn a_copy_in_a_directory_that_was_not_durable_is() {
        let disk = MemEnv::new();
        let env = FaultEnv::new(Arc::new(disk.clone()), 0);
        let db = example(&env);
        let expected = entries(&db);
        env.create_dir_all(Path::new("/copies")).unwrap();
        disk.leave_unsynced(Path::new(COPY)).unwrap();
        db.checkpoint(COPY).unwrap();
        for seed in 0..20 {
            let env = FaultEnv::new(Arc::new(disk.power_cut(seed)), 0);
            assert!(
                entries(&DB::open(COPY, options(&env).create_if_missing(false)).unwrap())
                    == expected
            );
        }
    }

    #[test]
    fn where_links_are_refused_tables_are_copied() {
        let env = FaultEnv::new(Arc::new(MemEnv::new()), 0);
        let db = example(&env);
        env.inject(Fault::new(&[Call::Link], libc::EXDEV).always());
        env.inject(Fault::new(&[Call::Sync], libc::EIO).on_path("/copies"));
        let error = db.checkpoint(COPY).unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::Io,
            "a copy is durable or does not exist"
        );
        db.checkpoint(COPY).unwrap();
        let expected = entries(&db);
        db.close().unwrap();
        DB::destroy("/db", &options(&env)).unwrap();
        let copy = DB::open(COPY, options(&env)).unwrap();
        assert!(entries(&copy) == expected);
    }

    #[test]
    fn a_read_only_database_gives_away_what_it_replayed() {
        let env = FaultEnv::new(Arc::new(MemEnv::new()), 0);
        let db = example(&env);
        let expected = entries(&db);
        drop(db);
        let db = DB::open("/db", options(&env).read_only(true)).unwrap();
        let names = env.list(Path::new("/db")).unwrap();
        db.checkpoint(COPY).unwrap();
        assert_eq!(env.list(Path::new("/db")).unwrap(), names);
        let copy = DB::open(COPY, options(&env)).unwrap();
        assert!(entries(&copy) == expected);
        copy.put(b"new", b"1").unwrap();
        assert_eq!(copy.get(b"new").unwrap().unwrap(), b"1");
    }

    #[test]
    fn a_directory_in_use_is_refused_and_left_alone() {
        let env = FaultEnv::new(Arc::new(MemEnv::new()), 0);
        let db = example(&env);
        env.create_dir_all(Path::new("/mine")).unwrap();
        env.create_new(Path::new("/mine/notes.txt")).unwrap();
        for path in ["/db", "/mine"] {
            let names = env.list(Path::new(path)).unwrap();
            let error = db.checkpoint(path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
            assert_eq!(env.list(Path::new(path)).unwrap(), names);
        }
        db.checkpoint(COPY).unwrap();
        let error = db.checkpoint(COPY).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        db.close().unwrap();
        let error = db.checkpoint("/other").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed);
    }
}
