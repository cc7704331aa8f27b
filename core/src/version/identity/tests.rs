use super::*;
use crate::env::MemEnv;
use crate::error::ErrorKind;

const OURS: &[u8] = b"aidb 1 MANIFEST-000002 0123456789abcdef 00000000\n";
const MANIFEST: &[u8] = b"aidbMANI\x01\0\0\0";
const LOG: &[u8] = b"AiDb.log\x01\0\0\0";
const TABLE: &[u8] = b"AiDbSST\0\x02\0\0\0";
const HELD: &[u8] = b"pid 1 on host moon, since 2026-01-01 00:00:00 UTC\n";
const INFO: &[u8] = b"2026-01-31 09:05:00 UTC opening\n";
/// The beginning of a manifest of LevelDB: a checksum, a length, and the name of its key order.
const LEVELDB: &[u8] = b"\x56\xf9\xb8\xf8\x1c\0\x01\x01\x1aleveldb.BytewiseComparator";
const NOISE: &[u8] = &[0x93, 0xfe, 0, 0x12];

fn directory(files: &[(&str, &[u8])]) -> (MemEnv, Vec<String>) {
    let env = MemEnv::new();
    env.create_dir_all(dir()).unwrap();
    for (name, bytes) in files {
        let file = env.create_new(&dir().join(name)).unwrap();
        file.write_at(0, bytes).unwrap();
    }
    let names = env.list(dir()).unwrap();
    (env, names)
}

fn dir() -> &'static Path {
    Path::new("/db")
}

type Files<'a> = &'a [(&'a str, &'a [u8])];

#[test]
fn a_directory_is_told_by_what_aidb_alone_writes() {
    use Contents::{Database, Incomplete, Nothing};
    let (corruption, foreign) = (Err(ErrorKind::Corruption), Err(ErrorKind::InvalidArgument));
    let cases: [(Files<'_>, std::result::Result<Contents, ErrorKind>); 52] = [
        (&[], Ok(Nothing)),
        (&[("CURRENT", OURS)], Ok(Database)),
        (&[("CURRENT", OURS), ("notes.txt", b"mine")], Ok(Database)),
        (&[("CURRENT", b"aidb 9 of the future")], Ok(Database)),
        // A damaged CURRENT, beside a file that proves the directory.
        (
            &[("CURRENT", b""), ("MANIFEST-000002", MANIFEST)],
            Ok(Database),
        ),
        (&[("CURRENT", NOISE), ("000002.log", LOG)], Ok(Database)),
        (
            &[("CURRENT", b"my own"), ("000002.sst", TABLE)],
            Ok(Database),
        ),
        // The same without such a file.
        (&[("CURRENT", b"")], foreign),
        (&[("CURRENT", NOISE)], foreign),
        (
            &[("CURRENT", b"my own\n"), ("000001.log", b"precious")],
            foreign,
        ),
        (&[("CURRENT", b"MANIFEST-000004\n")], foreign),
        // Another engine's database, into which a table was copied.
        (
            &[("CURRENT", b"MANIFEST-000004\n"), ("000002.sst", TABLE)],
            foreign,
        ),
        (&[("AIDB-INCOMPLETE", b"")], Ok(Incomplete)),
        (
            &[("AIDB-INCOMPLETE", b""), ("CURRENT", OURS)],
            Ok(Incomplete),
        ),
        (
            &[("AIDB-INCOMPLETE", b""), ("CURRENT", b"MANIFEST-000004\n")],
            foreign,
        ),
        (&[("AIDB-INCOMPLETE", MARK.as_bytes())], Ok(Incomplete)),
        (
            &[("AIDB-INCOMPLETE", MARK.as_bytes()), ("notes.txt", b"x")],
            Ok(Incomplete),
        ),
        // A mark that was made of another file.
        (
            &[("AIDB-INCOMPLETE", OURS), ("notes.txt", b"x")],
            Ok(Incomplete),
        ),
        (
            &[("AIDB-INCOMPLETE", MANIFEST), ("notes.txt", b"x")],
            Ok(Incomplete),
        ),
        (
            &[("AIDB-INCOMPLETE", LOG), ("notes.txt", b"x")],
            Ok(Incomplete),
        ),
        (
            &[("AIDB-INCOMPLETE", TABLE), ("notes.txt", b"x")],
            Ok(Incomplete),
        ),
        // A torn mark, as a power loss leaves it; that happens only in an otherwise empty directory.
        (
            &[("AIDB-INCOMPLETE", &[0; 200]), ("LOCK", HELD)],
            Ok(Incomplete),
        ),
        (
            &[("AIDB-INCOMPLETE", b"aidb inc"), ("LOCK", b"")],
            Ok(Incomplete),
        ),
        (&[("AIDB-INCOMPLETE", b""), ("notes.txt", b"x")], foreign),
        (&[("AIDB-INCOMPLETE", b""), ("LOCK", b"x")], foreign),
        (
            &[
                ("AIDB-INCOMPLETE", b"aidb inc"),
                ("000001.log", b"precious"),
            ],
            foreign,
        ),
        // A mark that another program wrote.
        (&[("AIDB-INCOMPLETE", b"do not touch")], foreign),
        (
            &[("AIDB-INCOMPLETE", b"do not touch"), ("CURRENT", OURS)],
            Ok(Incomplete),
        ),
        (&[("MANIFEST-000002", MANIFEST)], corruption),
        (
            &[("MANIFEST-000001", MANIFEST), ("000002.log", LOG)],
            corruption,
        ),
        (
            &[("LOCK", b""), ("000002.sst", TABLE), ("notes.txt", b"x")],
            corruption,
        ),
        (&[("MANIFEST-000002", b"")], foreign),
        (&[("000002.log", b"precious")], foreign),
        (&[("000002.sst", NOISE)], foreign),
        (&[("notes.txt", b"x")], foreign),
        (&[("LOCK", b""), ("1.log", LOG)], foreign),
        // The remains of a creation that was cut short, and directories that only look like that.
        (
            &[
                ("LOCK", HELD),
                ("LOG", INFO),
                ("RESERVE", &[0; 300]),
                ("MANIFEST-000001", NOISE),
                ("CURRENT.tmp", b"aidb 1 MAN"),
            ],
            Ok(Nothing),
        ),
        (&[("LOCK", b""), ("MANIFEST-000001", b"")], Ok(Nothing)),
        (&[("LOCK", b"pi")], Ok(Nothing)),
        (&[("LOCK", b"x")], foreign),
        (
            &[("LOG", b"2026/01/31-09:05:00.123 RocksDB version: 9")],
            foreign,
        ),
        (&[("MANIFEST-000001", b"a list of goods\n")], foreign),
        (&[("CURRENT.tmp", b"my own")], foreign),
        (&[("RESERVE", b"my own")], foreign),
        // Bytes that only begin like text, or are not text at all.
        (&[("RESERVE", b"my own\xff\xfe")], Ok(Nothing)),
        (&[("RESERVE", b"my \xc3\x28own")], Ok(Nothing)),
        (&[("RESERVE", b"my\x01own")], Ok(Nothing)),
        (&[("MANIFEST-000001", b"\x07\0\x01\0")], Ok(Nothing)),
        (&[("MANIFEST-000001", NOISE)], Ok(Nothing)),
        // A manifest of another engine.
        (&[("MANIFEST-000001", LEVELDB)], foreign),
        (&[("MANIFEST-000001", LEVELDB), ("LOCK", b"")], foreign),
        // A text may be cut inside a character.
        (&[("RESERVE", b"my caf\xc3")], foreign),
    ];
    for (files, expected) in cases {
        let (env, _) = directory(files);
        let found = inspect(&env, dir()).map_err(|error| error.kind());
        assert_eq!(found, expected, "{files:?}");
    }
    assert_eq!(inspect(&MemEnv::new(), dir()).unwrap(), Nothing);
}

/// IDENTITY-1.
#[test]
fn only_what_aidb_alone_writes_proves_that_a_directory_may_be_destroyed() {
    let headless = [&[0; 100], &b"AiDbEnd\0"[..]].concat();
    let ours: [(Files<'_>, &str); 14] = [
        (&[("CURRENT", OURS), ("LOCK", b"")], "CURRENT"),
        (&[("CURRENT", b""), ("000002.log", LOG)], "000002.log"),
        (&[("000002.sst", TABLE), ("notes.txt", b"x")], "000002.sst"),
        (&[("000002.sst", &headless)], "000002.sst"),
        (&[("MANIFEST-000001", MANIFEST)], "MANIFEST-000001"),
        (&[("000002.tmp", TABLE)], "000002.tmp"),
        (&[("CURRENT.tmp", OURS)], "CURRENT.tmp"),
        (&[("AIDB-INCOMPLETE", b"")], "AIDB-INCOMPLETE"),
        (
            &[("AIDB-INCOMPLETE", MARK.as_bytes()), ("CURRENT", b"my own")],
            "AIDB-INCOMPLETE",
        ),
        (
            &[("AIDB-INCOMPLETE", &headless), ("notes.txt", b"x")],
            "AIDB-INCOMPLETE",
        ),
        (&[("AIDB-INCOMPLETE", b""), ("CURRENT", OURS)], "CURRENT"),
        (&[("LOCK", HELD)], "LOCK"),
        (&[("LOCK", HELD), ("RESERVE", b""), ("LOG", INFO)], "LOCK"),
        (&[("LOCK", HELD), ("MANIFEST-000001", NOISE)], "LOCK"),
    ];
    for (files, proof) in ours {
        let (env, names) = directory(files);
        let found = owner(&env, dir(), &names).unwrap();
        assert_eq!(found, Owner::Ours(proof.to_string()), "{files:?}");
    }
    let nobodys: [Files<'_>; 3] = [&[], &[("LOCK", b"")], &[("LOCK", &[0; 50])]];
    for files in nobodys {
        let (env, names) = directory(files);
        assert_eq!(
            owner(&env, dir(), &names).unwrap(),
            Owner::Nobody,
            "{files:?}"
        );
    }
    let others: [Files<'_>; 19] = [
        &[("MANIFEST-000001", LEVELDB)],
        &[("LOCK", HELD), ("MANIFEST-000001", LEVELDB)],
        &[("CURRENT", b"my own file\n"), ("000001.log", b"precious")],
        &[("CURRENT", b"MANIFEST-000004\n"), ("000002.sst", TABLE)],
        &[("CURRENT", b"MANIFEST-000004\n"), ("LOCK", HELD)],
        &[("CURRENT", b"MANIFEST-000004\n"), ("AIDB-INCOMPLETE", b"")],
        &[("AIDB-INCOMPLETE", b""), ("CURRENT", b"my own")],
        &[("AIDB-INCOMPLETE", b"my own")],
        &[("AIDB-INCOMPLETE", b"my own"), ("LOCK", HELD)],
        &[("000001.log", b"precious")],
        &[("000001.log", b"")],
        &[("LOCK", b"x")],
        &[("LOCK", b""), ("LOG", b"x")],
        &[("LOCK", b""), ("RESERVE", b"")],
        &[("LOCK", HELD), ("notes.txt", b"x")],
        &[("LOCK", b"pid 1234 is using this directory\n")],
        &[("LOCK", b"pid on host moon\n")],
        &[("LOCK", HELD), ("000001.log", b"precious")],
        &[("notes.txt", b"x")],
    ];
    for files in others {
        let (env, names) = directory(files);
        let error = owner(&env, dir(), &names).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{files:?}");
    }
}

#[test]
fn the_message_names_the_other_engine_or_the_file() {
    let cases: [(Files<'_>, &str); 7] = [
        (&[("MANIFEST-000001", LEVELDB)], "LevelDB"),
        (
            &[("CURRENT", b"MANIFEST-000004\n"), ("IDENTITY", b"x")],
            "RocksDB",
        ),
        (&[("data.mdb", b"")], "LMDB"),
        (&[("CURRENT", b"mine")], "a CURRENT that AiDb did not write"),
        (
            &[("000001.log", b"precious")],
            "it holds 000001.log, and nothing shows that AiDb wrote it",
        ),
        (&[("notes.txt", b"x")], "it holds notes.txt and no CURRENT"),
        (
            &[("AIDB-INCOMPLETE", b""), ("notes.txt", b"x")],
            "AiDb wrote it; remove that file by hand",
        ),
    ];
    for (files, part) in cases {
        let (env, _) = directory(files);
        let error = inspect(&env, dir()).unwrap_err();
        assert!(error.message().contains(part), "{error}");
        assert!(error.message().starts_with("/db is "), "{error}");
    }
}

#[test]
fn a_users_own_files_in_a_directory_of_aidb_are_not_the_databases() {
    let (env, _) = directory(&[
        ("CURRENT", OURS),
        ("000002.log", NOISE),
        ("LOG", b"a tree fell\n"),
        ("LOG.old", INFO),
        ("notes.tmp", b"x"),
    ]);
    env.create_dir_all(&dir().join("000003.sst")).unwrap();
    for (name, expected) in [
        ("CURRENT", true),
        ("000002.log", true),
        ("LOG.old", true),
        ("LOG", false),
        ("notes.tmp", false),
        ("000003.sst", false),
    ] {
        assert_eq!(belongs(&env, dir(), name).unwrap(), expected, "{name}");
    }
}

#[test]
fn a_file_that_cannot_be_read_proves_nothing_and_another_one_may() {
    use crate::env::{Call, Fault, FaultEnv};
    let (env, names) = directory(&[("MANIFEST-000002", MANIFEST), ("000002.log", LOG)]);
    let env = FaultEnv::new(crate::sync::Arc::new(env), 0);
    let reads = |path| Fault::new(&[Call::Read], libc::EIO).on_path(path).always();
    env.inject(reads("MANIFEST"));
    let proof = Owner::Ours("000002.log".to_string());
    assert_eq!(owner(&env, dir(), &names).unwrap(), proof);
    env.inject(reads(".log"));
    let error = owner(&env, dir(), &names).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "it may be AiDb's");
    assert!(env.injected() > 2);
}

#[test]
fn a_current_that_cannot_be_read_keeps_a_directory_from_all_but_repair() {
    use crate::env::{Call, Fault, FaultEnv};
    let (env, names) = directory(&[("CURRENT", OURS), ("000002.log", LOG)]);
    let env = FaultEnv::new(crate::sync::Arc::new(env), 0);
    env.inject(
        Fault::new(&[Call::Read], libc::EIO)
            .on_path("CURRENT")
            .always(),
    );
    let reported = [
        owner(&env, dir(), &names).map(|_| ()).unwrap_err(),
        inspect(&env, dir()).map(|_| ()).unwrap_err(),
    ];
    assert!(reported.iter().all(|error| error.kind() == ErrorKind::Io));
    assert!(is_ours(&env, dir(), &names).unwrap());
    assert!(env.injected() > 2);
}

#[test]
fn a_file_that_is_there_and_cannot_be_opened_is_not_taken_for_missing() {
    use crate::env::{Call, Fault, FaultEnv};
    for name in ["CURRENT", "RESERVE"] {
        let (env, names) = directory(&[(name, OURS)]);
        let env = FaultEnv::new(crate::sync::Arc::new(env), 0);
        let fault = Fault::new(&[Call::Open], libc::EACCES);
        env.inject(fault.on_path(name).always());
        let reported = [
            head_of(&env, &dir().join(name)).map(|_| ()).unwrap_err(),
            inspect(&env, dir()).map(|_| ()).unwrap_err(),
            owner(&env, dir(), &names).map(|_| ()).unwrap_err(),
        ];
        for error in reported {
            assert_eq!(error.kind(), ErrorKind::Io, "{name}: {error}");
        }
        assert_eq!(env.injected(), 3, "{name}");
    }
}

#[test]
fn a_log_without_its_beginning_is_known_by_its_records() {
    use crate::wal::{Payload, Predecessor, Synced, Writer};
    let (env, _) = directory(&[]);
    let number = crate::key::FileNumber(2);
    let mut writer =
        Writer::create(&env, dir(), number, 77, Predecessor::default(), 1 << 20).unwrap();
    for sequence in 1..4 {
        let sequence = crate::key::SequenceNumber(sequence);
        writer
            .append(sequence, &Payload::new(b"a record"), Synced::NOTHING)
            .unwrap();
    }
    drop(writer);
    let path = crate::filename::log_path(dir(), number);
    env.open_write(&path)
        .unwrap()
        .write_at(0, &[0; 64])
        .unwrap();
    let names = env.list(dir()).unwrap();
    assert!(
        owner(&env, dir(), &names).is_err(),
        "the cheap proofs are not enough"
    );
    assert!(is_ours(&env, dir(), &names).unwrap());
    let (env, names) = directory(&[("000002.log", b"precious")]);
    assert!(!is_ours(&env, dir(), &names).unwrap());
}
