//! Compactions leave out a table that they cannot use, and everything else goes on.

use std::path::{Path, PathBuf};

use aidb::{DB, Error, ErrorKind, Options, SetAside};

use crate::verify::{files, flip};
use crate::{get, small_options};

fn key(number: u32) -> Vec<u8> {
    format!("key-{number:05}").into_bytes()
}

fn write(db: &DB, numbers: std::ops::Range<u32>) -> Result<(), Error> {
    numbers
        .into_iter()
        .try_for_each(|number| db.put(&key(number), &[7; 100]).map(drop))
}

/// A database with all entries in tables below level 0, and those tables.
fn settled(dir: &Path, options: &Options) -> (DB, Vec<PathBuf>) {
    let db = DB::open(dir.join("db"), options.clone()).unwrap();
    write(&db, 0..2000).unwrap();
    db.compact_range(None, None).unwrap();
    let tables = files(db.path(), "sst");
    assert!(tables.len() > 4, "{tables:?}");
    (db, tables)
}

fn set_aside(db: &DB) -> Vec<SetAside> {
    db.stats().unwrap().set_aside
}

#[test]
fn a_damaged_table_is_named_and_left_out_and_other_ranges_are_still_compacted() {
    let dir = tempfile::tempdir().unwrap();
    // The cache has nothing of the damaged table.
    let options = small_options().block_cache_size(0);
    let (db, tables) = settled(dir.path(), &options);
    assert_eq!(set_aside(&db), []);
    // The first table has the first keys.
    let damaged = &tables[0];
    flip(damaged, 100);
    let error = db.compact_range(None, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corruption, "{error}");
    assert_eq!(error.place().unwrap().0, damaged);
    let listed = set_aside(&db);
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert!(
        listed[0].error.contains(damaged.to_str().unwrap()),
        "{listed:?}"
    );
    let json = db.stats().unwrap().to_json();
    assert!(json.contains("\"set_aside\":[{\"table\":"), "{json}");
    let text = db.property("aidb.stats").unwrap().unwrap();
    assert!(text.contains("set aside: table"), "{text}");

    // A second request fails at once; a range beside the table is compacted.
    let again = db.compact_range(None, None).unwrap_err();
    assert_eq!(again.to_string(), error.to_string());
    let before = db.stats().unwrap().compactions;
    write(&db, 1000..2000).unwrap();
    db.compact_range(Some(&key(1000)), None).unwrap();
    assert!(db.stats().unwrap().compactions > before);
    assert_eq!(get(&db, key(1500)), Some(vec![7; 100]));
    db.close().unwrap();

    // After it is mended and the database reopened, the table takes part again.
    flip(damaged, 100);
    let db = DB::open(dir.path().join("db"), options).unwrap();
    db.compact_range(None, None).unwrap();
    assert_eq!(set_aside(&db), []);
    assert_eq!(db.iter().count(), 2000);
}

#[test]
fn writing_stops_with_the_reason_only_when_level_0_cannot_be_emptied() {
    let dir = tempfile::tempdir().unwrap();
    // Everything is in level 1, with which level 0 has to be merged.
    let options = small_options().block_cache_size(0).level_base_size(8 << 20);
    let (db, tables) = settled(dir.path(), &options);
    flip(&tables[0], 100);
    // The new entries overlap every table. Some writes succeed, since level 0 has room; then one fails with the reason.
    let mut rounds = 0;
    let error = loop {
        match write(&db, 0..2000) {
            Ok(()) => rounds += 1,
            Err(error) => break error,
        }
        assert!(rounds < 100, "level 0 grows without an end");
    };
    assert_eq!(error.kind(), ErrorKind::Corruption, "{error}");
    assert_eq!(error.place().unwrap().0, tables[0]);
    // Every entry read so far is in level 0, above the damage.
    if rounds > 0 {
        assert_eq!(get(&db, key(0)), Some(vec![7; 100]));
    }
    assert_eq!(set_aside(&db).len(), 1);
    db.close().unwrap();
}
