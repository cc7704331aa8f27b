//! A forked child has none of its parent's handles and does not keep its parent's lock.

use std::time::Duration;

use aidb::{DB, Options};

use crate::role::{Role, kill, passes};

fn run(role: &str) {
    let dir = crate::directory();
    let path = dir.path().join("db").display().to_string();
    assert!(passes(role, &[&path]));
}

/// DB-2.
#[test]
fn a_forked_child_gets_closed_from_every_handle() {
    run("fork-handles");
}

/// UNIX-3, HOLD-4, SNAPSHOT-3, CACHE-6, CHUNK-3, FILE-3.
#[test]
fn a_child_forked_under_load_gets_closed_and_never_hangs() {
    run("fork-load");
}

#[test]
fn a_dead_parents_lock_is_free_although_its_children_live() {
    let dir = crate::directory();
    let path = dir.path().join("db").display().to_string();
    let mut parent = Role::start("fork-lock", &[&path]);
    assert_eq!(parent.hear().as_deref(), Some("ready"));
    kill(parent.id());
    parent.wait();
    let db = DB::open(&path, Options::new().lock_timeout(Duration::from_secs(20)))
        .expect("the lock died with its holder");
    assert_eq!(db.get(b"k").unwrap().as_deref(), Some(&b"parent"[..]));
    db.close().unwrap();
    // The children still run: one of them answers.
    parent.let_go();
    assert_eq!(parent.hear().as_deref(), Some("a child opened"));
    assert_eq!(parent.hear(), None);
    let db = DB::open(&path, Options::new().lock_timeout(Duration::from_secs(20))).unwrap();
    assert_eq!(db.get(b"k").unwrap().as_deref(), Some(&b"child"[..]));
}
