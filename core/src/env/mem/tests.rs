//! What files in memory are like, and what every power loss keeps or may lose of them.

use std::collections::BTreeSet;

use super::*;
use crate::sync::atomic::AtomicBool;

fn read(env: &MemEnv, path: &str) -> Option<Vec<u8>> {
    let PathKind::File(length) = env.kind(Path::new(path)).unwrap() else {
        return None;
    };
    let mut bytes = vec![0; length as usize];
    let file = env.open_read(Path::new(path)).unwrap();
    assert_eq!(file.read_at(0, &mut bytes).unwrap(), bytes.len());
    Some(bytes)
}

#[test]
fn files_behave_like_files() {
    let env = MemEnv::new();
    assert!(env.create_new(Path::new("/db/a")).is_err());
    env.create_dir_all(Path::new("/db/sub")).unwrap();
    let file = env.create_new(Path::new("/db/a")).unwrap();
    assert!(env.create_new(Path::new("/db/./a")).is_err());
    file.write_at(2, b"xyz").unwrap();
    file.write_at(0, b"ab").unwrap();
    assert_eq!(read(&env, "/db/a").unwrap(), b"abxyz");
    file.set_len(7).unwrap();
    assert_eq!(file.len().unwrap(), 7);
    assert!(file.set_len(u64::MAX).is_err());
    env.hard_link(Path::new("/db/a"), Path::new("/db/b"))
        .unwrap();
    env.rename(Path::new("/db/a"), Path::new("/db/c")).unwrap();
    assert_eq!(env.list(Path::new("db")).unwrap(), ["b", "c", "sub"]);
    assert!(env.remove_dir(Path::new("/db")).is_err());
    env.remove_file(Path::new("/db/b")).unwrap();
    assert!(env.remove_file(Path::new("/db/b")).is_err());
    env.remove_file(Path::new("/db/c")).unwrap();
    env.remove_dir(Path::new("/db/sub")).unwrap();
    env.remove_dir(Path::new("/db")).unwrap();
    assert_eq!(env.kind(Path::new("/db")).unwrap(), PathKind::Missing);
    assert!(env.open_read(Path::new("/")).is_err());
}

/// MEM-1, CUT-1.
#[test]
fn what_was_synced_survives_every_power_cut() {
    let env = MemEnv::new();
    let file = env.create_new(Path::new("/a")).unwrap();
    file.write_at(0, &[7; 2000]).unwrap();
    file.sync().unwrap();
    env.sync_dir(Path::new("/")).unwrap();
    file.write_at(2000, &[8; 2000]).unwrap();
    for seed in 0..200 {
        let bytes = read(&env.power_cut(seed), "/a").expect("the name was synced");
        assert_eq!(bytes[..2000], [7; 2000], "seed {seed}");
    }
    assert_eq!(read(&env, "/a").unwrap().len(), 4000);
}

#[test]
fn random_numbers_behind_cuts_of_one_seed_are_not_drawn_again() {
    let mut env = MemEnv::new();
    let mut drawn = BTreeSet::new();
    for cut in 0..64 {
        for _ in 0..16 {
            assert!(drawn.insert(env.random().unwrap()), "before cut {cut}");
        }
        env = match cut % 4 {
            3 => env.process_crash(),
            _ => env.power_cut(7),
        };
    }
}

/// MEM-2.
#[test]
fn what_was_not_synced_meets_every_fate() {
    let env = MemEnv::new();
    let file = env.create_new(Path::new("/a")).unwrap();
    env.sync_dir(Path::new("/")).unwrap();
    file.write_at(0, &[1; 1024]).unwrap();
    file.write_at(1024, &[2; 1024]).unwrap();
    let outcomes: BTreeSet<Vec<u8>> = (0..500)
        .map(|seed| {
            let mut bytes = read(&env.power_cut(seed), "/a").unwrap();
            bytes.dedup();
            bytes
        })
        .collect();
    for expected in [&b""[..], &[1], &[1, 2], &[0, 2], &[0], &[0, 1]] {
        assert!(outcomes.contains(expected), "{expected:?}");
    }
}

#[test]
fn each_page_is_written_back_up_to_a_moment_of_its_own() {
    let env = MemEnv::new();
    let path = Path::new("/a");
    let file = env.create_new(path).unwrap();
    env.sync_dir(Path::new("/")).unwrap();
    file.write_at(0, &[1; 3 * 4096]).unwrap();
    file.sync().unwrap();
    for value in [2, 3] {
        file.write_at(1000, &[value; 2 * 4096]).unwrap();
    }
    let mut met = BTreeSet::new();
    let mut effects = BTreeSet::new();
    for seed in 0..200 {
        let cut = PowerCut {
            bytes: Some(PowerLoss::Writeback),
            names: None,
            seed,
        };
        let after = env.power_cut_as(cut, &mut effects);
        let mut bytes = vec![0; 3 * 4096];
        let file = after.open_read(path).unwrap();
        assert_eq!(file.read_at(0, &mut bytes).unwrap(), bytes.len());
        let pages = [1000..4096, 4096..8192, 8192..9192].map(|page| {
            let values: BTreeSet<u8> = bytes[page].iter().copied().collect();
            assert_eq!(values.len(), 1, "a page has the writes up to one moment");
            values.into_iter().next().unwrap()
        });
        assert!(
            bytes[..1000]
                .iter()
                .chain(&bytes[9192..])
                .all(|&byte| byte == 1)
        );
        met.insert(pages);
    }
    assert_eq!(met.len(), 27, "each page has its own moment");
    assert!(effects.contains(&Effect::PagesApart));
}

#[test]
fn names_that_were_not_synced_come_and_go_but_a_rename_is_whole() {
    let env = MemEnv::new();
    env.create_new(Path::new("/old")).unwrap();
    env.sync_dir(Path::new("/")).unwrap();
    let file = env.create_new(Path::new("/new")).unwrap();
    file.write_at(0, b"n").unwrap();
    file.sync().unwrap();
    env.rename(Path::new("/new"), Path::new("/old")).unwrap();
    let mut outcomes = BTreeSet::new();
    for seed in 0..200 {
        let after = env.power_cut(seed);
        let old = read(&after, "/old").expect("a rename never leaves nothing");
        outcomes.insert((old, after.list(Path::new("/")).unwrap().len()));
    }
    let expected = [(vec![], 1), (vec![], 2), (b"n".to_vec(), 1)];
    assert_eq!(outcomes, BTreeSet::from(expected));
}

#[test]
fn a_directory_that_was_not_synced_may_go_with_all_that_is_in_it() {
    let env = MemEnv::new();
    env.create_dir_all(Path::new("/home")).unwrap();
    let db = Path::new("/home/db");
    env.leave_unsynced(db).unwrap();
    env.create_dir_all(Path::new("/home/other")).unwrap();
    env.leave_unsynced(db).unwrap();
    env.create_new(Path::new("/home/db/a")).unwrap();
    env.sync_dir(db).unwrap();
    let outcomes = |env: &MemEnv| -> BTreeSet<bool> {
        let cuts = (0..200).map(|seed| env.power_cut(seed));
        cuts.map(|after| after.kind(db).unwrap() == PathKind::Directory)
            .collect()
    };
    assert_eq!(outcomes(&env), BTreeSet::from([false, true]));
    assert_eq!(
        outcomes(&env.process_crash()),
        BTreeSet::from([false, true])
    );
    env.create_dir_all(db).unwrap();
    assert_eq!(outcomes(&env), BTreeSet::from([true]));
    env.leave_unsynced(db).unwrap();
    env.sync_dir(Path::new("/home")).unwrap();
    assert_eq!(outcomes(&env), BTreeSet::from([true]));
}

/// MEM-4, CUT-4.
#[test]
fn the_same_seed_gives_the_same_cut() {
    let env = MemEnv::new();
    for name in ["/a", "/b", "/c"] {
        let file = env.create_new(Path::new(name)).unwrap();
        file.write_at(0, name.repeat(2000).as_bytes()).unwrap();
    }
    for seed in 0..50 {
        let (one, two) = (env.power_cut(seed), env.power_cut(seed));
        for name in ["/a", "/b", "/c"] {
            assert_eq!(read(&one, name), read(&two, name), "seed {seed}");
        }
    }
}

/// MEM-3. Fails if a cut sees a later state of one file than of another.
#[test]
fn a_cut_sees_every_file_at_the_same_moment_while_another_thread_writes() {
    let env = MemEnv::new();
    let create = |name: &str| env.create_new(Path::new(name)).unwrap();
    // A cut looks at the files in the order of their names, and takes some time between the first and the last.
    let [first, last] = ["/a", "/z"].map(create);
    for number in 0..200 {
        create(&format!("/between{number}"));
    }
    let cut = PowerCut {
        bytes: Some(PowerLoss::Nothing),
        names: Some(PowerLoss::Nothing),
        seed: 1,
    };
    let number = |env: &MemEnv, name: &str| match &read(env, name).unwrap()[..] {
        [] => 0,
        bytes => u64::from_le_bytes(bytes.try_into().unwrap()),
    };
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let rounds = (1u64..).take_while(|_| !is_over.load(Ordering::Relaxed));
            for round in rounds {
                for file in [&first, &last] {
                    file.write_at(0, &round.to_le_bytes()).unwrap();
                    file.sync().unwrap();
                }
            }
        });
        while number(&env, "/a") == 0 {
            std::thread::yield_now();
        }
        let torn = (0..500).find_map(|_| {
            let after = env.power_cut_as(cut, &mut BTreeSet::new());
            let (first, last) = (number(&after, "/a"), number(&after, "/z"));
            (first != last && first != last + 1).then_some((first, last))
        });
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(torn, None);
    });
}
