//! The log that is made ahead: used by the next memtable, passed over by open, and gone after close.

use std::fs;
use std::path::{Path, PathBuf};

use aidb::{DB, Options};

/// What was read, or `None` if the file has been removed since it was listed.
fn unless_removed<T>(outcome: std::io::Result<T>) -> Option<T> {
    match outcome {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        outcome => Some(outcome.unwrap()),
    }
}

/// The logs in `dir`, oldest first, and whether each is blank.
fn logs(dir: &Path) -> Vec<(PathBuf, bool)> {
    let mut logs: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .filter_map(|path| {
            // A flush returns before the log that it made needless is removed.
            let bytes = unless_removed(fs::read(&path))?;
            let is_blank = !bytes.is_empty() && bytes.iter().all(|&byte| byte == 0);
            Some((path, is_blank))
        })
        .collect();
    logs.sort();
    logs
}

#[test]
fn a_log_made_ahead_is_used_next_passed_over_by_open_and_gone_after_close() {
    let dir = tempfile::tempdir().unwrap();
    let db = DB::open(dir.path(), Options::new()).unwrap();
    db.put(b"a", b"1").unwrap();
    assert!(logs(dir.path()).iter().all(|(_, is_blank)| !is_blank));
    // The flush thread makes the next log before it flushes.
    db.flush().unwrap();
    let before = logs(dir.path());
    let blank: Vec<_> = before.iter().filter(|(_, is_blank)| *is_blank).collect();
    assert_eq!(blank.len(), 1, "{before:?}");
    assert_eq!(before.last(), Some(blank[0]), "it has the highest number");

    // As a crash would leave it.
    db.put(b"b", b"2").unwrap();
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        unless_removed(fs::copy(&path, copy.path().join(path.file_name().unwrap())));
    }
    let recovered = DB::open(copy.path(), Options::new()).unwrap();
    assert_eq!(recovered.iter().count(), 2);
    // There may be another one by now: what was recovered is flushed.
    let left = copy.path().join(blank[0].0.file_name().unwrap());
    assert!(!left.exists(), "open removes it");
    recovered.close().unwrap();

    db.flush().unwrap();
    let used = logs(dir.path())
        .into_iter()
        .find(|(path, _)| *path == blank[0].0);
    assert_eq!(used, Some((blank[0].0.clone(), false)));
    db.put(b"c", b"3").unwrap();
    db.close().unwrap();
    let after = logs(dir.path());
    assert!(after.iter().all(|(_, is_blank)| !is_blank), "{after:?}");
    let again = DB::open(dir.path(), Options::new()).unwrap();
    assert_eq!(again.iter().count(), 3);
}
