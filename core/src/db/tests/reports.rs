//! Tests of an open database's reports: counters, properties, sizes, and the progress of a verification.

use std::ops::ControlFlow;

use super::*;
use crate::error::Error;

/// Two tables in level 0, one after the other: three keys from `a` on, and two from `m` on.
fn with_two_tables(env: &MemEnv) -> DB {
    let db = open(env);
    for key in [b"a", b"b", b"c"] {
        db.put(key, &[key[0]; 100]).unwrap();
    }
    db.flush().unwrap();
    db.put(b"m", &[b'm'; 100]).unwrap();
    db.delete(b"n").unwrap();
    db.flush().unwrap();
    db
}

#[test]
fn counters_count_what_was_written_and_flushed() {
    let env = MemEnv::new();
    let db = with_two_tables(&env);
    db.put_with(b"x", b"1", &WriteOptions::synced()).unwrap();
    let stats = db.stats().unwrap();
    assert_eq!((stats.operations_written, stats.batches_written), (6, 6));
    assert_eq!((stats.sequence, stats.flushes, stats.wal_syncs), (6, 2, 1));
    assert_eq!(stats.levels[0].tables, 2);
    assert_eq!(stats.levels[0].entries, 5);
    assert_eq!(stats.flush_bytes_written, stats.levels[0].bytes);
    // The logs before the current one count too.
    assert!(stats.wal_bytes > 4 * 100, "{}", stats.wal_bytes);
    assert_eq!(stats.stall_micros, 0);
    db.rooms().tree.add_stall_micros(7);
    assert_eq!(db.stats().unwrap().stall_micros, 7);
}

#[test]
fn stats_as_json_name_every_counter_and_level_and_the_tables_set_aside() {
    let env = MemEnv::new();
    let db = with_two_tables(&env);
    let live = {
        let superversion = db.rooms().tree.load_full();
        let mut files = superversion.version().all_files();
        files.next().unwrap().1.number
    };
    let gone = crate::key::FileNumber(999);
    for number in [live, gone] {
        let error = Error::internal("it did not add up");
        db.rooms().tree.state().set_aside().push((number, error));
    }
    let stats = db.stats().unwrap();
    let tables: Vec<_> = stats.set_aside.iter().map(|one| one.table).collect();
    assert_eq!(tables, [live], "a table that is gone is not listed");
    let json = stats.to_json();
    assert!(json.starts_with("{\"sequence\":5,\"memtable_bytes\":"));
    assert!(json.contains("\"flushes\":2,"), "{json}");
    let level = &stats.levels[0];
    let level0 = format!(
        "\"levels\":[{{\"tables\":2,\"bytes\":{},\"entries\":5}},{{\"tables\":0,\"bytes\":0,\"entries\":0}},",
        level.bytes
    );
    assert!(json.contains(&level0), "{json}");
    let set_aside = format!("\"set_aside\":[{{\"table\":{},\"error\":\"", live.0);
    assert!(json.contains(&set_aside), "{json}");
    assert!(json.ends_with("it did not add up\"}]}"), "{json}");
}

#[test]
fn properties_are_answered_by_their_names() {
    let env = MemEnv::new();
    let db = with_two_tables(&env);
    let property = |name: &str| db.property(name).unwrap();
    assert_eq!(property("aidb.num-files-at-level0").unwrap(), "2");
    assert_eq!(property("leveldb.num-files-at-level6").unwrap(), "0");
    assert_eq!(property("aidb.num-files-at-level7"), None);
    assert_eq!(property("num-files-at-level0"), None);
    assert_eq!(property("aidb.anything"), None);
    assert!(
        property("aidb.options")
            .unwrap()
            .contains("write_buffer_size")
    );
    let json = property("aidb.stats-json").unwrap();
    assert!(json.contains("\"operations_written\":5,"), "{json}");
    let text = property("aidb.stats").unwrap();
    assert!(text.contains("operations_written       5"), "{text}");
    let tables = property("aidb.sstables").unwrap();
    assert!(tables.contains("3 entries [a .. c]"), "{tables}");
    assert_eq!(property("aidb.num-snapshots").unwrap(), "0");
    let _snapshot = db.snapshot().unwrap();
    assert_eq!(property("aidb.num-snapshots").unwrap(), "1");
    // Five entries in tables, one of them a tombstone that may hide another; and one entry that is not flushed.
    assert_eq!(property("aidb.estimate-num-keys").unwrap(), "3");
    db.put(b"z", b"").unwrap();
    assert_eq!(property("aidb.estimate-num-keys").unwrap(), "4");
    assert_eq!(db.path(), Path::new("/db"));
}

#[test]
fn a_range_is_about_as_large_as_the_tables_and_parts_of_tables_in_it() {
    let env = MemEnv::new();
    let db = with_two_tables(&env);
    let size = |start: &[u8], end: &[u8]| db.approximate_size(Some(start), Some(end)).unwrap();
    let stats = db.stats().unwrap();
    assert_eq!(size(b"a", b"z"), stats.levels[0].bytes);
    let (first, second) = (size(b"a", b"d"), size(b"m", b"z"));
    assert_eq!(first + second, stats.levels[0].bytes);
    assert!(first > 0 && second > 0);
    assert_eq!(
        (size(b"d", b"e"), size(b"z", b"a"), size(b"a", b"a")),
        (0, 0, 0)
    );
}

#[test]
fn a_verification_counts_what_there_is_and_comes_to_the_end_of_it_step_by_step() {
    let env = MemEnv::new();
    let db = with_two_tables(&env);
    for round in 0..3u8 {
        // Each fills a memtable, which waits for its flush and keeps its log.
        if db.rooms().tree.load().sealed().len() < 2 {
            db.put(&[round], &[round; 5000]).unwrap();
        }
    }
    let logs = env.list(Path::new("/db")).unwrap();
    let logs = logs.iter().filter(|name| name.ends_with(".log")).count() as u64;
    assert!(logs > 1);
    let mut steps = Vec::new();
    let report = db.verify_with(&mut |at| {
        steps.push((at.bytes_done, at.bytes_total));
        ControlFlow::Continue(())
    });
    let report = report.unwrap();
    assert!(report.is_ok(), "{report:?}");
    assert_eq!((report.tables, report.entries), (2, 5));
    assert_eq!((report.logs, report.records), (logs, 3));
    let (done, total) = *steps.last().unwrap();
    assert_eq!((done, report.bytes), (total, total));
    assert!(steps.is_sorted(), "{steps:?}");
    assert!(steps.iter().all(|step| step.1 == total), "{steps:?}");
    // Each table is read seven times; logs and the manifest are read as well.
    let tables = db.stats().unwrap().levels[0].bytes;
    assert!(total > 7 * tables, "{total}");
    let ended = db.verify_with(&mut |_| ControlFlow::Break(())).unwrap();
    assert!(!ended.is_complete && !ended.is_ok());
}

#[test]
fn a_call_behind_a_close_says_that_it_is_closed_and_not_that_it_was_forked() {
    let env = MemEnv::new();
    let db = open(&env);
    db.close().unwrap();
    assert!(db.is_closed());
    let error = db.get(b"k").unwrap_err();
    assert!(!error.message().contains("fork"), "{error}");
}
