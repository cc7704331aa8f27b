//! Exactly what each kind of loss leaves: of bytes, of names and of directories.

use std::path::Path;

use super::*;
use crate::env::{EngineOnly, Env, File, PathKind};

const PATH: &str = "/file";

/// An environment with one empty file, whose name is durable.
fn with_file() -> (MemEnv, Arc<dyn File>) {
    let env = MemEnv::new();
    let file = env.create_new(Path::new(PATH)).unwrap();
    env.sync_dir(Path::new("/")).unwrap();
    (env, file)
}

fn content(env: &MemEnv) -> Vec<u8> {
    let file = env.open_read(Path::new(PATH)).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    bytes
}

/// The possible contents of the file after many cuts of one kind, and the effects of the cuts.
fn outcomes(env: &MemEnv, loss: PowerLoss) -> (BTreeSet<Vec<u8>>, BTreeSet<Effect>) {
    let mut effects = BTreeSet::new();
    let left = (0..200).map(|seed| {
        let cut = PowerCut {
            bytes: Some(loss),
            names: None,
            seed,
        };
        content(&env.power_cut_as(cut, &mut effects))
    });
    (left.collect(), effects)
}

fn set<const COUNT: usize>(left: [&[u8]; COUNT]) -> BTreeSet<Vec<u8>> {
    left.into_iter().map(<[u8]>::to_vec).collect()
}

/// CUT-2.
#[test]
fn each_loss_leaves_the_writes_that_it_says() {
    let (env, file) = with_file();
    for (offset, byte) in [(0, b"a"), (1, b"b"), (2, b"c")] {
        file.write_at(offset, byte).unwrap();
    }
    let beginnings = set([b"", b"a", b"ab", b"abc"]);
    let (left, effects) = outcomes(&env, PowerLoss::Nothing);
    assert_eq!((left, effects), (set([b"abc"]), BTreeSet::new()));
    let (left, effects) = outcomes(&env, PowerLoss::Everything);
    assert_eq!(left, set([b""]));
    assert_eq!(effects, [Effect::WriteDropped].into());
    let (left, effects) = outcomes(&env, PowerLoss::Tail);
    assert_eq!(left, beginnings);
    assert_eq!(effects, [Effect::WriteDropped].into());
    let (left, effects) = outcomes(&env, PowerLoss::Any);
    let any: [&[u8]; 8] = [b"", b"a", b"ab", b"abc", b"\0b", b"\0bc", b"\0\0c", b"a\0c"];
    assert_eq!(left, set(any));
    assert_eq!(
        effects,
        [Effect::WriteDropped, Effect::WriteReordered].into()
    );
}

#[test]
fn of_the_first_write_that_is_lost_some_sectors_or_pages_arrive() {
    for (loss, unit, torn) in [
        (PowerLoss::Sectors, SECTOR_BYTES, Effect::SectorTorn),
        (PowerLoss::Pages, PAGE_BYTES, Effect::PageTorn),
    ] {
        let (env, file) = with_file();
        let unit = unit as usize;
        file.write_at(0, &vec![1; 2 * unit]).unwrap();
        let (left, effects) = outcomes(&env, loss);
        let both = vec![1; 2 * unit];
        let second = [vec![0; unit], vec![1; unit]].concat();
        let expected = set([b"", &both[..unit], &second, &both]);
        assert!(left == expected, "{loss:?}");
        assert_eq!(effects, [Effect::WriteDropped, torn].into());
        // A write in one piece cannot be torn, and no write after the first lost one arrives.
        let (env, file) = with_file();
        for offset in 0..3 {
            file.write_at(offset, b"x").unwrap();
        }
        let (left, effects) = outcomes(&env, loss);
        assert_eq!(left, set([b"", b"x", b"xx", b"xxx"]));
        assert_eq!(effects, [Effect::WriteDropped].into());
    }
}

#[test]
fn a_file_gets_longer_without_its_bytes_by_any_part_of_what_it_lacks() {
    for (loss, effect) in [
        (PowerLoss::Zeros, Effect::ZeroTail),
        (PowerLoss::Garbage, Effect::GarbageTail),
    ] {
        let (env, file) = with_file();
        file.write_at(0, b"kept").unwrap();
        file.sync().unwrap();
        file.write_at(4, b"xyz").unwrap();
        let (left, effects) = outcomes(&env, loss);
        let lengths: BTreeSet<usize> = left.iter().map(Vec::len).collect();
        assert_eq!(lengths, [5, 6, 7].into());
        assert!(left.iter().all(|bytes| bytes.starts_with(b"kept")));
        assert!(effects.contains(&effect));
    }
}

#[test]
fn a_page_that_is_written_back_has_all_writes_up_to_its_moment() {
    let (env, file) = with_file();
    for (offset, byte) in [(0, b"a"), (1, b"b"), (2, b"c")] {
        file.write_at(offset, byte).unwrap();
    }
    let (left, effects) = outcomes(&env, PowerLoss::Writeback);
    assert_eq!(left, set([b"", b"a", b"ab", b"abc"]));
    // With one page there is no other page to differ from.
    assert!(!effects.contains(&Effect::PagesApart));
}

#[test]
fn a_change_of_length_is_written_back_or_not() {
    let (env, file) = with_file();
    file.write_at(0, b"abc").unwrap();
    file.sync().unwrap();
    file.set_len(1).unwrap();
    let (left, _) = outcomes(&env, PowerLoss::Writeback);
    assert_eq!(left, set([b"a", b"abc"]));
}

/// CUT-3.
#[test]
fn what_a_failed_sync_was_for_arrives_page_by_page_unless_everything_is_lost_or_nothing() {
    let (env, file) = with_file();
    let page = PAGE_BYTES as usize;
    let both = vec![1; 2 * page];
    file.write_at(0, &both).unwrap();
    file.forget_unsynced(EngineOnly);
    file.sync().unwrap();
    let second = [vec![0; page], vec![1; page]].concat();
    let (left, _) = outcomes(&env, PowerLoss::Tail);
    assert!(left == set([b"", &both[..page], &second, &both]));
    assert!(outcomes(&env, PowerLoss::Everything).0 == set([b""]));
    assert!(outcomes(&env, PowerLoss::Nothing).0 == set([&both]));
}

/// Losses of power that differ only in their seeds.
fn cuts_of_names(names: PowerLoss) -> impl Iterator<Item = PowerCut> {
    (0..40).map(move |seed| PowerCut {
        bytes: None,
        names: Some(names),
        seed,
    })
}

#[test]
fn a_directory_that_was_not_synced_goes_if_everything_is_lost_and_stays_if_nothing_is() {
    let env = MemEnv::new();
    let dir = Path::new("/db");
    env.leave_unsynced(dir).unwrap();
    let stays = |names: PowerLoss| {
        let kinds = cuts_of_names(names).map(|cut| {
            let after = env.power_cut_as(cut, &mut BTreeSet::new());
            after.kind(dir).unwrap() == PathKind::Directory
        });
        kinds.collect::<BTreeSet<bool>>()
    };
    assert_eq!(stays(PowerLoss::Nothing), [true].into());
    assert_eq!(stays(PowerLoss::Everything), [false].into());
    assert_eq!(stays(PowerLoss::Tail), [false, true].into());
}

#[test]
fn a_renamed_directory_is_back_if_everything_is_lost_and_stays_if_nothing_is() {
    let env = MemEnv::new();
    let (old, new) = (Path::new("/old"), Path::new("/new"));
    env.create_dir_all(old).unwrap();
    env.rename(old, new).unwrap();
    let is_back = |names: PowerLoss| {
        let kinds = cuts_of_names(names).map(|cut| {
            let after = env.power_cut_as(cut, &mut BTreeSet::new());
            let places = [old, new].map(|path| after.kind(path).unwrap());
            assert!(places.contains(&PathKind::Missing));
            places[0] == PathKind::Directory
        });
        kinds.collect::<BTreeSet<bool>>()
    };
    assert_eq!(is_back(PowerLoss::Nothing), [false].into());
    assert_eq!(is_back(PowerLoss::Everything), [true].into());
    assert_eq!(is_back(PowerLoss::Tail), [false, true].into());
}

#[test]
fn what_a_crash_left_does_not_change_with_the_files_that_live_on() {
    let env = MemEnv::new();
    let file = env.create_new(Path::new(PATH)).unwrap();
    file.write_at(0, b"before").unwrap();
    let crashed = env.process_crash();
    file.write_at(0, b"behind").unwrap();
    file.sync().unwrap();
    assert_eq!(content(&crashed), b"before");
    // Also if the name was not durable yet.
    let cut = PowerCut {
        bytes: Some(PowerLoss::Nothing),
        names: Some(PowerLoss::Nothing),
        seed: 0,
    };
    let after = crashed.power_cut_as(cut, &mut BTreeSet::new());
    assert_eq!(content(&after), b"before");
}
