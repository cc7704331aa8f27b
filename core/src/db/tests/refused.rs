//! File operations that the operating system refuses, each once: what fails, and that the same open database goes on.

use super::*;

/// Does everything that changes the disk, and returns the kinds of the errors.
fn work(db: &DB, value: &[u8]) -> Vec<ErrorKind> {
    let outcomes = [
        db.put_with(b"k", value, &WriteOptions { sync: true }).err(),
        db.flush().err(),
        db.compact_range(None, None).err(),
    ];
    let errors = outcomes.into_iter().flatten();
    errors.map(|error| error.kind()).collect()
}

#[test]
fn once_a_refused_operation_works_again_so_does_the_open_database_and_nothing_is_lost() {
    let refusals = [
        (Call::Write, ".log"),
        (Call::Sync, ".log"),
        (Call::Create, ".log"),
        (Call::Write, ".sst"),
        (Call::Sync, ".sst"),
        (Call::Create, ".sst"),
        (Call::Write, "MANIFEST"),
        (Call::Sync, "MANIFEST"),
        (Call::SyncDir, "/db"),
    ];
    for (call, path) in refusals {
        let env = MemEnv::new();
        let faulty = FaultEnv::new(Arc::new(env.clone()), 0);
        let db = DB::open("/db", options(&env).env(Arc::new(faulty.clone()))).unwrap();
        db.put(b"k", b"old").unwrap();
        db.put(b"kept", b"").unwrap();
        faulty.inject(Fault::new(&[call], libc::EIO).on_path(path).always());
        let refused = work(&db, b"refused");
        let what = format!("{call:?} on {path}: {refused:?}");
        assert!(refused.contains(&ErrorKind::Io), "{what}");
        assert!(refused.iter().all(|kind| *kind == ErrorKind::Io), "{what}");
        assert_eq!(db.get(b"kept").unwrap().unwrap(), b"", "{what}");

        faulty.clear();
        assert_eq!(work(&db, b"new"), [], "{what}");
        assert_eq!(db.get(b"k").unwrap().unwrap(), b"new", "{what}");
        let expected = [
            (b"k".to_vec(), b"new".to_vec()),
            (b"kept".to_vec(), b"".to_vec()),
        ];
        assert_eq!(entries(&open(&env.power_cut(0))), expected, "{what}");
    }
}
