//! Tests of what an open refuses, and of how it uses the options.

use super::*;
use crate::env::PathKind;
use crate::filename::LOCK;
use crate::version::Flushed;
use crate::wal::Expected;

const DIR: &str = "/db";

fn refusal(env: &MemEnv, options: Options) -> String {
    let error = DB::open(DIR, options.env(Arc::new(env.clone()))).err();
    let error = error.expect("it is refused");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    error.message().to_owned()
}

#[test]
fn a_directory_is_opened_or_refused_as_the_options_say() {
    let dir = Path::new(DIR);
    let options = || Options::new().manual_background(true);
    for is_there in [false, true] {
        let env = MemEnv::new();
        if is_there {
            env.create_dir_all(dir).unwrap();
        }
        let expected = if is_there {
            "holds no database"
        } else {
            "does not exist"
        };
        let reported = refusal(&env, options().read_only(true));
        assert!(
            reported.contains(expected) && reported.contains("read_only"),
            "{reported}"
        );
        let reported = refusal(&env, options().create_if_missing(false));
        assert!(
            reported.contains(expected) && reported.contains("create_if_missing"),
            "{reported}"
        );
        // The refused calls have left nothing.
        let kind = env.kind(dir).unwrap();
        assert_eq!(kind == PathKind::Directory, is_there);
        assert!(!is_there || env.list(dir).unwrap().is_empty());
        drop(open(&env));
        let reported = refusal(&env, options().error_if_exists(true));
        assert!(reported.contains("error_if_exists"), "{reported}");
        let present = options().create_if_missing(false);
        drop(DB::open(DIR, present.env(Arc::new(env.clone()))).unwrap());
        let present = options().read_only(true);
        drop(DB::open(DIR, present.env(Arc::new(env.clone()))).unwrap());
    }
    let env = MemEnv::new();
    env.create_new(dir).unwrap();
    assert!(refusal(&env, options()).contains("is not a directory"));
}

/// IDENTITY-2.
#[test]
fn a_directory_with_a_current_that_is_not_ours_gets_no_lock_file() {
    let env = MemEnv::new();
    let dir = Path::new(DIR);
    env.create_dir_all(dir).unwrap();
    let current = env.create_new(&dir.join("CURRENT")).unwrap();
    current.write_at(0, b"MANIFEST-000001\n").unwrap();
    let faulty = FaultEnv::new(Arc::new(env.clone()), 0);
    assert!(DB::open(DIR, options(&env).env(Arc::new(faulty.clone()))).is_err());
    assert_eq!(faulty.count(Call::Lock), 0);
    // An AiDb database is locked, whether its lock file is there or lost.
    for with_lock in [false, true] {
        let env = MemEnv::new();
        drop(open(&env));
        if with_lock {
            env.create_new(&dir.join(LOCK)).unwrap();
        }
        drop(open(&env));
    }
}

#[test]
fn a_database_has_the_threads_that_the_options_ask_for_and_none_where_the_caller_does_the_work() {
    for (options, threads) in [
        (Options::new().background_threads(3), 4),
        (Options::new().manual_background(true), 0),
        (Options::new().read_only(true), 0),
    ] {
        let env = MemEnv::new();
        drop(open(&env));
        let faulty = FaultEnv::new(Arc::new(env), 0);
        let db = DB::open(DIR, options.env(Arc::new(faulty.clone()))).unwrap();
        assert_eq!(faulty.count(Call::Spawn), threads);
        db.close().unwrap();
    }
}

#[test]
fn what_the_options_leave_open_follows_from_the_machine() {
    let env = MemEnv::new();
    // Of 1024 descriptors half are left to the program, and 24 of the rest to other files. A full level 0 has nine
    // times the trigger.
    let large = options(&env).level0_compaction_trigger(64);
    let db = DB::open(DIR, large).unwrap();
    assert_eq!(db.rooms().context.options().level0_compaction_trigger, 55);
    drop(db);
    // The smallest reserve is a 64th of the write buffer, within bounds.
    for (buffer, piece) in [(4096, 64), (16 << 20, 256), (128 << 20, 1024)] {
        let db = DB::open(DIR, options(&env).write_buffer_size(buffer)).unwrap();
        assert_eq!(db.rooms().space.step(), piece << 10, "{buffer}");
    }
    let db = DB::open(DIR, options(&env).level0_compaction_trigger(50)).unwrap();
    for key in 0..20u8 {
        db.put(&[key], b"v").unwrap();
        db.flush().unwrap();
    }
    (0..20u8).for_each(|key| assert!(db.contains_key(&[key]).unwrap()));
    assert_eq!(db.stats().unwrap().open_tables, 20);
}

#[test]
fn what_was_acknowledged_survives_loss_of_power_behind_a_close() {
    let env = MemEnv::new();
    let db = open(&env);
    db.put(b"k", b"v").unwrap();
    db.close().unwrap();
    for seed in 0..20 {
        assert_eq!(entries(&open(&env.power_cut(seed))).len(), 1);
    }
    // A database opened read-only has nothing to flush, and may not.
    open(&env).put(b"l", b"v").unwrap();
    let reader = DB::open(DIR, options(&env).read_only(true)).unwrap();
    assert_eq!(entries(&reader).len(), 2);
    reader.close().unwrap();
}

#[test]
fn a_log_that_names_itself_as_its_predecessor_ends_the_chain() {
    use crate::db::life::replay;
    use crate::key::{FileNumber, SequenceNumber};
    use crate::wal::{Predecessor, Synced, SyncedLog, Writer};
    let env = MemEnv::new();
    let (dir, number) = (Path::new("/"), FileNumber(7));
    let header_bytes = Writer::create(&env, dir, FileNumber(1), 1, Predecessor::default(), 0)
        .unwrap()
        .len();
    let itself = Predecessor::new(number, header_bytes, SequenceNumber(0), Synced::NOTHING);
    Writer::create(&env, dir, number, 1, itself, 0).unwrap();
    let expected = Expected {
        needed: number,
        synced_log: FileNumber(0),
        synced_file: SyncedLog::default(),
        last_sequence: SequenceNumber(0),
        database: 0,
    };
    let recovered = replay(&env, dir, &[number], &expected, &flushed(&expected), 4096).unwrap();
    assert_eq!(recovered.chain, [number]);
}

/// The database used to take another id. If the log could not be removed, the next open met it again and was refused.
#[test]
fn a_database_without_an_id_takes_that_of_a_log_beyond_a_gap() {
    use crate::db::life::replay;
    use crate::key::{FileNumber, SequenceNumber};
    use crate::wal::{LogId, Predecessor, Synced, SyncedLog, Writer};
    let env = MemEnv::new();
    let (dir, numbers) = (Path::new("/"), [FileNumber(1), FileNumber(2)]);
    let first = Writer::create(&env, dir, numbers[0], 1, Predecessor::default(), 0).unwrap();
    // The first log has lost its end: the second one states a larger length for it.
    let longer = Predecessor::new(
        numbers[0],
        first.len() + 100,
        SequenceNumber(0),
        Synced::NOTHING,
    );
    let id = LogId {
        database: 7,
        log: 2,
    };
    Writer::create(&env, dir, numbers[1], id, longer, 0).unwrap();
    let mut expected = Expected {
        needed: numbers[0],
        synced_log: FileNumber(0),
        synced_file: SyncedLog::default(),
        last_sequence: SequenceNumber(0),
        database: 0,
    };
    let recovered = replay(&env, dir, &numbers, &expected, &flushed(&expected), 4096).unwrap();
    assert_eq!(
        (&recovered.chain[..], recovered.database),
        (&numbers[..1], 7)
    );
    expected.database = recovered.database;
    replay(&env, dir, &numbers, &expected, &flushed(&expected), 4096).unwrap();
    expected.database = 8;
    assert!(replay(&env, dir, &numbers, &expected, &flushed(&expected), 4096).is_err());
}

#[test]
fn a_log_that_ends_with_another_number_than_its_successor_says_is_damage() {
    use crate::db::life::replay;
    use crate::key::{FileNumber, SequenceNumber};
    use crate::wal::{Payload, Predecessor, Synced, SyncedLog, Writer};
    let (dir, numbers) = (Path::new("/"), [FileNumber(1), FileNumber(2)]);
    // (the log's last number as its successor states it, the last number in tables, whether that fits)
    for (named, in_tables, fits) in [
        (0, 0, false),
        (1, 0, true),
        (2, 0, false),
        (2, 1, false),
        // The writes that the log has lost are in tables (CHAIN-6).
        (2, 2, true),
        (2, 9, true),
    ] {
        let env = MemEnv::new();
        let none = Predecessor::default();
        let mut log = Writer::create(&env, dir, numbers[0], 1, none, 0).unwrap();
        let batch = WriteBatch::of_put(b"k", b"v").unwrap();
        let payload = Payload::new(batch.encoded());
        log.append(SequenceNumber(1), &payload, Synced::NOTHING)
            .unwrap();
        let said = Predecessor::new(
            numbers[0],
            log.len(),
            SequenceNumber(named),
            Synced::NOTHING,
        );
        Writer::create(&env, dir, numbers[1], 2, said, 0).unwrap();
        let expected = Expected {
            needed: numbers[0],
            synced_log: FileNumber(0),
            synced_file: SyncedLog::default(),
            last_sequence: SequenceNumber(in_tables),
            database: 0,
        };
        let outcome = replay(&env, dir, &numbers, &expected, &flushed(&expected), 4096);
        assert_eq!(outcome.is_ok(), fits, "{named}, {in_tables}");
        if let Err(error) = outcome {
            assert_eq!(error.kind(), ErrorKind::Corruption);
            assert!(error.message().contains("its successor says"), "{error}");
        }
    }
}

/// FLUSH-6.
#[test]
fn as_many_memtables_as_may_wait_for_their_flush_and_no_more() {
    let env = MemEnv::new();
    let db = open(&env);
    let mut most = 0;
    for key in 0..100u8 {
        db.put(&[key], &[key; 1000]).unwrap();
        most = most.max(db.rooms().tree.load().sealed().len());
    }
    assert_eq!(most, 2);
    assert_eq!(entries(&db).len(), 100);
}

#[test]
fn failed_appends_do_not_seal_memtables_without_end_and_flush_none_before() {
    let env = MemEnv::new();
    let faulty = FaultEnv::new(Arc::new(env.clone()), 1);
    let db = DB::open(DIR, options(&env).env(Arc::new(faulty.clone()))).unwrap();
    let mut sealed = Vec::new();
    for key in 0..10u8 {
        db.put(&[key], b"v").unwrap();
        faulty.inject(Fault::new(&[Call::Write], libc::EIO).on_path(".log"));
        db.put(b"lost", b"v").unwrap_err();
        faulty.clear();
        db.put(&[key], b"w").unwrap();
        sealed.push(db.rooms().tree.load().sealed().len());
    }
    assert_eq!(sealed[..8], [1, 2, 3, 4, 5, 6, 7, 8]);
    assert!(sealed.iter().all(|count| *count <= 8), "{sealed:?}");
    assert_eq!(entries(&db).len(), 10);
}

#[test]
fn an_empty_path_and_one_with_a_nul_byte_are_invalid_arguments_wherever_a_path_is_asked_for() {
    let env = MemEnv::new();
    let options = || Options::new().env(Arc::new(env.clone()));
    let db = DB::open("/db", options()).unwrap();
    for path in ["", "\0", "a\0b", "/db/\0", "s3://a\0b"] {
        let outcomes = [
            DB::open(path, options()).map(|_| ()),
            DB::destroy(path, &options()),
            DB::repair(path, "/into", &options()).map(|_| ()),
            DB::repair("/db", path, &options()).map(|_| ()),
            db.checkpoint(path),
        ];
        for (number, outcome) in outcomes.into_iter().enumerate() {
            let error = outcome.unwrap_err();
            let kind = error.kind();
            assert_eq!(kind, ErrorKind::InvalidArgument, "{path:?}, call {number}");
            let what = if path.is_empty() { "is empty" } else { "NUL" };
            assert!(error.message().contains(what), "{error}");
        }
    }
    assert!(env.open_read(Path::new("CURRENT")).is_err());
}

/// The remains of a database used to look like a creation that was cut short, and open overwrote them with an empty
/// database.
#[test]
fn a_first_manifest_that_names_tables_is_what_is_left_of_a_database_and_not_of_its_creation() {
    let env = MemEnv::new();
    let db = open(&env);
    db.put(b"key", b"value").unwrap();
    db.flush().unwrap();
    db.close().unwrap();
    let first = Path::new("/db/MANIFEST-000001");
    let names = || env.list(Path::new("/db")).unwrap();
    assert!(
        names().contains(&"MANIFEST-000001".to_string()),
        "{:?}",
        names()
    );
    for name in names() {
        if !name.starts_with("MANIFEST") {
            env.remove_file(&Path::new("/db").join(name)).unwrap();
        }
    }
    let size = env.open_read(first).unwrap().len().unwrap();
    for _ in 0..2 {
        let error = DB::open("/db", options(&env)).err().expect("it is refused");
        assert_eq!(error.kind(), ErrorKind::Corruption, "{error}");
        assert!(error.message().contains("names tables"), "{error}");
    }
    assert_eq!(env.open_read(first).unwrap().len().unwrap(), size);
}

/// What is in tables, if there are no keyspaces.
fn flushed(expected: &Expected) -> Flushed {
    Flushed::of_ids(&[(0, expected.last_sequence.0)], 1)
}
