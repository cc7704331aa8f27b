//! The behaviour of every environment: the system's, the one in memory, and those that wrap another.

use crate::sync::atomic::{AtomicU32, Ordering};

use super::names::{DirSyncs, Names};
use super::reserve::{Reserve, ReservingEnv, Share};
use super::test_dir::TestDir;
use super::*;
use crate::error::ErrorKind;

const PIECE: u64 = 16 << 10;

/// An environment that draws on a reserve, around another one.
fn reserving(inner: Arc<dyn Env>, dir: &Path) -> ReservingEnv {
    let reserve = Reserve::open(Arc::clone(&inner), dir.join("RESERVE"), PIECE).unwrap();
    ReservingEnv::new(inner, reserve, Share::All, Arc::new(DirSyncs::default()))
}

/// Runs `check` with every environment, and a directory of its own that exists.
fn in_each(check: impl Fn(&dyn Env, &Path)) {
    let system = TestDir::new();
    check(&OsEnv::new(), system.path());
    let dir = Path::new("/db");
    let memory = || {
        let memory = MemEnv::new();
        memory.create_dir_all(dir).unwrap();
        Arc::new(memory)
    };
    check(&*memory(), dir);
    check(&FaultEnv::new(memory(), 1), dir);
    check(&reserving(memory(), dir), dir);
}

fn names_in(env: &dyn Env, dir: &Path) -> Vec<String> {
    let mut names = env.list(dir).unwrap();
    names.sort();
    names
}

#[test]
fn a_file_has_the_bytes_and_the_length_that_it_was_given() {
    in_each(|env, dir| {
        let path = dir.join("file");
        let file = env.create_new(&path).unwrap();
        assert!(env.create_new(&path).is_err());
        assert!(file.is_empty().unwrap());
        file.write_at(2, b"abc").unwrap();
        file.write_if_room(5, b"de", EngineOnly).unwrap();
        assert!(!file.is_empty().unwrap());
        assert_eq!(file.len().unwrap(), 7);
        let read = |from: u64| {
            let mut buffer = [0xff; 16];
            let length = env
                .open_read(&path)
                .unwrap()
                .read_at(from, &mut buffer)
                .unwrap();
            buffer[..length].to_vec()
        };
        assert_eq!(read(0), b"\0\0abcde");
        assert_eq!(read(6), b"e");
        assert_eq!(read(7), b"");
        file.set_len(3).unwrap();
        assert_eq!((file.len().unwrap(), read(0)), (3, b"\0\0a".to_vec()));
        // Allocating space adds zeros, and never shortens the file.
        for (length, expected) in [(2, 3), (3, 3), (9, 9)] {
            file.allocate(length).unwrap();
            assert_eq!(file.len().unwrap(), expected);
        }
        assert_eq!(read(0), b"\0\0a\0\0\0\0\0\0");
        file.sync().unwrap();
        file.start_writeback(0, 9);
        env.open_write(&path).unwrap().write_at(0, b"z").unwrap();
        assert_eq!(read(0)[0], b'z');
        assert_eq!(env.kind(&path).unwrap(), PathKind::File(9));
    });
}

#[test]
fn names_come_move_and_go() {
    in_each(|env, dir| {
        let before = names_in(env, dir);
        let path = |name: &str| dir.join(name);
        env.create_new(&path("a"))
            .unwrap()
            .write_at(0, b"1")
            .unwrap();
        env.rename(&path("a"), &path("b")).unwrap();
        env.hard_link(&path("b"), &path("c")).unwrap();
        let with = |names: &[&str]| {
            let mut all = before.clone();
            all.extend(names.iter().map(|name| (*name).to_owned()));
            all.sort();
            all
        };
        assert_eq!(names_in(env, dir), with(&["b", "c"]));
        assert!(env.rename(&path("a"), &path("d")).is_err());
        assert!(env.hard_link(&path("a"), &path("d")).is_err());
        env.open_write(&path("c"))
            .unwrap()
            .write_at(0, b"2")
            .unwrap();
        let mut byte = [0];
        env.open_read(&path("b"))
            .unwrap()
            .read_at(0, &mut byte)
            .unwrap();
        assert_eq!(byte, *b"2");
        env.sync_dir(dir).unwrap();
        env.remove_file(&path("b")).unwrap();
        assert!(env.remove_file(&path("b")).is_err());
        assert_eq!(env.kind(&path("b")).unwrap(), PathKind::Missing);
        assert_eq!(names_in(env, dir), with(&["c"]));
        let inner = path("inner");
        env.create_dir_all(&inner.join("deep")).unwrap();
        assert_eq!(env.kind(&inner).unwrap(), PathKind::Directory);
        // A directory that is not empty is not removed.
        assert!(env.remove_dir(&inner).is_err());
        env.remove_dir(&inner.join("deep")).unwrap();
        env.create_new(&inner.join("file")).unwrap();
        assert!(env.remove_dir(&inner).is_err());
        env.remove_file(&inner.join("file")).unwrap();
        env.remove_dir(&inner).unwrap();
        assert_eq!(env.kind(&inner).unwrap(), PathKind::Missing);
        assert!(env.canonical(&inner).is_err());
        assert!(env.canonical(dir).is_ok());
    });
}

#[test]
fn a_directory_takes_the_place_of_an_empty_one_and_of_nothing_else() {
    in_each(|env, dir| {
        let path = |name: &str| dir.join(name);
        for name in ["moved", "empty", "with-a-file", "with-a-directory/below"] {
            env.create_dir_all(&path(name)).unwrap();
        }
        for name in ["moved/file", "with-a-file/file", "a-file"] {
            env.create_new(&path(name)).unwrap();
        }
        for name in ["with-a-file", "with-a-directory", "a-file"] {
            assert!(env.rename(&path("moved"), &path(name)).is_err(), "{name}");
            let kind = env.kind(&path("moved/file")).unwrap();
            assert_eq!(kind, PathKind::File(0), "{name}");
        }
        for name in ["empty", "missing"] {
            let from = if name == "empty" { "moved" } else { "empty" };
            env.rename(&path(from), &path(name)).unwrap();
            assert_eq!(env.kind(&path(from)).unwrap(), PathKind::Missing);
            let kind = env.kind(&path(name).join("file")).unwrap();
            assert_eq!(kind, PathKind::File(0));
        }
    });
}

#[test]
fn a_file_may_be_as_long_as_the_environment_behind_says_and_in_memory_as_anybody_likes() {
    let memory = || Arc::new(MemEnv::new());
    assert_eq!(memory().largest_file(), u64::MAX);
    assert_eq!(FaultEnv::new(memory(), 1).largest_file(), u64::MAX);
    let reserving = reserving(memory(), Path::new("/"));
    assert_eq!(reserving.largest_file(), u64::MAX);
}

#[test]
fn what_is_asked_of_the_machine_is_answered() {
    in_each(|env, dir| {
        assert!(env.largest_file() > 1 << 20);
        assert!(env.free_space(dir).unwrap() > 1 << 20);
        assert!(env.open_file_limit() >= 16);
        let numbers: Vec<u64> = (0..4).map(|_| env.random().unwrap()).collect();
        for (place, number) in numbers.iter().enumerate() {
            assert!(
                *number > 1 << 20 && !numbers[..place].contains(number),
                "{numbers:?}"
            );
        }
        // The wall clock is after 2020.
        assert!(env.wall_micros() > 1_577_836_800_000_000);
        let first = env.now_micros();
        while env.now_micros() <= first + 1 {}
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let done = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&done);
        let work = move || {
            receiver.recv().unwrap();
            for _ in 0..1000 {
                crate::sync::yield_now();
            }
            count.store(7, Ordering::SeqCst);
        };
        let thread = env.spawn("aidb-test", Box::new(work)).unwrap();
        sender.send(()).unwrap();
        thread.join();
        assert_eq!(done.load(Ordering::SeqCst), 7, "a join waits");
    });
}

#[test]
fn a_lock_is_for_one_or_for_readers_until_the_last_of_them_goes() {
    in_each(|env, dir| {
        let lock = |exclusive| env.lock(dir, exclusive, Duration::ZERO);
        let refused = |exclusive| match lock(exclusive) {
            Ok(_) => panic!("it is held"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Locked, "{error}"),
        };
        let one = lock(true).unwrap();
        assert!(one.is_held());
        refused(true);
        refused(false);
        drop(one);
        let readers: Vec<_> = (0..3).map(|_| lock(false).unwrap()).collect();
        for reader in readers {
            refused(true);
            drop(reader);
        }
        drop(lock(true).unwrap());
    });
}

#[test]
fn a_rename_into_another_directory_is_refused_in_memory() {
    let env = MemEnv::new();
    for dir in ["/a", "/b"] {
        env.create_dir_all(Path::new(dir)).unwrap();
    }
    env.create_new(Path::new("/a/file")).unwrap();
    assert!(
        env.rename(Path::new("/a/file"), Path::new("/b/file"))
            .is_err()
    );
    assert!(
        env.rename(Path::new("/a/file"), Path::new("/a/file"))
            .is_err()
    );
    assert_eq!(names_in(&env, Path::new("/a")), ["file"]);
}

/// NAMES-1, NAMES-3.
#[test]
fn names_stay_uncertain_after_a_failed_sync_and_later_ones_are_not() {
    let dir = Path::new("/db");
    let faults = Arc::new(FaultEnv::new(Arc::new(MemEnv::new()), 1));
    faults.create_dir_all(dir).unwrap();
    let env = reserving(faults.clone(), dir);
    let names = Names::made_from_now(&env);
    assert!(!names.are_uncertain(&env));
    names.sync(&env, dir).unwrap();
    faults.inject(Fault::new(&[Call::SyncDir], libc::EIO));
    names.sync(&env, dir).unwrap_err();
    assert_eq!(env.failed_dir_syncs(EngineOnly), 1);
    assert!(names.are_uncertain(&env));
    // The sync itself succeeds now.
    let error = names.sync(&env, dir).unwrap_err();
    assert_eq!(
        error.to_string(),
        env.dir_sync_failure(EngineOnly).unwrap().to_string()
    );
    Names::made_from_now(&env).sync(&env, dir).unwrap();
}

#[test]
fn a_reserve_takes_exactly_what_there_is_and_of_less_a_half_or_a_quarter() {
    let dir = Path::new("/db");
    // (bytes on the disk, bytes said to be free, requested bytes, bytes then held, whether that is an error)
    for (quota, free, target, held, is_refused) in [
        (8, 8, 8, 8 * PIECE, false),
        (8, 7, 8, 0, true),
        (5, 5, 8, 5 * PIECE, true),
        (3, 5, 8, 5 * PIECE / 2, true),
        (2, 5, 8, 5 * PIECE / 4, true),
    ] {
        let env = MemEnv::new();
        env.create_dir_all(dir).unwrap();
        let memory: Arc<dyn Env> = Arc::new(env.clone());
        let reserve = Reserve::open(memory, dir.join("RESERVE"), PIECE).unwrap();
        assert_eq!(reserve.piece(), PIECE);
        env.set_quota(Some(quota * PIECE));
        let or_less = target != free + 1;
        let outcome = reserve.hold(target * PIECE, free * PIECE, or_less);
        let label = format!("{target} of {free}, {quota} are there");
        assert_eq!(outcome.is_err(), is_refused, "{label}");
        assert_eq!(reserve.bytes(), held, "{label}");
        assert_eq!(reserve.is_whole(), !is_refused, "{label}");
    }
}

#[test]
fn less_than_a_block_is_not_worth_setting_aside() {
    let env: Arc<dyn Env> = Arc::new(MemEnv::new());
    let held = |free: u64| {
        let path = Path::new("/").join(format!("RESERVE-{free}"));
        let reserve = Reserve::open(Arc::clone(&env), path, PIECE).unwrap();
        reserve.hold(PIECE, free, true).unwrap_err();
        reserve.bytes()
    };
    assert_eq!((held(4095), held(4096)), (0, 4096));
}

#[test]
fn the_host_has_the_name_that_the_system_says() {
    if let Ok(name) = std::fs::read_to_string("/proc/sys/kernel/hostname") {
        assert_eq!(unix::host_name(), name.trim_end());
    }
}

#[test]
fn a_sync_reaches_the_disk_through_a_reserve() {
    let dir = Path::new("/db");
    let disk = Arc::new(FaultEnv::new(Arc::new(MemEnv::new()), 1));
    disk.create_dir_all(dir).unwrap();
    let file = reserving(disk.clone(), dir)
        .create_new(&dir.join("file"))
        .unwrap();
    let before = disk.count(Call::Sync);
    file.sync().unwrap();
    assert_eq!(disk.count(Call::Sync), before + 1);
    disk.inject(Fault::new(&[Call::Sync], libc::EIO));
    assert_eq!(file.sync().unwrap_err().kind(), ErrorKind::Io);
}
