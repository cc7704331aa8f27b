//! Verification finds damage, names the place, and lets others work meanwhile.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use aidb::{DB, ErrorKind};
use tempfile::TempDir;

use crate::{get, small_db, small_options};

fn key(number: u32) -> Vec<u8> {
    format!("key {number:06}").into_bytes()
}

fn value(number: u32) -> Vec<u8> {
    format!("{number}")
        .repeat(1 + number as usize % 30)
        .into_bytes()
}

/// A database with tables in several levels and records in its log, without a due compaction: the damage that a test
/// makes stays until verification reads it.
fn filled() -> (TempDir, DB) {
    let (dir, db) = small_db();
    for number in 0..4000 {
        db.put(&key(number * 7919 % 4000), &value(number)).unwrap();
    }
    db.compact_range(None, None).unwrap();
    for number in 0..900 {
        db.put(&key(number), &value(number + 1)).unwrap();
    }
    db.close().unwrap();
    let calm = small_options()
        .level0_compaction_trigger(64)
        .level_base_size(1 << 30);
    let db = DB::open(db.path(), calm).unwrap();
    for number in 0..50 {
        db.delete(&key(number)).unwrap();
    }
    (dir, db)
}

/// The files with this extension, by size, largest last.
pub(crate) fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort_by_key(|path| std::fs::metadata(path).unwrap().len());
    paths
}

/// Flips one bit, while the file may be open.
pub(crate) fn flip(path: &Path, offset: u64) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 4], offset).unwrap();
}

#[test]
fn an_undamaged_database_is_ok_and_every_byte_was_looked_at() {
    let (_dir, db) = filled();
    let mut steps = Vec::new();
    let report = db
        .verify_with(&mut |progress| {
            steps.push(progress);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(report.is_ok(), "{report:?}");
    assert_eq!(report.damage, []);
    let stats = db.stats().unwrap();
    let sum = |part: fn(&aidb::LevelStats) -> u64| stats.levels.iter().map(part).sum::<u64>();
    assert_eq!(report.tables, sum(|level| level.tables));
    assert_eq!(report.entries, sum(|level| level.entries));
    assert_eq!((report.logs, report.records), (1, 50));
    assert!(report.bytes > sum(|level| level.bytes));
    assert!(steps.is_sorted_by_key(|step| step.bytes_done));
    let last = steps.last().unwrap();
    assert_eq!(
        (last.bytes_done, last.bytes_total),
        (report.bytes, report.bytes)
    );
    assert!(report.to_json().starts_with("{\"is_ok\":true,"));
}

#[test]
fn values_of_every_size_old_versions_and_a_warm_cache_are_read_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let db = DB::open(
        dir.path(),
        small_options().compression(aidb::Compression::None),
    )
    .unwrap();
    let sizes = [
        0,
        1,
        511,
        513,
        4096,
        32 << 10,
        (32 << 10) + 1,
        65_535,
        65_536,
        70_000,
        300_000,
    ];
    for number in 0..300u32 {
        let size = sizes[number as usize % sizes.len()];
        db.put(&key(number), &vec![number as u8; size]).unwrap();
    }
    db.compact_range(None, None).unwrap();
    let old = db.snapshot().unwrap();
    for number in (0..300).step_by(3) {
        match number % 2 {
            0 => db.delete(&key(number)).unwrap(),
            _ => db.put(&key(number), b"newer").unwrap(),
        };
    }
    // Twice: the second walk finds the blocks in the cache, and converts them to the form for many reads.
    for _ in 0..3 {
        assert_eq!(crate::all(&db).len(), 250);
        for number in 0..300 {
            get(&db, key(number));
        }
    }
    db.put(b"in the memtable", b"1").unwrap();
    let report = db.verify_with(&mut |progress| {
        assert!(progress.bytes_done <= progress.bytes_total, "{progress:?}");
        ControlFlow::Continue(())
    });
    let report = report.unwrap();
    assert!(report.is_ok(), "{report:?}");
    drop(old);
}

/// VERIFY-1.
#[test]
fn damage_in_tables_is_reported_by_file_and_offset_although_the_cache_is_warm() {
    let (_dir, db) = filled();
    // After the second walk every block is in the cache, and stays readable.
    let before = crate::all(&db);
    assert!(crate::all(&db) == before);
    let tables = files(db.path(), "sst");
    let (small, large) = (&tables[0], &tables[tables.len() - 1]);
    let length = std::fs::metadata(large).unwrap().len();
    flip(small, 30);
    flip(large, 100);
    flip(large, length / 2);
    let report = db.verify().unwrap();
    assert!(!report.is_ok() && report.is_complete);
    assert_eq!(report.damaged_places, 3, "{report:?}");
    let mut places: Vec<_> = report
        .damage
        .iter()
        .map(|damage| (damage.file.clone(), damage.offset))
        .collect();
    places.sort();
    let canonical = |path: &PathBuf| path.canonicalize().unwrap();
    assert!(places.contains(&(canonical(small), 24)), "{places:?}");
    assert!(places.contains(&(canonical(large), 24)), "{places:?}");
    let middle = places
        .iter()
        .find(|(path, offset)| *path == canonical(large) && *offset > 24)
        .unwrap();
    assert!(
        middle.1 <= length / 2 && length / 2 < middle.1 + 1024,
        "{places:?}"
    );
    assert!(
        report
            .damage
            .iter()
            .all(|damage| damage.message.contains("checksum"))
    );
    assert!(crate::all(&db) == before);
    // After the bit is flipped back, everything is right again.
    flip(small, 30);
    flip(large, 100);
    flip(large, length / 2);
    assert!(db.verify().unwrap().is_ok());
}

#[test]
fn every_part_of_a_table_is_looked_at() {
    let (_dir, db) = filled();
    let tables = files(db.path(), "sst");
    let table = &tables[tables.len() / 2];
    let length = std::fs::metadata(table).unwrap().len();
    // Header, data, filter, index, properties, footer.
    for offset in (0..length).step_by(97).chain([length - 1, length - 64]) {
        flip(table, offset);
        let report = db.verify().unwrap();
        assert_eq!(report.damaged_places, 1, "byte {offset}: {report:?}");
        let damage = &report.damage[0];
        assert_eq!(damage.file, table.canonicalize().unwrap(), "byte {offset}");
        assert!(damage.offset <= offset, "byte {offset}: {damage:?}");
        flip(table, offset);
    }
    std::fs::rename(table, table.with_extension("away")).unwrap();
    let report = db.verify().unwrap();
    assert_eq!(
        report.damage[0].file,
        db.path().join(table.file_name().unwrap())
    );
    std::fs::copy(&tables[0], table).unwrap();
    assert_eq!(db.verify().unwrap().damaged_places, 1);
    std::fs::rename(table.with_extension("away"), table).unwrap();
    assert!(db.verify().unwrap().is_ok());
}

#[test]
fn damage_in_the_log_and_the_manifest_is_found_while_they_are_open() {
    let (_dir, db) = filled();
    // The engine may just be removing the log before it.
    let log = &files(db.path(), "log").into_iter().max().unwrap();
    // In the third record: each takes a header of 13 bytes and 12 of payload after the file's 64.
    let third = 64 + 2 * 25;
    flip(log, third + 20);
    let report = db.verify().unwrap();
    assert_eq!(report.damaged_places, 1, "{report:?}");
    assert_eq!(report.damage[0].offset, third, "{report:?}");
    assert_eq!(
        report.records, 49,
        "verification looked at the part after the damage"
    );
    flip(log, third + 20);
    flip(log, 3);
    assert_eq!(db.verify().unwrap().damage[0].offset, 0);
    flip(log, 3);

    let mut entries = std::fs::read_dir(db.path()).unwrap().map(Result::unwrap);
    let manifest = entries
        .find(|entry| entry.file_name().to_string_lossy().starts_with("MANIFEST-"))
        .unwrap()
        .path();
    for offset in [0, 3 * 4096 + 3, 3 * 4096 + 300] {
        flip(&manifest, offset);
        let report = db.verify().unwrap();
        assert_eq!(report.damage[0].file, manifest, "{report:?}");
        flip(&manifest, offset);
    }
    flip(&db.path().join("CURRENT"), 7);
    assert_eq!(
        db.verify().unwrap().damage[0].file,
        db.path().join("CURRENT")
    );
    flip(&db.path().join("CURRENT"), 7);
    assert!(db.verify().unwrap().is_ok());
}

/// VERIFY-2, VERIFY-4.
#[test]
fn it_is_right_while_others_write_flush_and_compact() {
    let (_dir, db) = filled();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let (db, stop) = (&db, &stop);
            scope.spawn(move || {
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    db.put(&key(number * 31 % 3000 + writer), &value(number))
                        .unwrap();
                }
            });
        }
        for round in 0..25 {
            let report = db.verify().unwrap();
            assert!(report.is_ok(), "round {round}: {report:?}");
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_log_that_is_cut_short_while_a_flush_removes_it_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let db = DB::open(dir.path(), aidb::Options::new()).unwrap();
    for number in 0..8 {
        db.put(&key(number), &[number as u8; 1 << 20]).unwrap();
    }
    let log = files(dir.path(), "log").pop().unwrap();
    let read = std::fs::File::open(&log).unwrap();
    let mut calls = 0;
    let report = db.verify_with(&mut |_| {
        calls += 1;
        if calls < 3 {
            // The open has not read the log, or nothing of it.
            return ControlFlow::Continue(());
        }
        db.flush().unwrap();
        // A flush returns before the engine removes the obsolete log.
        while log.exists() || read.metadata().unwrap().len() > 2 << 20 {
            std::thread::yield_now();
        }
        ControlFlow::Continue(())
    });
    let report = report.unwrap();
    assert!(report.is_ok(), "{report:?}");
    assert!((1..8).contains(&report.records), "{report:?}");
}

#[test]
fn a_read_only_database_and_a_fresh_one_can_be_verified() {
    let (dir, db) = filled();
    let path = db.path().to_path_buf();
    drop(db);
    let db = DB::open(&path, small_options().read_only(true)).unwrap();
    let report = db.verify().unwrap();
    assert!(report.is_ok(), "{report:?}");
    assert_eq!((report.logs, report.records), (1, 50));
    let fresh = DB::open(dir.path().join("fresh"), small_options()).unwrap();
    assert!(fresh.verify().unwrap().is_ok());
    assert_eq!(get(&fresh, b"x"), None);
}

#[test]
fn progress_can_end_it_and_so_can_close() {
    let (_dir, db) = filled();
    let report = db.verify_with(&mut |_| ControlFlow::Break(())).unwrap();
    assert!(!report.is_complete && !report.is_ok());
    assert_eq!(report.damaged_places, 0);
    let closing = db.clone();
    let error = db
        .verify_with(&mut |_| {
            closing.close().unwrap();
            ControlFlow::Continue(())
        })
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert_eq!(db.verify().unwrap_err().kind(), ErrorKind::Closed);
}
