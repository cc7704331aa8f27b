//! Tests of a database of format version 1, and of features, that need access to the inside.

use super::*;
use crate::env::OsEnv;
use crate::version::{Features, ObsoleteFiles, VersionEdit, VersionSet};
use std::path::Path;

#[test]
fn a_table_of_format_1_has_no_sum_until_it_is_rewritten() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/format-1/db");
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(golden).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    let options = Options::new()
        .level0_compaction_trigger(64)
        .background_threads(1);
    let db = DB::open(dir.path(), options).unwrap();
    let sums = || -> Vec<Option<u64>> {
        let superversion = db.rooms().tree.load();
        let files = superversion.version().all_files();
        files.map(|(_, file)| file.content_sum).collect()
    };
    let old = sums().iter().filter(|sum| sum.is_none()).count();
    assert_eq!(old, 5, "{:?}", sums());
    db.put(b"new", b"value").unwrap();
    db.compact_range(None, None).unwrap();
    assert!(!sums().is_empty() && sums().iter().all(Option::is_some));
    assert!(db.verify().unwrap().is_ok());
}

/// FEATURE-1.
#[test]
fn a_checkpoint_and_a_repaired_database_have_the_features_of_their_source() {
    let dir = tempfile::tempdir().unwrap();
    let [source, copy, saved] = ["source", "copy", "saved"].map(|name| dir.path().join(name));
    let recover = |path: &Path| {
        let env = Arc::new(OsEnv::new());
        VersionSet::recover(env, path, ObsoleteFiles::new(|| {}), false).unwrap()
    };
    let features = Features::known_to_tests();
    DB::open(&source, Options::new()).unwrap().close().unwrap();
    let mut edit = VersionEdit::default();
    edit.features = features.clone();
    recover(&source).log_and_apply_any(edit).unwrap();

    let db = DB::open(&source, Options::new()).unwrap();
    db.put(b"key", b"value").unwrap();
    db.checkpoint(&copy).unwrap();
    db.close().unwrap();
    DB::repair(&source, &saved, &Options::new()).unwrap();
    for path in [&source, &copy, &saved] {
        assert_eq!(*recover(path).features(), features, "{}", path.display());
    }
}
