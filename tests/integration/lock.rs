//! One process writes: a second opener learns which process holds the database, and its failure loses nothing.

use std::time::{Duration, Instant};

use aidb::{DB, ErrorKind, Options};

use crate::child::{self, Role};
use crate::get;

#[test]
#[ignore = "the child of the tests of this file"]
fn holder_child() {
    let Some(dir) = child::variable("AIDB_CHILD_DIR") else {
        return;
    };
    let options = Options::new().read_only(child::variable("AIDB_CHILD_READ_ONLY").is_some());
    match DB::open(dir, options) {
        Ok(db) => {
            child::say("open");
            child::wait_for_parent();
            drop(db);
        }
        Err(error) => child::say(&format!("refused: {:?} {error}", error.kind())),
    }
}

fn start(dir: &std::path::Path) -> Role {
    let dir = dir.display().to_string();
    Role::start("lock::holder_child", &[("AIDB_CHILD_DIR", dir)])
}

#[test]
fn a_second_opener_in_this_process_is_locked_out() {
    let dir = tempfile::tempdir().unwrap();
    let db = DB::open(dir.path(), Options::new()).unwrap();
    let error = DB::open(dir.path(), Options::new()).err().expect("locked");
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert!(error.is_retryable());
    let pid = std::process::id().to_string();
    assert!(error.to_string().contains(&pid), "{error}");
    // The failed open must not have released the lock: another process still finds it held.
    let said = start(dir.path()).hear().unwrap();
    assert!(said.starts_with("refused: Locked"), "{said}");
    db.put(b"k", b"v").unwrap();
    db.close().unwrap();
    let db = DB::open(dir.path(), Options::new()).unwrap();
    assert_eq!(get(&db, "k").unwrap(), b"v");
}

#[test]
fn a_second_process_is_locked_out_and_told_who_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = start(dir.path());
    assert_eq!(holder.hear().unwrap(), "open");
    let error = DB::open(dir.path(), Options::new()).err().expect("locked");
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert!(
        error.to_string().contains(&holder.id().to_string()),
        "{error}"
    );
    let error = DB::destroy(dir.path(), &Options::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    holder.kill();
    while holder.hear().is_some() {}
    drop(holder);
    DB::open(dir.path(), Options::new()).expect("a killed holder's lock is gone");
}

#[test]
fn another_name_of_the_directory_is_the_same_lock() {
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (dir.path().join("real"), dir.path().join("link"));
    let db = DB::open(&real, Options::new()).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let error = DB::open(&link, Options::new()).err().expect("locked");
    assert_eq!(error.kind(), ErrorKind::Locked);
    let said = start(&link).hear().unwrap();
    assert!(said.starts_with("refused: Locked"), "{said}");
    drop(db);
    DB::open(&link, Options::new()).unwrap();
}

#[test]
fn lock_timeout_waits_for_the_holder_to_go() {
    let dir = tempfile::tempdir().unwrap();
    let db = DB::open(dir.path(), Options::new()).unwrap();
    let wait = |millis| Options::new().lock_timeout(Duration::from_millis(millis));
    let started = Instant::now();
    let error = DB::open(dir.path(), wait(150)).err().expect("locked");
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert!(started.elapsed() >= Duration::from_millis(140));
    let path = dir.path().to_path_buf();
    let waiter = std::thread::spawn(move || DB::open(path, wait(60_000)).map(drop));
    let waiting = Instant::now();
    while waiting.elapsed() < Duration::from_millis(50) {
        assert!(
            !waiter.is_finished(),
            "it waits as long as the lock is held"
        );
        std::thread::yield_now();
    }
    db.close().unwrap();
    waiter.join().unwrap().unwrap();
}

#[test]
fn readers_share_and_shut_a_writer_out() {
    let dir = tempfile::tempdir().unwrap();
    DB::open(dir.path(), Options::new())
        .unwrap()
        .close()
        .unwrap();
    let mut reader = Role::start(
        "lock::holder_child",
        &[
            ("AIDB_CHILD_DIR", dir.path().display().to_string()),
            ("AIDB_CHILD_READ_ONLY", "1".to_string()),
        ],
    );
    assert_eq!(reader.hear().unwrap(), "open");
    DB::open(dir.path(), Options::new().read_only(true)).unwrap();
    let error = DB::open(dir.path(), Options::new()).err().expect("locked");
    assert_eq!(error.kind(), ErrorKind::Locked);
}
