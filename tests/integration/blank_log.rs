//! The file in which the next log will begin: a flush makes it, open ignores it, the next memtable uses it, and close
//! removes it.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use aidb::{DB, Options};

const BLANK: &str = "BLANK-LOG.tmp";

/// Its content, if it exists.
fn blank(dir: &Path) -> Option<Vec<u8>> {
    fs::read(dir.join(BLANK)).ok()
}

#[test]
fn a_log_made_ahead_is_used_next_passed_over_by_open_and_gone_after_close() {
    let dir = tempfile::tempdir().unwrap();
    let db = DB::open(dir.path(), Options::new()).unwrap();
    db.put(b"a", b"1").unwrap();
    assert_eq!(blank(dir.path()), None);
    // The engine makes it before it flushes the memtable.
    db.flush().unwrap();
    assert_eq!(blank(dir.path()), Some(vec![0; 64 << 10]));

    // As after a crash. A flush returns before the engine removes the obsolete log.
    db.put(b"b", b"2").unwrap();
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        match fs::copy(&path, copy.path().join(path.file_name().unwrap())) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            outcome => assert!(outcome.is_ok(), "{outcome:?}"),
        }
    }
    assert_eq!(blank(copy.path()), blank(dir.path()));
    let recovered = DB::open(copy.path(), Options::new()).unwrap();
    assert_eq!(recovered.iter().count(), 2);
    recovered.flush().unwrap();
    recovered.close().unwrap();
    assert_eq!(blank(copy.path()), None);

    // A handle opened earlier sees the log begin in the file.
    let held = fs::File::open(dir.path().join(BLANK)).unwrap();
    db.flush().unwrap();
    let mut first = [0; 8];
    held.read_exact_at(&mut first, 0).unwrap();
    assert_ne!(first, [0; 8]);
    db.put(b"c", b"3").unwrap();
    db.close().unwrap();
    assert_eq!(blank(dir.path()), None);
    let again = DB::open(dir.path(), Options::new()).unwrap();
    assert_eq!(again.iter().count(), 3);
}
