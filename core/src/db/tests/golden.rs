//! Tests of a database of format version 1 that need access to the inside.

use super::*;

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
