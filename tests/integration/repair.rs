//! Repair: the new database has all readable parts of a damaged one, the report lists the rest, and the damaged one
//! stays as it was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aidb::{DB, ErrorKind, Options, RepairReport};
use tempfile::TempDir;

use crate::verify::{files, flip};
use crate::{all, small_options};

type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

fn key(number: u32) -> Vec<u8> {
    format!("key {number:06}").into_bytes()
}

fn options() -> Options {
    small_options().background_threads(1)
}

/// The contents of a database, with the number of the write that made each entry.
struct Example {
    dir: TempDir,
    entries: Entries,
    /// The sequence number of each key's newest write, tombstones too.
    written: BTreeMap<Vec<u8>, u64>,
}

impl Example {
    /// Tables in several levels, two generations of values, tombstones, and records in the log.
    fn new(count: u32) -> Example {
        let dir = tempfile::tempdir().unwrap();
        let mut example = Example {
            dir,
            entries: Entries::new(),
            written: BTreeMap::new(),
        };
        let db = DB::open(example.path(), options()).unwrap();
        let mut sequence = 0;
        for generation in 0..3u32 {
            for number in (0..count).filter(|number| number % (generation + 1) == 0) {
                sequence += 1;
                let key = key(number * 7919 % count);
                example.written.insert(key.clone(), sequence);
                if (number + generation) % 5 == 4 {
                    db.delete(&key).unwrap();
                    example.entries.remove(&key);
                } else {
                    let value = format!("{generation}.{number}.").repeat(1 + number as usize % 9);
                    db.put(&key, value.as_bytes()).unwrap();
                    example.entries.insert(key, value.into_bytes());
                }
            }
            match generation {
                0 => db.compact_range(None, None).unwrap(),
                1 => db.flush().unwrap(),
                _ => {}
            }
        }
        drop(db);
        example
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("db")
    }

    fn repair(&self) -> (RepairReport, DB) {
        let into = self.dir.path().join("repaired");
        let _ = std::fs::remove_dir_all(&into);
        let before = content(&self.path());
        let report = DB::repair(self.path(), &into, &options()).unwrap();
        assert!(
            content(&self.path()) == before,
            "REPAIR-1: the damaged one stays as it was"
        );
        let db = DB::open(into, options().create_if_missing(false)).unwrap();
        let verified = db.verify().unwrap();
        assert!(verified.is_ok(), "{verified:?}");
        (report, db)
    }

    /// Repairs, and checks that nothing is missing.
    fn repair_all(&self, about: &str) -> RepairReport {
        let (report, db) = self.repair();
        let found: Entries = all(&db).into_iter().collect();
        assert!(found == self.entries, "{about}: {report:?}");
        assert_eq!(report.entries_written, self.entries.len() as u64);
        // The new database continues the old numbers.
        db.put(b"later", b"1").unwrap();
        assert!(db.stats().unwrap().sequence > *self.written.values().max().unwrap());
        report
    }

    /// Repairs, and checks that the report covers every difference. Returns how many keys differ.
    fn repair_some(&self, about: &str) -> usize {
        let (report, db) = self.repair();
        let found: Entries = all(&db).into_iter().collect();
        let mut wrong = 0;
        for (key, written) in &self.written {
            if found.get(key) == self.entries.get(key) {
                continue;
            }
            wrong += 1;
            let covered = report.lost.iter().any(|lost| {
                lost.smallest_key
                    .as_ref()
                    .is_none_or(|smallest| smallest <= key)
                    && lost
                        .largest_key
                        .as_ref()
                        .is_none_or(|largest| key <= largest)
                    && lost.first_sequence.is_none_or(|first| first.0 <= *written)
                    && lost.last_sequence.is_none_or(|last| *written <= last.0)
            });
            assert!(
                covered,
                "{about}: {} is not in {report:?}",
                key.escape_ascii()
            );
        }
        assert!(found.keys().all(|key| self.written.contains_key(key)));
        wrong
    }
}

/// Every file and its bytes.
fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = std::fs::read_dir(dir).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect()
}

fn manifest(example: &Example) -> PathBuf {
    example.path().join("MANIFEST-000001")
}

fn overwrite(path: &Path, offset: u64, bytes: &[u8]) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(bytes, offset).unwrap();
}

#[test]
fn an_undamaged_database_comes_out_as_it_went_in() {
    let example = Example::new(3000);
    let report = example.repair_all("nothing");
    assert!(report.is_ok(), "{report:?}");
    assert!(report.tables > 3 && report.log_records > 0, "{report:?}");
}

#[test]
fn nothing_is_lost_with_current_and_the_manifest() {
    let example = Example::new(3000);
    std::fs::remove_file(example.path().join("CURRENT")).unwrap();
    let report = example.repair_all("CURRENT removed");
    assert!(!report.is_ok());
    std::fs::remove_file(manifest(&example)).unwrap();
    example.repair_all("both removed");

    let example = Example::new(3000);
    std::fs::remove_file(manifest(&example)).unwrap();
    example.repair_all("manifest removed");
}

#[test]
fn nothing_is_lost_by_any_bit_of_current_or_the_manifest() {
    let example = Example::new(400);
    for path in [example.path().join("CURRENT"), manifest(&example)] {
        let length = std::fs::metadata(&path).unwrap().len();
        let stride = (length / 60).max(1);
        for offset in (0..length).step_by(stride as usize) {
            flip(&path, offset);
            example.repair_all(&format!("{} at {offset}", path.display()));
            flip(&path, offset);
        }
    }
    for length in [0, 20, 4096 * 2, 4096 * 3 + 50] {
        let whole = std::fs::read(manifest(&example)).unwrap();
        std::fs::write(manifest(&example), &whole[..length]).unwrap();
        example.repair_all(&format!("cut to {length}"));
        std::fs::write(manifest(&example), &whole).unwrap();
    }
}

#[test]
fn a_flipped_bit_in_a_table_or_log_costs_what_the_report_says() {
    let example = Example::new(900);
    let mut paths = files(&example.path(), "sst");
    paths.extend(files(&example.path(), "log"));
    let (mut whole, mut parts) = (0, 0);
    for path in paths {
        let length = std::fs::metadata(&path).unwrap().len().min(40_000);
        for offset in (0..length).step_by(997).chain([3, 20, 60]) {
            flip(&path, offset);
            let about = format!("{} at {offset}", path.display());
            let wrong = example.repair_some(&about);
            // A block has about 512 bytes, a record one write.
            assert!(wrong <= 60, "{about}: {wrong} keys");
            if wrong == 0 {
                whole += 1
            } else {
                parts += 1
            }
            flip(&path, offset);
        }
    }
    assert!(whole > 5 && parts > 10, "{whole} {parts}");
    example.repair_all("all undone");
}

#[test]
fn headers_footers_and_indexes_can_be_done_without() {
    for with_manifest in [true, false] {
        let example = Example::new(1200);
        if !with_manifest {
            std::fs::remove_file(manifest(&example)).unwrap();
        }
        for table in files(&example.path(), "sst") {
            let length = std::fs::metadata(&table).unwrap().len();
            let content = std::fs::read(&table).unwrap();
            overwrite(&table, 0, &[0; 24]);
            example.repair_all("header of a table zeroed");
            std::fs::write(&table, &content).unwrap();
            overwrite(&table, length - 64, &[0; 64]);
            example.repair_all("footer zeroed");
            std::fs::write(&table, [&content[..], &[7; 5000]].concat()).unwrap();
            example.repair_all("garbage after the table");
            std::fs::write(&table, &content).unwrap();
        }
        for log in files(&example.path(), "log") {
            let content = std::fs::read(&log).unwrap();
            overwrite(&log, 0, &[0; 64]);
            example.repair_all("header of a log zeroed");
            std::fs::write(&log, &content).unwrap();
        }
    }
}

#[test]
fn cut_removed_and_swapped_files_cost_what_the_report_says() {
    let example = Example::new(1200);
    let tables = files(&example.path(), "sst");
    for table in &tables {
        let whole = std::fs::read(table).unwrap();
        let mut costs = Vec::new();
        for part in 0..5 {
            std::fs::write(table, &whole[..whole.len() * part / 5]).unwrap();
            costs.push(example.repair_some(&format!("{} cut", table.display())));
        }
        std::fs::remove_file(table).unwrap();
        costs.push(example.repair_some(&format!("{} removed", table.display())));
        std::fs::write(table, &whole).unwrap();
        assert!(
            costs[4] <= costs[0],
            "{costs:?}: the part before the cut is kept"
        );
    }
    let logs = files(&example.path(), "log");
    let newest = logs.iter().max().unwrap();
    for log in logs.clone() {
        let whole = std::fs::read(&log).unwrap();
        for part in 0..5 {
            std::fs::write(&log, &whole[..whole.len() * part / 5]).unwrap();
            example.repair_some(&format!("{} cut", log.display()));
        }
        std::fs::remove_file(&log).unwrap();
        if log != *newest || logs.len() == 1 {
            // The disk has no trace of the newest log while the one before it is needed too.
            example.repair_some(&format!("{} removed", log.display()));
        }
        std::fs::write(&log, &whole).unwrap();
    }
    let (first, second) = (&tables[0], &tables[1]);
    let other = example.path().join("other");
    std::fs::rename(first, &other).unwrap();
    std::fs::rename(second, first).unwrap();
    std::fs::rename(&other, second).unwrap();
    let report = example.repair_all("two tables swapped");
    assert!(report.is_ok(), "{report:?}");
    std::fs::copy(first, example.path().join("900000.sst")).unwrap();
    example.repair_all("a table twice");
}

/// REPAIR-10.
#[test]
fn what_is_behind_a_hole_in_a_log_is_salvaged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let db = DB::open(&path, Options::new()).unwrap();
    for number in 0..3000 {
        db.put(&key(number), &[number as u8; 50]).unwrap();
    }
    drop(db);
    let [log] = &files(&path, "log")[..] else {
        panic!("one log");
    };
    overwrite(log, 40_000, &[0; 4096]);
    overwrite(log, 90_000, &[0xff; 512]);
    let into = dir.path().join("repaired");
    let report = DB::repair(&path, &into, &Options::new()).unwrap();
    assert_eq!(report.lost_places, 2, "{report:?}");
    assert!(report.log_records > 2900, "{report:?}");
    let db = DB::open(into, Options::new()).unwrap();
    for number in 0..3000 {
        let lost = report.lost.iter().any(|lost| {
            let sequence = u64::from(number) + 1;
            lost.first_sequence.unwrap().0 <= sequence && sequence <= lost.last_sequence.unwrap().0
        });
        assert_eq!(db.contains_key(&key(number)).unwrap(), !lost, "{number}");
    }
}

/// REPAIR-3.
#[test]
fn leftovers_bring_no_deleted_key_back_while_the_manifest_is_whole() {
    let example = Example::new(1000);
    let db = DB::open(example.path(), options()).unwrap();
    db.flush().unwrap();
    // It does not compare file by file: a compaction may be removing some.
    let kept = example.dir.path().join("kept");
    db.checkpoint(&kept).unwrap();
    let old: Vec<PathBuf> = files(&kept, "sst");
    assert!(!old.is_empty());
    for key in example.written.keys() {
        db.delete(key).unwrap();
    }
    db.compact_range(None, None).unwrap();
    db.close().unwrap();
    for table in &old {
        let name = table.file_name().unwrap();
        std::fs::copy(table, example.path().join(name)).unwrap();
    }
    let (report, db) = example.repair();
    assert!(report.is_ok(), "{report:?}");
    assert_eq!(all(&db), []);
}

#[test]
fn an_open_database_foreign_folders_and_full_targets_are_refused() {
    let example = Example::new(100);
    let into = example.dir.path().join("into");
    let kind = |from: &Path, into: &Path| {
        let error = DB::repair(from, into, &options()).unwrap_err();
        error.kind()
    };
    let db = DB::open(example.path(), options()).unwrap();
    assert_eq!(kind(&example.path(), &into), ErrorKind::Locked);
    db.close().unwrap();
    let path = example.path();
    assert_eq!(kind(&path, &path), ErrorKind::InvalidArgument);
    assert_eq!(
        kind(&path, &path.join("inside")),
        ErrorKind::InvalidArgument
    );
    assert!(!path.join("inside").exists());
    assert_eq!(kind(example.dir.path(), &into), ErrorKind::InvalidArgument);
    assert_eq!(
        kind(&path.join("CURRENT"), &into),
        ErrorKind::InvalidArgument
    );
    assert_eq!(kind(&into, &path), ErrorKind::InvalidArgument);
    assert!(!into.exists());
    DB::repair(&path, &into, &options()).unwrap();
    assert_eq!(kind(&path, &into), ErrorKind::InvalidArgument);
}

/// The engine creates files beside the directory that the path leads to, and renames that directory: not a link, nor
/// anything inside.
#[test]
fn a_copy_is_made_wherever_the_path_leads_and_nothing_is_left_beside_it() {
    let example = Example::new(200);
    let around = tempfile::tempdir().unwrap();
    let at = |path: &str| around.path().join(path);
    std::os::unix::fs::symlink(example.path(), at("damaged")).unwrap();
    std::fs::create_dir_all(at("real/below")).unwrap();
    std::os::unix::fs::symlink(at("real"), at("link")).unwrap();
    std::os::unix::fs::symlink("below", at("real/empty")).unwrap();
    let names = |dir: &str| {
        let entries = std::fs::read_dir(at(dir)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    };
    let (around_names, real_names) = (names(""), names("real"));
    for into in [
        "new",
        "new/",
        "./new//",
        "link/new",
        "link/new/",
        "link/../new",
        "link/below/../new/.",
        "link/empty",
        "link/empty/",
        "real/empty/.",
    ] {
        // A path with this ending needs an existing directory.
        if into.ends_with("/new/.") {
            std::fs::create_dir(at("real/new")).unwrap();
        }
        let from = at(if into.ends_with('/') {
            "damaged/"
        } else {
            "damaged/."
        });
        let report = DB::repair(&from, at(into), &options()).unwrap();
        assert!(report.is_ok(), "{into}: {report:?}");
        let db = DB::open(at(into), options()).unwrap();
        assert!(
            all(&db) == example.entries.clone().into_iter().collect::<Vec<_>>(),
            "{into}"
        );
        let copy = at(into).parent().unwrap().join("copy/");
        db.checkpoint(&copy).unwrap();
        db.close().unwrap();
        for made in [copy, at(into)] {
            DB::destroy(&made, &options()).unwrap();
        }
        // A directory that existed before stays, if its path cannot be removed.
        let _ = std::fs::remove_dir(at("real/new"));
        let _ = std::fs::create_dir(at("real/below"));
        assert_eq!(names(""), around_names, "{into}");
        assert_eq!(names("real"), real_names, "{into}");
    }
    // A link to nothing leads to no directory.
    std::os::unix::fs::symlink("nothing", at("dangling")).unwrap();
    DB::repair(at("damaged"), at("dangling"), &options()).unwrap_err();
    // Repair refuses to write into the damaged database, whatever the path.
    let before = names("damaged");
    for into in ["damaged/below", "link/../damaged/below"] {
        let error = DB::repair(at("damaged"), at(into), &options()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{into}: {error}");
    }
    assert_eq!(names("damaged"), before);
    std::fs::remove_file(at("dangling")).unwrap();
    assert_eq!(names(""), around_names);
}
