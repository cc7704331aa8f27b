use super::*;
use crate::batch::WriteBatch;
use crate::db::DB;
use crate::env::{Call, Fault, FaultEnv, MemEnv};
use crate::error::ErrorKind;
use crate::filename::parse;
use crate::options::WriteOptions;
use crate::sync::{Arc, Mutex};

const DIR: &str = "/db";

fn options(env: &FaultEnv) -> Options {
    Options::new()
        .env(Arc::new(env.clone()))
        .manual_background(true)
        .write_buffer_size(4096)
}

/// A database with tables, a log, and a file of the user's.
fn example() -> (MemEnv, FaultEnv) {
    let disk = MemEnv::new();
    let env = FaultEnv::new(Arc::new(disk.clone()), 1);
    let db = DB::open(DIR, options(&env)).unwrap();
    for key in 0..90u8 {
        db.put(&[key], &[1; 40]).unwrap();
        if key == 60 {
            db.compact_range(None, None).unwrap();
        }
    }
    db.write_with(&WriteBatch::new(), &WriteOptions::synced())
        .unwrap();
    drop(db);
    (disk, env)
}

fn list(env: &dyn Env) -> Vec<String> {
    env.list(Path::new(DIR)).unwrap_or_default()
}

fn write(env: &dyn Env, name: &str, text: &[u8]) {
    let file = env.create_new(&Path::new(DIR).join(name)).unwrap();
    file.write_at(0, text).unwrap();
    file.sync().unwrap();
    env.sync_dir(Path::new(DIR)).unwrap();
}

/// Checks what is left after `disk` lost power, and returns which of these it is: the whole database; one that does
/// not open and can be destroyed; nothing.
fn examine(disk: MemEnv, about: &str) -> &'static str {
    let env = FaultEnv::new(Arc::new(disk), 1);
    let left = list(&env);
    let what = match DB::open(DIR, options(&env).create_if_missing(false)) {
        Ok(db) => {
            assert_eq!(db.iter().count(), 90, "{about}: {left:?}");
            "whole"
        }
        Err(error) if error.kind() == ErrorKind::InvalidArgument => {
            assert!(
                left.iter().all(|name| parse(name).is_none()),
                "{about}: {left:?}, {error}"
            );
            "nothing"
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Corruption, "{about}: {error}");
            assert!(
                error.message().contains("destroy it again"),
                "{about}: {left:?}, {error}"
            );
            "half"
        }
    };
    DB::destroy(DIR, &options(&env)).unwrap();
    assert_eq!(list(&env), [] as [&str; 0], "{about}: left {left:?}");
    what
}

/// DESTROY-2, DESTROY-3.
#[test]
fn a_destroy_that_loses_power_leaves_a_whole_database_or_what_can_be_destroyed() {
    // CURRENT has to go first, and durably; otherwise half a database opens. The mark has to go last; otherwise nothing
    // proves that the rest is AiDb's.
    let (disk, env) = example();
    let cuts = Arc::new(Mutex::new(Vec::new()));
    let (sink, cut_disk) = (Arc::clone(&cuts), disk.clone());
    env.set_hook(Some(Arc::new(move |operation, _: &Path| {
        if Call::CHANGES.contains(&operation) {
            let mut cuts = sink.lock();
            for _ in 0..20 {
                let seed = cuts.len() as u64;
                cuts.push(cut_disk.power_cut(seed));
            }
        }
    })));
    DB::destroy(DIR, &options(&env)).unwrap();
    env.set_hook(None);
    let cuts = std::mem::take(&mut *cuts.lock());
    let mut met = std::collections::BTreeSet::new();
    for (seed, cut) in cuts.into_iter().enumerate() {
        met.insert(examine(cut, &format!("cut {seed}")));
    }
    assert_eq!(
        met.into_iter().collect::<Vec<_>>(),
        ["half", "nothing", "whole"]
    );
    // A destroyed database is gone for good.
    for seed in 0..200 {
        let cut = disk.power_cut(seed);
        assert_eq!(
            cut.kind(Path::new(DIR)).unwrap(),
            PathKind::Missing,
            "seed {seed}"
        );
    }
}

/// DESTROY-4.
#[test]
fn the_parent_of_a_directory_that_goes_is_synced_last() {
    // Directories in memory are gone for good as soon as they are removed, so the disk cannot show it.
    let (_, env) = example();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&asked);
    env.set_hook(Some(Arc::new(move |operation, path: &Path| {
        if Call::CHANGES.contains(&operation) {
            sink.lock().push((operation, path.to_path_buf()));
        }
    })));
    DB::destroy(DIR, &options(&env)).unwrap();
    let asked = std::mem::take(&mut *asked.lock());
    let last = [
        (Call::SyncDir, Path::new(DIR).to_path_buf()),
        (Call::Remove, Path::new(DIR).to_path_buf()),
        (Call::SyncDir, Path::new("/").to_path_buf()),
    ];
    assert!(asked.ends_with(&last), "{asked:?}");
}

/// DESTROY-4.
#[test]
fn a_destroy_of_a_directory_that_stays_is_durable_too() {
    let (disk, env) = example();
    write(&env, "notes.txt", b"mine");
    DB::destroy(DIR, &options(&env)).unwrap();
    for seed in 0..200 {
        assert_eq!(list(&disk.power_cut(seed)), ["notes.txt"], "seed {seed}");
    }
}

#[test]
fn a_failed_operation_is_reported_and_destroying_again_finishes() {
    let mut failures = 0;
    for nth in 0.. {
        let (disk, env) = example();
        env.inject(Fault::new(&Call::ALL, libc::EIO).after(nth));
        let outcome = DB::destroy(DIR, &options(&env));
        let injected = env.injected();
        env.clear();
        if injected == 0 {
            outcome.unwrap();
            break;
        }
        failures += 1;
        if outcome.is_ok() {
            // A file that could not be read proved nothing, but another one did.
            assert_eq!(list(&env), [] as [&str; 0], "operation {nth}");
            continue;
        }
        for seed in 0..8 {
            examine(
                disk.power_cut(seed),
                &format!("operation {nth}, seed {seed}"),
            );
        }
        examine(disk, &format!("operation {nth}"));
    }
    assert!(failures > 10, "only {failures} operations");
}

#[test]
fn a_damaged_database_is_destroyed_whatever_is_left_of_it() {
    let (_, example) = example();
    let names = list(&example);
    let mut destroyed = 0;
    for kept in &names {
        let (_, env) = self::example();
        for name in names.iter().filter(|name| *name != kept) {
            env.remove_file(&Path::new(DIR).join(name)).unwrap();
        }
        if DB::destroy(DIR, &options(&env)).is_ok() {
            assert_eq!(
                env.kind(Path::new(DIR)).unwrap(),
                PathKind::Missing,
                "{kept}"
            );
            destroyed += 1;
        } else {
            // The reserve and the blank log have nothing in them that proves whose they are.
            assert!(
                ["RESERVE", "BLANK-LOG.tmp"].contains(&kept.as_str()),
                "{kept}"
            );
            assert_eq!(list(&env), [kept.as_str()]);
        }
    }
    assert!(destroyed > 3, "{names:?}");
    for emptied in &names {
        let (_, env) = self::example();
        let path = Path::new(DIR).join(emptied);
        env.open_write(&path).unwrap().set_len(0).unwrap();
        DB::destroy(DIR, &options(&env)).unwrap();
        assert_eq!(
            env.kind(Path::new(DIR)).unwrap(),
            PathKind::Missing,
            "{emptied}"
        );
    }
}

/// DESTROY-1.
#[test]
fn nothing_of_anybody_elses_is_touched() {
    type Files<'a> = &'a [(&'a str, &'a [u8])];
    let directories: [Files<'_>; 7] = [
        &[
            ("CURRENT", b"MANIFEST-000004\n"),
            ("000005.log", b"x"),
            ("LOCK", b""),
            ("LOG", b"x"),
        ],
        &[
            ("CURRENT", b"my own file\n"),
            ("000001.log", b"precious"),
            ("notes.txt", b"x"),
        ],
        &[("000001.log", b"precious")],
        &[("LOCK", b"x"), ("LOG", b"x")],
        &[("LOCK", b"x")],
        &[("MANIFEST-000001", b"a list of goods\n")],
        &[("000001.sst", b"")],
    ];
    for files in directories {
        let env = FaultEnv::new(Arc::new(MemEnv::new()), 0);
        env.create_dir_all(Path::new(DIR)).unwrap();
        for (name, bytes) in files {
            write(&env, name, bytes);
        }
        let before = list(&env);
        let changes = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&changes);
        env.set_hook(Some(Arc::new(move |operation, path: &Path| {
            if Call::CHANGES.contains(&operation) || operation == Call::Lock {
                sink.lock().push((operation, path.to_path_buf()));
            }
        })));
        let refused = |outcome: Result<()>| {
            let error = outcome.unwrap_err();
            assert_eq!(
                error.kind(),
                ErrorKind::InvalidArgument,
                "{files:?}: {error}"
            );
        };
        refused(DB::destroy(DIR, &options(&env)));
        refused(DB::open(DIR, options(&env)).map(|_| ()));
        refused(DB::open(DIR, options(&env).read_only(true)).map(|_| ()));
        refused(DB::open(DIR, options(&env).error_if_exists(true)).map(|_| ()));
        refused(DB::repair(DIR, "/new", &options(&env)).map(|_| ()));
        assert_eq!(*changes.lock(), [], "{files:?}");
        assert_eq!(list(&env), before);
        assert_eq!(env.kind(Path::new("/new")).unwrap(), PathKind::Missing);
        env.set_hook(None);
        let other = DB::open("/other", options(&env)).unwrap();
        refused(other.checkpoint(DIR));
        other.close().unwrap();
        refused(DB::repair("/other", DIR, &options(&env)).map(|_| ()));
        assert_eq!(list(&env), before, "no copy is made over it");
    }
}

#[test]
fn a_lock_without_anything_in_it_is_nobodys_and_stays() {
    let env = FaultEnv::new(Arc::new(MemEnv::new()), 0);
    env.create_dir_all(Path::new(DIR)).unwrap();
    write(&env, "LOCK", b"");
    DB::destroy(DIR, &options(&env)).unwrap();
    assert_eq!(list(&env), ["LOCK"]);
}

#[test]
fn a_full_disk_is_no_obstacle() {
    let (disk, env) = example();
    disk.set_quota(Some(0));
    env.inject(Fault::new(&[Call::Create, Call::Write], libc::ENOSPC).always());
    DB::destroy(DIR, &options(&env)).unwrap();
    assert_eq!(disk.kind(Path::new(DIR)).unwrap(), PathKind::Missing);
}
