//! Fills a small file system: `full-disk PART KIND DIR SEED`, where KIND is `ext4`, `inodes` or `tmpfs`.
//!
//! Every batch has a number, which decides its contents, and leaves a mark that stays. So the marks determine all
//! contents: those of all acknowledged batches must be there, those of failed batches may be.

use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

use aidb::{DB, ErrorKind, Options, WriteOptions};
use aidb_tests::history::{Content, Entry, apply, batch_of, contents, holds};
use aidb_tests::{Fill, Model, Random};

use crate::{mounts, say};

const DISK_BYTES: u64 = 64 << 20;
/// The size of another program's data on the disk, which it later removes: so many bytes, or so many files.
const BALLAST_BYTES: usize = 12 << 20;
const BALLAST_FILES: usize = 70;
/// Batches after which a disk still has plenty of space.
const ROOMY_BATCHES: u64 = 300;
/// The reserve of a disk with plenty of space, with the write buffers of this program.
const ROOMY_RESERVE_BYTES: u64 = 64 << 10;
/// Keys to delete on a disk that others have filled, before and after an open.
const DELETED_AT_ONCE: usize = 100;
/// While the disk is full, how many writes in a row may fail although they would fit.
const ATTEMPTS_ON_FULL_DISK: u64 = 20;
/// The largest value.
const MAX_BYTES: usize = 30_000;
/// Batches whose keys one clearing batch deletes.
const CLEARED_AT_ONCE: u64 = 100;

pub fn run(arguments: &[String]) {
    let [part, kind, dir, seed] = arguments else {
        panic!("full-disk PART KIND DIR SEED");
    };
    let mount = Path::new(dir).join("disk");
    fs::create_dir(&mount).unwrap();
    let is_root = mounts::alone();
    match kind.as_str() {
        "tmpfs" => mounts::tmpfs(&mount, DISK_BYTES),
        _ if !is_root => crate::not_run("only root may use loop devices"),
        // Full once there is no inode for one more file, although there is space.
        "inodes" => mounts::ext4(&mount, 4 * DISK_BYTES, &["-N", "160"]),
        _ => mounts::ext4(&mount, DISK_BYTES, &[]),
    }
    let mut disk = Disk::new(&mount, seed.parse().unwrap(), kind == "inodes");
    match part.as_str() {
        "keeps" => disk.keeps_everything(),
        "works" => disk.works_when_full(),
        "filled" => disk.keeps_when_others_fill_it(),
        _ => panic!("no part {part}"),
    }
}

struct Batch {
    /// The batches whose keys it deletes, if it is a batch that makes room.
    clears: Option<Range<u64>>,
    acknowledged: bool,
}

struct Disk {
    dir: PathBuf,
    ballast: PathBuf,
    seed: u64,
    /// Whether inodes run out instead of bytes.
    by_files: bool,
    options: Options,
    db: Option<DB>,
    batches: Vec<Batch>,
    /// The first batch whose keys have not been cleared.
    uncleared: u64,
    refused: u64,
    /// The error of the last failed write.
    refusal: String,
}

impl Disk {
    fn new(mount: &Path, seed: u64, by_files: bool) -> Disk {
        let random = &mut Random::new(seed);
        let options = Options::new()
            .write_buffer_size(*random.pick(&[256 << 10, 1 << 20]))
            // Few files, if files run out.
            .target_file_size(match by_files {
                true => 1 << 20,
                false => *random.pick(&[128 << 10, 512 << 10]),
            })
            .level_base_size(1 << 20)
            .block_cache_size(1 << 20);
        let mut disk = Disk {
            dir: mount.join("db"),
            ballast: mount.join("ballast"),
            seed,
            by_files,
            options,
            db: None,
            batches: Vec::new(),
            uncleared: 0,
            refused: 0,
            refusal: String::new(),
        };
        disk.open("first");
        disk.add_ballast();
        disk
    }

    fn db(&self) -> &DB {
        self.db.as_ref().expect("it is open between the steps")
    }

    fn open(&mut self, when: &str) {
        let db = DB::open(&self.dir, self.options.clone());
        self.db = Some(db.unwrap_or_else(|error| panic!("{when}: open answers {error}")));
    }

    fn add_ballast(&mut self) {
        fs::create_dir(&self.ballast).unwrap();
        let (files, bytes) = match self.by_files {
            true => (BALLAST_FILES, 0),
            false => (1, BALLAST_BYTES),
        };
        for name in 0..files {
            fs::write(self.ballast.join(name.to_string()), vec![1; bytes]).unwrap();
        }
    }

    /// Writes the next batch. Returns false if there was no space for it.
    fn write(&mut self, clears: Option<Range<u64>>) -> bool {
        let number = self.batches.len() as u64;
        let batch = batch_of(&make(self.seed, number, clears.as_ref())).unwrap();
        let sync = number.is_multiple_of(50);
        let acknowledged = match self
            .db()
            .write_with(&batch, &WriteOptions::new().sync(sync))
        {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
                self.refused += 1;
                self.refusal = error.to_string();
                false
            }
        };
        self.batches.push(Batch {
            clears,
            acknowledged,
        });
        acknowledged
    }

    /// Writes until there is no space, and then makes some more attempts.
    fn fill(&mut self) {
        while self.write(None) {
            assert!(self.batches.len() < 100_000, "the disk never gets full");
        }
        for _ in 0..ATTEMPTS_ON_FULL_DISK {
            self.write(None);
        }
    }

    /// Compares everything in the database with the right contents.
    fn compare(&self, when: &str) {
        let db = self.db();
        let mut expected = Model::new();
        for (number, batch) in (0u64..).zip(&self.batches) {
            let there = db.contains_key(&mark(number)).unwrap();
            assert!(
                there || !batch.acknowledged,
                "{when}: batch {number} of {} was acknowledged and is gone",
                self.batches.len()
            );
            if there {
                apply(
                    &mut expected,
                    &make(self.seed, number, batch.clears.as_ref()),
                );
            }
        }
        self.holds(&expected, when);
    }

    /// Deletes the keys of all batches. Returns false if there was no space for that.
    fn clear(&mut self) -> bool {
        let end = self.batches.len() as u64;
        while self.uncleared < end {
            let next = end.min(self.uncleared + CLEARED_AT_ONCE);
            if !self.write(Some(self.uncleared..next)) {
                return false;
            }
            self.uncleared = next;
        }
        true
    }

    /// Opens the database and writes to it. Without an inode for another log, another program removes its files first.
    fn open_on_the_full_disk(&mut self) {
        match DB::open(&self.dir, self.options.clone()) {
            Ok(db) => {
                self.db = Some(db);
                self.compare("opened on the full disk");
                for _ in 0..ATTEMPTS_ON_FULL_DISK {
                    self.write(None);
                }
                self.compare("written to after an open on the full disk");
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
                assert!(self.by_files, "open on the full disk: {error}");
                fs::remove_dir_all(&self.ballast).unwrap();
                self.open("with space again");
            }
        }
    }

    /// Ends the role, and prints facts that help to find the cause.
    fn fail(&self, what: &str, error: &aidb::Error) -> ! {
        say(&format!("{:?}", self.db().stats()));
        for entry in fs::read_dir(&self.dir).unwrap().map(Result::unwrap) {
            let bytes = entry.metadata().map_or(0, |metadata| metadata.len());
            say(&format!("{} {bytes}", entry.file_name().display()));
        }
        say(&fs::read_to_string(self.dir.join("LOG")).unwrap_or_default());
        panic!("{what}: {error}");
    }

    /// Another program fills the rest of the disk.
    fn take_the_rest(&self) {
        let file = fs::File::create(self.ballast.join("rest")).unwrap();
        for piece in [64 << 10, 4 << 10, 1] {
            while (&file).write_all(&vec![1; piece]).is_ok() {}
        }
    }

    /// Only the database makes room here, by deleting and compacting.
    fn works_when_full(&mut self) {
        self.fill();
        self.compare("on the full disk");
        let db = self.db.take().unwrap();
        if self.seed.is_multiple_of(2) {
            db.close().expect("it is closed on the full disk");
        }
        drop(db);
        self.take_the_rest();
        self.open("on the full disk");
        self.compare("opened on the full disk");

        let mut expected = contents(self.db()).unwrap();
        let random = &mut Random::new(self.seed);
        let mut deleted = keys_of(&expected);
        deleted.retain(|_| !random.one_in(4));
        self.delete(&deleted, &mut expected, "delete on the full disk");
        self.db().flush().expect("it flushes on the full disk");
        let compacted = self.db().compact_range(None, None);
        compacted.unwrap_or_else(|error| self.fail("compaction on the full disk", &error));
        self.put_new(&mut expected, "put after a compaction");
        for when in ["afterwards", "reopened"] {
            self.holds(&expected, when);
            self.db.take().unwrap().close().unwrap();
            self.open("afterwards");
        }
        assert!(self.refused > 0, "the disk was never full");
        say(&format!("refused for want of space: {}", self.refused));
    }

    fn delete(&self, keys: &[Vec<u8>], expected: &mut Model, when: &str) {
        for key in keys {
            let deleted = self.db().delete(key);
            deleted.unwrap_or_else(|error| self.fail(when, &error));
            expected.delete(key);
        }
    }

    /// Puts some entries that fit.
    fn put_new(&self, expected: &mut Model, when: &str) {
        for number in 0..100 {
            let (key, value) = (format!("new {number}").into_bytes(), vec![7; 10_000]);
            let put = self.db().put(&key, &value);
            put.unwrap_or_else(|error| self.fail(&format!("{when}, number {number}"), &error));
            expected.put(&key, &value);
        }
    }

    /// Deletes some of the expected keys: that works on a full disk too.
    fn delete_some(&self, expected: &mut Model) {
        let stride = (expected.len() / DELETED_AT_ONCE).max(1);
        let some: Vec<_> = keys_of(expected).into_iter().step_by(stride).collect();
        self.delete(&some, expected, "delete on a filled disk");
    }

    /// Compares everything in the database with the expected contents.
    fn holds(&self, expected: &Model, when: &str) {
        holds(self.db(), expected).unwrap_or_else(|what| panic!("{when}: {what}"));
    }

    /// Another program fills a disk with plenty of space, while the database is open and idle and has a small reserve.
    fn keeps_when_others_fill_it(&mut self) {
        for _ in 0..ROOMY_BATCHES {
            assert!(self.write(None), "there is space: {}", self.refusal);
        }
        let reserve = self.db().stats().unwrap().reserve_bytes;
        assert_eq!(reserve, ROOMY_RESERVE_BYTES, "the disk is roomy");
        self.take_the_rest();
        self.compare("on the filled disk");
        self.fill();
        self.compare("on the filled disk, after refused writes");

        let mut expected = contents(self.db()).unwrap();
        self.delete_some(&mut expected);
        self.holds(&expected, "after deletes on the filled disk");
        // The database is closed, killed, or open all the time.
        let way = self.seed % 3;
        if way < 2 {
            let db = self.db.take().unwrap();
            if way == 0 {
                // Entries that cannot be flushed stay in the logs, whatever close returns.
                let _ = db.close();
            }
            drop(db);
            let options = self.options.clone().read_only(true);
            self.db = Some(DB::open(&self.dir, options).expect("it opens to be read"));
            self.holds(&expected, "opened read-only on the filled disk");
            self.db = None;
            self.open("on the filled disk");
            self.holds(&expected, "opened on the filled disk");
            self.delete_some(&mut expected);
            self.holds(
                &expected,
                "after deletes that follow an open on the filled disk",
            );
        }
        // The same handle works again at once.
        fs::remove_dir_all(&self.ballast).unwrap();
        self.put_new(&mut expected, "put where there is space again");
        self.db().flush().unwrap();
        self.db().compact_range(None, None).unwrap();
        self.holds(&expected, "with space again");
        self.db.take().unwrap().close().unwrap();
        self.open("with space again");
        self.holds(&expected, "reopened with space again");
        say(&format!("refused for want of space: {}", self.refused));
    }

    fn keeps_everything(&mut self) {
        // Closed, killed, or open all the time, on the full disk. Inodes fill up more slowly than bytes.
        let rounds = [self.seed % 2, 2];
        for round in rounds.into_iter().take(if self.by_files { 1 } else { 2 }) {
            self.fill();
            self.compare("on the full disk");
            if round < 2 {
                let db = self.db.take().unwrap();
                if round == 0 {
                    // Entries that cannot be flushed stay in the logs: nothing is lost, whatever close returns.
                    let _ = db.close();
                }
                drop(db);
                let options = self.options.clone().read_only(true);
                self.db = Some(DB::open(&self.dir, options).expect("it opens to be read"));
                self.compare("opened read-only on the full disk");
                self.db = None;
                self.open_on_the_full_disk();
            }
            // Another program makes room: the same handle works again at once.
            let _ = fs::remove_dir_all(&self.ballast);
            assert!(
                self.write(None),
                "there is space, and a write answers {}",
                self.refusal
            );
            self.db().flush().unwrap();
            self.compare("with space again");
            self.db.take().unwrap().close().unwrap();
            self.open("with space again");
            self.compare("reopened with space again");
            assert!(self.clear(), "there is space, but a delete failed");
            self.db().compact_range(None, None).unwrap();
            self.compare("after deletes and a compaction");
            self.add_ballast();
        }
        assert!(self.refused > 0, "the disk was never full");
        say(&format!(
            "{} batches, refused for want of space: {}",
            self.batches.len(),
            self.refused
        ));
    }
}

/// The mark of batch `number`.
fn mark(number: u64) -> Vec<u8> {
    format!("mark {number:08}").into_bytes()
}

/// The keys of batch `number`.
fn keys(number: u64) -> impl Iterator<Item = Vec<u8>> {
    (0..1 + number % 3).map(move |index| format!("key {number:08} {index}").into_bytes())
}

fn keys_of(model: &Model) -> Vec<Vec<u8>> {
    model.iter().map(|(key, _)| key.to_vec()).collect()
}

/// Batch `number`.
fn make(seed: u64, number: u64, clears: Option<&Range<u64>>) -> Vec<Entry> {
    let empty = Content {
        length: 0,
        fill: Fill::Noise,
        tag: 0,
    };
    let mut entries: Vec<Entry> = vec![Entry::Put(mark(number), empty)];
    let gone = |number| keys(number).map(Entry::Delete);
    if let Some(clears) = clears {
        entries.extend(clears.clone().flat_map(gone));
        return entries;
    }
    let mut random = Random::new(seed ^ number.wrapping_mul(0x2545_f491_4f6c_dd1d));
    for key in keys(number) {
        let length = match random.below(8) {
            0 => MAX_BYTES,
            _ => 3_000,
        };
        let content = Content {
            length: random.index(length),
            tag: random.next() as u32,
            ..empty
        };
        entries.push(Entry::Put(key, content));
    }
    if number > 0 && random.one_in(4) {
        entries.extend(gone(random.below(number)));
    }
    entries
}
