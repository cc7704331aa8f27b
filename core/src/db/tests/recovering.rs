//! Tests of what an open may rely on, and of the order of its steps.

use std::collections::BTreeSet;

use super::*;
use crate::content::Sum;
use crate::env::File;
use crate::filename::log_path;
use crate::key::{FileNumber, SequenceNumber};
use crate::sync::Mutex;
use crate::version::VersionEdit;
use crate::wal;

fn cut(env: &MemEnv, bytes: PowerLoss, names: PowerLoss) -> MemEnv {
    let (bytes, names) = (Some(bytes), Some(names));
    let cut = PowerCut {
        bytes,
        names,
        seed: 0,
    };
    env.power_cut_as(cut, &mut BTreeSet::new())
}

/// Copies of the disk, one from before each change that `work` makes.
fn copies(
    env: &MemEnv,
    copy: impl Fn(&MemEnv) -> MemEnv + Send + Sync + 'static,
    work: impl FnOnce(&FaultEnv),
) -> Vec<MemEnv> {
    let faulty = FaultEnv::new(Arc::new(env.clone()), 0);
    let copied = Arc::new(Mutex::new(Vec::new()));
    let (list, mem) = (Arc::clone(&copied), env.clone());
    faulty.set_hook(Some(Arc::new(move |operation, _: &Path| {
        if Call::CHANGES.contains(&operation) {
            list.lock().push(copy(&mem));
        }
    })));
    work(&faulty);
    faulty.set_hook(None);
    std::mem::take(&mut *copied.lock())
}

/// The disks that kills leave during a short run: the last changes are in the kernel's memory only.
fn killed_lives() -> Vec<MemEnv> {
    let env = MemEnv::new();
    copies(&env, MemEnv::process_crash, |faulty| {
        let db = DB::open("/db", options(&env).env(Arc::new(faulty.clone()))).unwrap();
        for round in 0..2u8 {
            db.put(&[round], b"kept").unwrap();
            db.flush().unwrap();
        }
        db.compact_range(None, None).unwrap();
        db.put(b"in a log", b"kept").unwrap();
    })
}

/// CHAIN-2.
#[test]
fn power_may_be_lost_at_any_moment_of_an_open_behind_a_kill() {
    // The files that open finds may be in the kernel's memory only. Without room for a new manifest, the edits go
    // into the one that open found.
    for (index, killed) in killed_lives().into_iter().enumerate() {
        for full in [false, true] {
            for (bytes, names) in [
                (PowerLoss::Everything, PowerLoss::Nothing),
                (PowerLoss::Nothing, PowerLoss::Everything),
            ] {
                let disk = killed.process_crash();
                let taken = copies(
                    &disk,
                    move |mem| cut(mem, bytes, names),
                    |faulty| {
                        if full {
                            let fault = Fault::new(&[Call::Create], libc::ENOSPC);
                            faulty.inject(fault.on_path("MANIFEST-").always());
                        }
                        let opened = DB::open("/db", options(&disk).env(Arc::new(faulty.clone())));
                        // A new database needs its first manifest.
                        assert!(opened.is_ok() || full, "kill {index}");
                    },
                );
                for (moment, after) in taken.iter().chain([&cut(&disk, bytes, names)]).enumerate() {
                    let opened = DB::open("/db", options(after));
                    if let Err(error) = opened {
                        panic!("kill {index} {full} {bytes:?} {names:?} at {moment}: {error}");
                    }
                }
            }
        }
    }
}

#[test]
fn an_open_that_cannot_sync_says_so() {
    let env = MemEnv::new();
    let db = open(&env);
    db.put(b"k", b"v").unwrap();
    drop(db);
    // For each sync of an open: whether its failure fails the open.
    let outcomes = |operation: Call, on: &str| -> Vec<bool> {
        let mut outcomes = Vec::new();
        loop {
            let disk = env.process_crash();
            let faulty = FaultEnv::new(Arc::new(disk.clone()), 0);
            let fault = Fault::new(&[operation], libc::EIO).on_path(on);
            faulty.inject(fault.after(outcomes.len() as u64));
            let opened = DB::open("/db", options(&disk).env(Arc::new(faulty.clone())));
            if faulty.injected() == 0 {
                return outcomes;
            }
            outcomes.push(opened.is_err());
            drop(opened);
            assert_eq!(entries(&open(&disk)).len(), 1);
        }
    };
    // The syncs of the log that is replayed, and of the header of the new one.
    assert_eq!(outcomes(Call::Sync, ".log"), [true, true]);
    // The syncs after making the new log, the new manifest (without it the old one goes on), and CURRENT.
    assert_eq!(outcomes(Call::SyncDir, "/db"), [true, false, true]);
}

#[test]
fn a_failed_flush_leaves_no_table_behind() {
    for operation in [Call::Write, Call::Sync] {
        let env = MemEnv::new();
        let faulty = FaultEnv::new(Arc::new(env.clone()), 0);
        let db = DB::open("/db", options(&env).env(Arc::new(faulty.clone()))).unwrap();
        db.put(b"k", b"v").unwrap();
        faulty.inject(Fault::new(&[operation], libc::EIO).on_path(".sst"));
        db.flush().unwrap_err();
        let names = env.list(Path::new("/db")).unwrap();
        assert!(
            !names.iter().any(|name| name.ends_with(".sst")),
            "{names:?}"
        );
        db.flush().unwrap();
        assert_eq!(entries(&open(&env.power_cut(0))).len(), 1);
    }
}

/// FLUSH-5.
#[test]
fn power_may_be_lost_at_any_moment_of_a_life() {
    for seed in 0..24u64 {
        let env = MemEnv::new();
        let moments = Arc::new(crate::sync::atomic::AtomicU64::new(seed << 32));
        let taken = copies(
            &env,
            move |mem| mem.power_cut(moments.fetch_add(1, crate::sync::atomic::Ordering::SeqCst)),
            |faulty| {
                let db = DB::open("/db", options(&env).env(Arc::new(faulty.clone()))).unwrap();
                for round in 0..2u8 {
                    db.put(&[round], b"kept").unwrap();
                    db.flush().unwrap();
                }
                db.put_with(&[2], b"kept", &WriteOptions::synced()).unwrap();
                db.compact_range(None, None).unwrap();
            },
        );
        for (moment, after) in taken.into_iter().enumerate() {
            if let Err(error) = DB::open("/db", options(&after)) {
                panic!("seed {seed} at {moment}: {error}");
            }
        }
    }
}

/// The number and length of the current log, and the last sequence number in it.
fn present_log(db: &DB) -> (FileNumber, u64, SequenceNumber) {
    let mut log = db.rooms().commit.log();
    (log.number(), log.writer().len(), log.last_sequence())
}

/// COMMIT-2.
#[test]
fn a_write_that_failed_and_arrived_whole_does_not_count_behind_the_length_that_the_next_log_names()
{
    // The same run twice, with the same ids; in one of them the write succeeds.
    let life = |fails: bool| {
        let env = MemEnv::new();
        let faulty = FaultEnv::new(Arc::new(env.clone()), 0);
        let db = DB::open("/db", options(&env).env(Arc::new(faulty.clone()))).unwrap();
        db.put(b"a", b"1").unwrap();
        if fails {
            faulty.inject(Fault::new(&[Call::Write], libc::EIO).on_path(".log"));
        }
        assert_eq!(db.put(b"b", b"2").is_err(), fails);
        let (number, _, _) = present_log(&db);
        if fails {
            db.put(b"c", b"3").unwrap();
            assert!(present_log(&db).0 > number, "it goes on in a new log");
        }
        (env, log_path(Path::new("/db"), number))
    };
    let ((whole, path), (env, same)) = (life(false), life(true));
    assert_eq!(path, same);
    let mut bytes = vec![0; whole.open_read(&path).unwrap().len().unwrap() as usize];
    let length = whole.open_read(&path).unwrap().read_at(0, &mut bytes);
    assert_eq!(length.unwrap(), bytes.len());
    env.open_write(&path).unwrap().write_at(0, &bytes).unwrap();
    let found = entries(&open(&env));
    let expected = [
        (b"a".to_vec(), b"1".to_vec()),
        (b"c".to_vec(), b"3".to_vec()),
    ];
    assert_eq!(found, expected);
}

/// CHAIN-5.
#[test]
fn a_log_whose_numbers_leave_a_hole_is_damage() {
    for hole in [0, 2] {
        let env = MemEnv::new();
        let db = open(&env);
        db.put(b"a", b"1").unwrap();
        let (number, length, last) = present_log(&db);
        drop(db);
        let predecessor = wal::Predecessor::new(number, length, last, wal::Synced::NOTHING);
        let next = FileNumber(number.0 + 1);
        let dir = Path::new("/db");
        let mut writer = wal::Writer::create(&env, dir, next, 77, predecessor, 0).unwrap();
        let mut batch = WriteBatch::new();
        batch.put(b"b", b"2").unwrap();
        let first = last.plus(1 + hole);
        let payload = wal::Payload::new(batch.encoded());
        writer
            .append(first, &payload, wal::Synced::NOTHING)
            .unwrap();
        match DB::open("/db", options(&env)) {
            Ok(db) => assert!(hole == 0 && entries(&db).len() == 2),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corruption);
                assert!(hole > 0 && error.message().contains(".log"), "{error}");
            }
        }
    }
}

/// CHAIN-1.
#[test]
fn a_missing_log_that_the_manifest_names_is_damage_although_nothing_in_it_was_synced() {
    let env = MemEnv::new();
    let db = open(&env);
    db.put(b"a", b"1").unwrap();
    db.flush().unwrap();
    db.put(b"b", b"2").unwrap();
    let path = log_path(Path::new("/db"), present_log(&db).0);
    drop(db);
    env.remove_file(&path).unwrap();
    let error = DB::open("/db", options(&env)).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corruption);
    assert!(error.message().contains(path.to_str().unwrap()), "{error}");
}

#[test]
fn a_repair_tells_the_numbers_that_a_missing_log_held() {
    let env = MemEnv::new();
    let (db, logs) = three_logs(&env, |db, number| {
        db.put(&[number], &[7; 1000]).unwrap();
    });
    drop(db);
    let path = log_path(Path::new("/db"), logs[1].0);
    env.remove_file(&path).unwrap();
    let report = DB::repair("/db", "/repaired", &options(&env)).unwrap();
    let lost: Vec<_> = report
        .lost
        .iter()
        .map(|loss| {
            let numbers = [loss.first_sequence, loss.last_sequence];
            (loss.file.clone(), numbers.map(|number| number.unwrap().0))
        })
        .collect();
    assert_eq!(lost, [(path, [logs[1].1, logs[2].1 - 1])]);
    let db = DB::open("/repaired", options(&env)).unwrap();
    assert_eq!(entries(&db).len() as u64, logs[1].1);
}

#[test]
fn a_repair_does_not_miss_a_synced_log_that_was_flushed_since() {
    let env = MemEnv::new();
    let (db, logs) = three_logs(&env, |db, number| {
        db.put_with(&[number], &[7; 1000], &WriteOptions::synced())
            .unwrap();
    });
    let entries_then = entries(&db);
    db.flush().unwrap();
    assert!(present_log(&db).0 > logs[2].0);
    drop(db);
    let synced = log_path(Path::new("/db"), logs[2].0);
    assert!(env.open_read(&synced).is_err(), "the log is still there");
    let report = DB::repair("/db", "/repaired", &options(&env)).unwrap();
    assert!(report.lost.is_empty(), "{:?}", report.lost);
    let db = DB::open("/repaired", options(&env)).unwrap();
    assert_eq!(entries(&db), entries_then);
}

/// OS-3.
#[test]
fn a_new_database_makes_the_directory_durable_that_it_finds() {
    let env = MemEnv::new();
    env.create_dir_all(Path::new("/home")).unwrap();
    env.leave_unsynced(Path::new("/home/db")).unwrap();
    let db = DB::open("/home/db", options(&env)).unwrap();
    db.put_with(b"a", b"1", &WriteOptions::synced()).unwrap();
    for seed in 0..20 {
        let options = options(&env.power_cut(seed)).create_if_missing(false);
        let db = DB::open("/home/db", options).unwrap();
        assert_eq!(db.get(b"a").unwrap().unwrap(), b"1");
    }
}

/// A database whose memtables wait for their flush, and the first number of each log. Each put takes one number.
fn three_logs(env: &MemEnv, mut put: impl FnMut(&DB, u8)) -> (DB, Vec<(FileNumber, u64)>) {
    let db = open(env);
    let mut logs = vec![(present_log(&db).0, 1)];
    for number in 1.. {
        put(&db, number as u8);
        let present = present_log(&db).0;
        if present != logs[logs.len() - 1].0 {
            logs.push((present, number));
        }
        if logs.len() == 3 {
            break;
        }
    }
    (db, logs)
}

#[test]
fn a_read_finds_the_newest_of_several_memtables() {
    let key_of = |number: u8| [number % 2];
    let env = MemEnv::new();
    let (db, _) = three_logs(&env, |db, number| {
        db.put(&key_of(number), &[number; 1000]).unwrap();
    });
    assert_eq!(db.rooms().tree.load().sealed().len(), 2);
    // The last put is alone in the active memtable; both sealed ones have the key of the one before.
    let last = present_log(&db).2.0 as u8;
    for number in [last, last - 1] {
        let key = key_of(number);
        assert_eq!(db.get(&key).unwrap().unwrap()[0], number);
        assert_eq!(db.get_many(&[key]).unwrap()[0].as_ref().unwrap()[0], number);
    }
}

/// CHAIN-3.
#[test]
fn a_gap_in_front_of_a_synced_log_is_damage_by_its_place() {
    let env = MemEnv::new();
    let (db, logs) = three_logs(&env, |db, number| {
        db.put(&[number], &[number; 1000]).unwrap();
    });
    db.put_with(b"a", b"1", &WriteOptions::synced()).unwrap();
    // This record states that sync.
    db.put(b"b", b"2").unwrap();
    drop(db);
    // The oldest log that is left, within its written part. How much fits into a memtable does not matter here.
    let mut paths = logs.iter().map(|log| log_path(Path::new("/db"), log.0));
    let cut = paths
        .find(|path| env.kind(path).unwrap() != crate::env::PathKind::Missing)
        .unwrap();
    let log = env.open_write(&cut).unwrap();
    log.set_len(log.len().unwrap() / 2).unwrap();
    let error = DB::open("/db", options(&env)).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corruption);
    let place = [cut.to_str().unwrap(), "after it was synced"];
    assert!(
        place.iter().all(|part| error.message().contains(part)),
        "{error}"
    );
}

#[test]
fn damage_in_front_of_a_record_that_knows_of_a_sync_is_no_torn_tail() {
    let env = MemEnv::new();
    let db = open(&env);
    db.put_with(b"a", b"1", &WriteOptions::synced()).unwrap();
    db.put(b"b", b"2").unwrap();
    let (number, length, _) = present_log(&db);
    drop(db);
    let path = log_path(Path::new("/db"), number);
    let file = env.open_write(&path).unwrap();
    // Within the first record, after the log's header of 64 bytes.
    for at in [64, 70, 75, 80] {
        assert!(at < length);
        let mut byte = [0];
        assert_eq!(file.read_at(at, &mut byte).unwrap(), 1);
        file.write_at(at, &[byte[0] ^ 1]).unwrap();
        let error = DB::open("/db", options(&env)).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Corruption, "byte {at}: {error}");
        file.write_at(at, &byte).unwrap();
    }
    assert_eq!(entries(&open(&env)).len(), 2);
}

#[test]
fn a_log_that_was_synced_without_a_record_has_lost_none() {
    let env = MemEnv::new();
    let db = open(&env);
    db.write_with(&WriteBatch::new(), &WriteOptions::synced())
        .unwrap();
    let killed = env.process_crash();
    let synced = killed.kind(&Path::new("/db").join(crate::filename::SYNCED));
    assert_eq!(synced.unwrap(), crate::env::PathKind::File(32));
    let report = DB::repair("/db", "/saved", &options(&killed)).unwrap();
    assert!(report.is_ok(), "{report:?}");
    open(&killed);
}

#[test]
fn a_first_open_that_failed_and_a_second_that_lost_power_leave_a_new_database() {
    // The first write's log may have vanished, and the second write's log names it.
    for failing in [Call::Sync, Call::SyncDir] {
        for nth in 0..8 {
            for (bytes, names) in [
                (PowerLoss::Everything, PowerLoss::Nothing),
                (PowerLoss::Nothing, PowerLoss::Everything),
                (PowerLoss::Everything, PowerLoss::Everything),
            ] {
                let env = MemEnv::new();
                let faulty = FaultEnv::new(Arc::new(env.clone()), 0);
                faulty.inject(Fault::new(&[failing], libc::EIO).after(nth));
                if DB::open("/db", options(&env).env(Arc::new(faulty))).is_ok() {
                    continue;
                }
                let copy = move |mem: &MemEnv| cut(mem, bytes, names);
                let disks = copies(&env, copy, |faulty| {
                    DB::open("/db", options(&env).env(Arc::new(faulty.clone()))).unwrap();
                });
                assert!(!disks.is_empty());
                for disk in disks {
                    let opened = DB::open("/db", options(&disk));
                    let opened = opened.unwrap_or_else(|error| {
                        panic!("{failing:?} {nth}, {bytes:?} {names:?}: {error}")
                    });
                    assert!(entries(&opened).is_empty());
                }
            }
        }
    }
}

#[test]
fn a_manifest_from_before_the_first_log_is_no_new_database_where_later_logs_are() {
    let env = MemEnv::new();
    let kept = copies(&env, MemEnv::process_crash, |faulty| {
        let db = DB::open("/db", options(&env).env(Arc::new(faulty.clone()))).unwrap();
        for key in 0..3u8 {
            db.put(&[key], b"kept").unwrap();
            db.flush().unwrap();
        }
    });
    let dir = Path::new("/db");
    let files = |env: &MemEnv| {
        let mut names = env.list(dir).unwrap_or_default();
        names.retain(|name| name == "CURRENT" || name.starts_with("MANIFEST"));
        names
    };
    // The last disk on which CURRENT is there, but no log yet.
    let has_log = |disk: &MemEnv| {
        disk.list(dir)
            .unwrap()
            .iter()
            .any(|name| name.ends_with(".log"))
    };
    let mut moments = kept.iter();
    let old = moments.rfind(|disk| files(disk).len() == 2 && !has_log(disk));
    let old = old.unwrap();
    for name in files(&env) {
        env.remove_file(&dir.join(name)).unwrap();
    }
    for name in files(old) {
        let from = old.open_read(&dir.join(&name)).unwrap();
        let mut bytes = vec![0; from.len().unwrap() as usize];
        from.read_at(0, &mut bytes).unwrap();
        let to = env.create_new(&dir.join(&name)).unwrap();
        to.write_at(0, &bytes).unwrap();
    }
    let tables = || {
        let names = env.list(dir).unwrap();
        names.iter().filter(|name| name.ends_with(".sst")).count()
    };
    let before = tables();
    assert!(before > 0);
    let error = DB::open("/db", options(&env)).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corruption, "{error}");
    assert!(error.message().contains(".log at byte 0"), "{error}");
    assert_eq!(tables(), before);
    let report = DB::repair("/db", "/saved", &options(&env)).unwrap();
    assert!(!report.is_ok(), "{report:?}");
}

/// CHAIN-7, SYNC-4.
#[test]
fn damage_to_the_last_record_is_no_torn_tail_if_that_was_synced() {
    let env = MemEnv::new();
    let db = open(&env);
    db.put(b"a", b"1").unwrap();
    let (number, before, last) = present_log(&db);
    db.put_with(b"b", b"2", &WriteOptions::synced()).unwrap();
    let (_, length, _) = present_log(&db);
    let killed = env.process_crash();
    drop(db);
    let path = log_path(Path::new("/db"), number);
    let refused = |what: &str, damage: &dyn Fn(&dyn File)| {
        let env = killed.process_crash();
        damage(&*env.open_write(&path).unwrap());
        let error = DB::open("/db", options(&env)).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Corruption, "{what}: {error}");
        let place = format!("{number}.log at byte {before}");
        assert!(error.message().contains(&place), "{what}: {error}");
        let report = DB::repair("/db", "/saved", &options(&env)).unwrap();
        assert_eq!(report.lost.len(), 1, "{what}: {report:?}");
        let loss = &report.lost[0];
        assert_eq!(
            (loss.offset, loss.first_sequence),
            (before, Some(last.plus(1))),
            "{what}: {loss:?}"
        );
    };
    for at in before..length {
        refused(&format!("byte {at}"), &|file| {
            let mut byte = [0];
            assert_eq!(file.read_at(at, &mut byte).unwrap(), 1);
            file.write_at(at, &[byte[0] ^ 4]).unwrap();
        });
        refused(&format!("cut to {at}"), &|file| file.set_len(at).unwrap());
    }
    refused("zeros", &|file| file.write_at(before, &[0; 512]).unwrap());
    // Only the file that records the sync is missing or damaged.
    let synced = Path::new("/db").join(crate::filename::SYNCED);
    killed.open_write(&synced).unwrap().set_len(7).unwrap();
    assert_eq!(entries(&open(&killed.process_crash())).len(), 2);
    killed.remove_file(&synced).unwrap();
    assert_eq!(entries(&open(&killed)).len(), 2);
}

#[test]
fn a_recovery_that_is_interrupted_between_two_flushes_of_several_logs_goes_on_later() {
    // The first memtable has all of one log and a part of the next, so its table has numbers that the first log
    // lacks.
    for buffer in [5000, 6000, 7000, 9000] {
        let env = MemEnv::new();
        let (db, _) = three_logs(&env, |db, number| {
            db.put(&[number], &[number; 1000]).unwrap();
        });
        let expected = entries(&db);
        drop(db);
        let larger = || options(&env).write_buffer_size(buffer);
        for _ in 0..3 {
            let db = DB::open("/db", larger()).unwrap();
            assert!(entries(&db) == expected, "{buffer}");
            db.run_background_step().unwrap();
            assert!(entries(&db) == expected, "{buffer}");
        }
        let db = DB::open("/db", larger()).unwrap();
        db.put_with(b"behind", b"1", &WriteOptions::synced())
            .unwrap();
        assert_eq!(entries(&open(&env.power_cut(0))).len(), expected.len() + 1);
        drop(db);
        let db = DB::open("/db", larger()).unwrap();
        assert_eq!(entries(&db).len(), expected.len() + 1);
        assert_eq!(db.verify().unwrap().damaged_places, 0);
    }
}

/// CHAIN-8.
#[test]
fn a_log_that_the_manifest_let_go_before_it_was_flushed_is_missed() {
    let env = MemEnv::new();
    let (db, logs) = three_logs(&env, |db, number| {
        db.put(&[number], &[number; 1000]).unwrap();
    });
    let edit = VersionEdit::of_log(logs[2].0);
    db.rooms()
        .tree
        .install(edit, Sum::default(), |_| {})
        .unwrap();
    let killed = env.process_crash();
    let error = DB::open("/db", options(&killed)).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corruption);
    let text = error.to_string();
    let what = format!("{} writes came before it", logs[2].1 - 1);
    assert!(
        text.contains(&what) && text.contains(&format!("{}", logs[2].0)),
        "{text}"
    );
}

/// CHAIN-9. The first logs of two databases have the same number. Without an id, each database would take the other's
/// log for its own.
#[test]
fn a_log_of_another_database_under_an_old_name_is_reported() {
    let env = MemEnv::new();
    let read = |path: &Path| {
        let file = env.open_read(path).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(0, &mut bytes).unwrap();
        bytes
    };
    let mut logs = Vec::new();
    for dir in ["/ours", "/theirs"] {
        let db = DB::open(dir, options(&env)).unwrap();
        db.put(b"key", dir.as_bytes()).unwrap();
        let number = present_log(&db).0;
        logs.push((number, log_path(Path::new(dir), number)));
    }
    assert_eq!(logs[0].0, logs[1].0);
    let (ours, theirs) = (read(&logs[0].1), read(&logs[1].1));
    assert_ne!(ours[12..16], [0; 4], "a log names its database");
    let overwrite = |bytes: &[u8]| {
        let file = env.open_write(&logs[0].1).unwrap();
        file.write_at(0, bytes).unwrap();
    };
    overwrite(&theirs);
    let error = DB::open("/ours", options(&env)).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corruption);
    assert!(error.message().contains("another database"), "{error}");
    let report = DB::repair("/ours", "/repaired", &options(&env)).unwrap();
    assert!(
        report.lost[0].message.contains("another database"),
        "{report:?}"
    );
    let repaired = DB::open("/repaired", options(&env)).unwrap();
    assert_eq!(repaired.get(b"key").unwrap(), None);

    overwrite(&ours);
    let db = DB::open("/ours", options(&env)).unwrap();
    assert_eq!(db.get(b"key").unwrap().unwrap(), b"/ours");
    assert!(db.verify().unwrap().is_ok());
    let (number, present) = (
        present_log(&db).0,
        log_path(Path::new("/ours"), present_log(&db).0),
    );
    let other = DB::open("/theirs", options(&env)).unwrap();
    assert_eq!(present_log(&other).0, number);
    let theirs = read(&log_path(Path::new("/theirs"), number));
    env.open_write(&present)
        .unwrap()
        .write_at(0, &theirs)
        .unwrap();
    let report = db.verify().unwrap();
    assert!(
        report.damage[0].message.contains("another database"),
        "{report:?}"
    );
}

/// A flush could not release the log (FLUSH-2), and then the log lost its end with the power. Opening knows that this
/// is not damage, but `verify` used to report damage in a read-only database, which begins no new log.
#[test]
fn a_log_that_lost_what_tables_have_is_no_damage_to_verify_either() {
    let env = MemEnv::new();
    let db = open(&env);
    db.put(b"key", b"in a table").unwrap();
    db.flush().unwrap();
    let number = present_log(&db).0;
    drop(db);
    let dir = Path::new("/db");
    env.remove_file(&log_path(dir, number)).unwrap();
    // The log has no record: all that it had are gone.
    wal::Writer::create(&env, dir, number, 1, wal::Predecessor::default(), 0).unwrap();
    let db = DB::open(dir, options(&env).read_only(true)).unwrap();
    let report = db.verify().unwrap();
    assert!(report.is_ok() && report.logs == 1, "{report:?}");
}
