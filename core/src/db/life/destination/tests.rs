use std::collections::BTreeSet;

use crate::db::DB;
use crate::env::{Call, Env, FaultEnv, MemEnv, PathKind};
use crate::error::{ErrorKind, Result};
use crate::options::Options;
use crate::sync::{Arc, Mutex};
use std::path::Path;

const COPY: &str = "/copies/one";
const ENTRIES: usize = 90;

fn options(env: &FaultEnv) -> Options {
    Options::new()
        .env(Arc::new(env.clone()))
        .manual_background(true)
        .write_buffer_size(4096)
}

/// Makes a copy of the database in `/db`.
type Maker = fn(&FaultEnv) -> Result<()>;

const MAKERS: [(&str, Maker); 2] = [
    ("checkpoint", |env| {
        let db = DB::open("/db", options(env))?;
        db.checkpoint(COPY)
    }),
    ("repair", |env| {
        DB::repair("/db", COPY, &options(env)).map(|report| assert!(report.is_ok()))
    }),
];

fn source() -> (MemEnv, FaultEnv) {
    let disk = MemEnv::new();
    let env = FaultEnv::new(Arc::new(disk.clone()), 0);
    let db = DB::open("/db", options(&env)).unwrap();
    for key in 0..ENTRIES as u8 {
        db.put(&[key], &[1; 40]).unwrap();
    }
    db.compact_range(None, None).unwrap();
    db.close().unwrap();
    env.create_dir_all(Path::new("/copies")).unwrap();
    (disk, env)
}

fn list(env: &dyn Env, dir: &str) -> Vec<String> {
    env.list(Path::new(dir)).unwrap_or_default()
}

/// The disk at each change that `make` asks for, as the death of the process leaves it, and as
/// losses of power do.
fn interrupted(disk: &MemEnv, env: &FaultEnv, make: Maker) -> Vec<MemEnv> {
    let left = Arc::new(Mutex::new(Vec::new()));
    let (sink, disk) = (Arc::clone(&left), disk.clone());
    env.set_hook(Some(Arc::new(move |operation, path: &Path| {
        // Only changes of the target count, not those of the source.
        if Call::CHANGES.contains(&operation) && path.starts_with("/copies") {
            let mut left = sink.lock();
            left.push(disk.process_crash());
            for _ in 0..6 {
                let seed = left.len() as u64;
                left.push(disk.power_cut(seed));
            }
        }
    })));
    make(env).unwrap();
    env.set_hook(None);
    std::mem::take(&mut *left.lock())
}

/// What the directory of a copy is: "missing", "empty", "incomplete" or "whole"; anything else is a failure.
fn state(env: &FaultEnv, about: &str) -> &'static str {
    if env.kind(Path::new(COPY)).unwrap() == PathKind::Missing {
        return "missing";
    }
    let left = list(env, COPY);
    if left.is_empty() {
        return "empty";
    }
    match DB::open(COPY, options(env)) {
        Ok(db) => {
            assert_eq!(db.iter().count(), ENTRIES, "{about}: {left:?}");
            "whole"
        }
        Err(error) => {
            assert_eq!(
                error.kind(),
                ErrorKind::Corruption,
                "{about}: {left:?}, {error}"
            );
            let says = error
                .message()
                .contains("make it again into this directory, or destroy it");
            assert!(says, "{about}: {left:?}, {error}");
            for options in [
                options(env).read_only(true),
                options(env).error_if_exists(true),
            ] {
                let error = DB::open(COPY, options).err().unwrap();
                assert_eq!(error.kind(), ErrorKind::Corruption, "{about}: {error}");
            }
            "incomplete"
        }
    }
}

/// DESTINATION-1.
#[test]
fn a_copy_that_was_cut_short_never_opens_and_is_made_again_or_destroyed() {
    for (name, make) in MAKERS {
        for is_there in [false, true] {
            let (disk, env) = source();
            if is_there {
                env.create_dir_all(Path::new(COPY)).unwrap();
            }
            let mut met = BTreeSet::new();
            for (at, left) in interrupted(&disk, &env, make).into_iter().enumerate() {
                let about = format!("{name}, {is_there}, cut {at}");
                let again = FaultEnv::new(Arc::new(left.process_crash()), 0);
                let left = FaultEnv::new(Arc::new(left), 0);
                let found = state(&left, &about);
                met.insert(found);
                if found == "whole" {
                    continue;
                }
                // Either way of making a copy makes it again, and it can be destroyed.
                for (_, make) in MAKERS {
                    make(&again).unwrap_or_else(|error| panic!("{about}: {error}"));
                    assert_eq!(state(&again, &about), "whole", "{about}");
                    DB::destroy(COPY, &options(&again)).unwrap();
                }
                assert_eq!(list(&again, "/copies"), [] as [&str; 0], "{about}");
                DB::destroy(COPY, &options(&left)).unwrap();
                assert_eq!(
                    left.kind(Path::new(COPY)).unwrap(),
                    PathKind::Missing,
                    "{about}"
                );
            }
            // A directory that was missing is never there without the mark.
            let first = if is_there { "empty" } else { "missing" };
            let expected = BTreeSet::from([first, "incomplete", "whole"]);
            assert_eq!(met, expected, "{name}, {is_there}");
        }
    }
}

/// DESTINATION-2.
#[test]
fn a_finished_copy_is_durable_and_has_no_mark() {
    for (name, make) in MAKERS {
        let (disk, env) = source();
        make(&env).unwrap();
        for seed in 0..50 {
            let cut = FaultEnv::new(Arc::new(disk.power_cut(seed)), 0);
            assert_eq!(list(&cut, "/copies"), ["one"], "{name}");
            assert!(
                !list(&cut, COPY).contains(&"AIDB-INCOMPLETE".to_string()),
                "{name}"
            );
            assert_eq!(state(&cut, name), "whole");
        }
    }
}

/// DESTINATION-4.
#[test]
fn an_incomplete_copy_with_something_else_in_it_is_left_alone() {
    for (name, make) in MAKERS {
        let (_, env) = source();
        env.create_dir_all(Path::new(COPY)).unwrap();
        for file in ["AIDB-INCOMPLETE", "000007.sst", "notes.txt"] {
            let made = env.create_new(&Path::new(COPY).join(file)).unwrap();
            if file == "AIDB-INCOMPLETE" {
                made.write_at(0, crate::version::MARK.as_bytes()).unwrap();
            }
        }
        let before = list(&env, COPY);
        let error = make(&env).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{name}: {error}");
        assert!(error.message().contains("notes.txt"), "{name}: {error}");
        assert_eq!(list(&env, COPY), before);
        DB::destroy(COPY, &options(&env)).unwrap();
        assert_eq!(list(&env, COPY), ["notes.txt"]);
    }
}

/// IDENTITY-4. A mark's name alone used to prove that a directory was AiDb's, so the call removed other
/// databases or a user's own files.
#[test]
fn a_mark_that_somebody_else_made_gives_nobody_the_directory() {
    for (name, make) in MAKERS {
        for text in [&b""[..], &[0; 50], b"do not touch\n", b"aidb"] {
            for others in [
                &["CURRENT", "000005.log", "LOCK", "LOG"][..],
                &["000007.sst"],
                &["notes.txt"],
            ] {
                let (_, env) = source();
                env.create_dir_all(Path::new(COPY)).unwrap();
                for file in others.iter().chain(&["AIDB-INCOMPLETE"]) {
                    let made = env.create_new(&Path::new(COPY).join(file)).unwrap();
                    let is_mark = *file == "AIDB-INCOMPLETE";
                    made.write_at(0, if is_mark { text } else { b"precious\n" })
                        .unwrap();
                }
                let about = format!("{name}, {text:?}, {others:?}");
                let mut before = list(&env, COPY);
                before.sort_unstable();
                let outcomes = [
                    DB::destroy(COPY, &options(&env)),
                    DB::open(COPY, options(&env)).map(|_| ()),
                    DB::repair(COPY, "/into", &options(&env)).map(|_| ()),
                    make(&env),
                ];
                for outcome in outcomes {
                    let error = outcome.expect_err(&about);
                    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{about}: {error}");
                }
                let mut after = list(&env, COPY);
                after.sort_unstable();
                assert_eq!(after, before, "{about}");
            }
        }
    }
}

/// A torn mark used to stay torn while a copy was made beside it; once there were other files it proved nothing.
#[test]
fn a_torn_mark_is_made_whole_before_anything_is_put_beside_it() {
    for (name, make) in MAKERS {
        for torn in [&b""[..], &[0; 300], b"aidb inc"] {
            let (disk, env) = source();
            env.create_dir_all(Path::new(COPY)).unwrap();
            let mark = env.create_new(&Path::new(COPY).join("AIDB-INCOMPLETE"));
            mark.unwrap().write_at(0, torn).unwrap();
            let mut met = BTreeSet::new();
            for (at, left) in interrupted(&disk, &env, make).into_iter().enumerate() {
                let about = format!("{name}, {torn:?}, cut {at}");
                let left = FaultEnv::new(Arc::new(left), 0);
                let found = state(&left, &about);
                met.insert(found);
                DB::destroy(COPY, &options(&left))
                    .unwrap_or_else(|error| panic!("{about}: {error}"));
                assert_eq!(list(&left, COPY), [] as [&str; 0], "{about}");
            }
            assert!(met.contains("incomplete"), "{met:?}");
            assert_eq!(state(&env, name), "whole");
        }
    }
}

/// Destroying used to turn CURRENT into the mark even if it was damaged, and then proved nothing.
#[test]
fn a_database_whose_current_is_damaged_can_be_destroyed_again_wherever_that_was_cut_short() {
    let (disk, env) = source();
    let current = Path::new("/db/CURRENT");
    env.open_write(current).unwrap().set_len(0).unwrap();
    env.sync_dir(Path::new("/db")).unwrap();
    let left = Arc::new(Mutex::new(Vec::new()));
    let (sink, seen) = (Arc::clone(&left), disk.clone());
    env.set_hook(Some(Arc::new(move |operation, _: &Path| {
        if Call::CHANGES.contains(&operation) {
            sink.lock().push(seen.process_crash());
        }
    })));
    DB::destroy("/db", &options(&env)).unwrap();
    env.set_hook(None);
    let left = std::mem::take(&mut *left.lock());
    assert!(left.len() > 4);
    for (at, left) in left.into_iter().enumerate() {
        let left = FaultEnv::new(Arc::new(left), 0);
        let names = list(&left, "/db");
        DB::destroy("/db", &options(&left))
            .unwrap_or_else(|error| panic!("{at}: {names:?}: {error}"));
        assert_eq!(
            left.kind(Path::new("/db")).unwrap(),
            PathKind::Missing,
            "{at}: {names:?}"
        );
    }
}

/// IDENTITY-3.
#[test]
fn nothing_is_salvaged_from_an_incomplete_copy() {
    let (disk, env) = source();
    let mut refused = 0;
    for left in interrupted(&disk, &env, MAKERS[0].1) {
        let left = FaultEnv::new(Arc::new(left), 0);
        if state(&left, "checkpoint") != "incomplete" {
            continue;
        }
        let error = DB::repair(COPY, "/new", &options(&left)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corruption, "{error}");
        assert_eq!(left.kind(Path::new("/new")).unwrap(), PathKind::Missing);
        refused += 1;
    }
    assert!(refused > 10);
}

/// DESTINATION-3.
#[test]
fn a_copy_that_is_being_made_is_locked() {
    let (_, env) = source();
    let (opener, seen) = (env.clone(), Arc::new(Mutex::new(BTreeSet::new())));
    let sink = Arc::clone(&seen);
    let is_asking = Arc::new(Mutex::new(false));
    env.set_hook(Some(Arc::new(move |operation, path: &Path| {
        if operation == Call::Link && path.starts_with(COPY) {
            // The calls below come to this hook too.
            if std::mem::replace(&mut *is_asking.lock(), true) {
                return;
            }
            let open = DB::open(COPY, options(&opener)).map(|_| ());
            let destroy = DB::destroy(COPY, &options(&opener));
            let repair = DB::repair("/none", COPY, &options(&opener)).map(|_| ());
            for outcome in [open, destroy] {
                sink.lock().insert(outcome.unwrap_err().kind().name());
            }
            assert!(repair.is_err());
            *is_asking.lock() = false;
        }
    })));
    MAKERS[0].1(&env).unwrap();
    env.set_hook(None);
    assert_eq!(*seen.lock(), BTreeSet::from(["Locked"]));
    assert_eq!(state(&env, "checkpoint"), "whole");
}
