//! The result of a power loss on files in memory.
//!
//! * CUT-1  Synced changes are kept (MEM-1).
//! * CUT-2  Unsynced changes are subject to the [`PowerLoss`] that the caller chose; a rename happens completely or
//!          not at all.
//! * CUT-3  Changes whose sync failed arrive or not, page by page, decided anew at each cut (HISTORY-1 of
//!          `history.rs`).
//! * CUT-4  The same history, loss and seed give the same state.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::MemEnv;
use super::directory::{Directory, NameChange, Names};
use super::disk::Directories;
use super::file::{ByteChange, FileContent, MemFile, write};
use super::history::{Change, Fate};
use crate::env::dice::Dice;
use crate::sync::Arc;
use crate::sync::atomic::Ordering;

const SECTOR_BYTES: u64 = 512;
const PAGE_BYTES: u64 = 4096;

/// What happens to the unsynced changes of one file, or of one directory's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum PowerLoss {
    /// All arrive.
    Nothing,
    /// None arrives.
    Everything,
    /// The first ones arrive.
    Tail,
    /// For each it is random whether it arrives, so later ones may arrive without earlier ones.
    Any,
    /// The first ones arrive; of the next write, some sectors of 512 bytes. Names: as `Tail`.
    Sectors,
    /// The first ones arrive; of the next write, some pages of 4096 bytes. Names: as `Any`.
    Pages,
    /// Each page of 4096 bytes has the writes up to a moment of its own, as the kernel writes them back. Names: as
    /// `Any`.
    Writeback,
    /// The first ones arrive; of later ones the length, with zeros instead of the bytes. Names: as `Tail`.
    Zeros,
    /// The first ones arrive; of later ones the length, with garbage instead of the bytes. Names: as `Any`.
    Garbage,
}

impl PowerLoss {
    /// Every kind.
    pub const ALL: [PowerLoss; 9] = [
        PowerLoss::Nothing,
        PowerLoss::Everything,
        PowerLoss::Tail,
        PowerLoss::Any,
        PowerLoss::Sectors,
        PowerLoss::Pages,
        PowerLoss::Writeback,
        PowerLoss::Zeros,
        PowerLoss::Garbage,
    ];
}

/// The effects of a power cut, so that a test can check that it covered every kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// A write, or a change of length, did not arrive.
    WriteDropped,
    /// A write arrived, but an earlier one of the same file did not.
    WriteReordered,
    /// A write arrived in part, in sectors of 512 bytes.
    SectorTorn,
    /// A write arrived in part, in pages of 4096 bytes.
    PageTorn,
    /// A page has a write, but another page of the same file lacks an earlier write or a part of the same one.
    PagesApart,
    /// A file got longer without its bytes, which are zeros.
    ZeroTail,
    /// A file got longer without its bytes, which are garbage.
    GarbageTail,
    /// A created name is missing.
    CreateDropped,
    /// A rename has not happened.
    RenameDropped,
    /// A removed name is there again.
    UnlinkDropped,
    /// A change of a name arrived, but an earlier one in its directory did not.
    NameReordered,
    /// A directory with an unsynced entry is gone, with everything in it.
    DirectoryDropped,
}

impl Effect {
    /// Every effect.
    pub const ALL: [Effect; 12] = [
        Effect::WriteDropped,
        Effect::WriteReordered,
        Effect::SectorTorn,
        Effect::PageTorn,
        Effect::PagesApart,
        Effect::ZeroTail,
        Effect::GarbageTail,
        Effect::CreateDropped,
        Effect::RenameDropped,
        Effect::UnlinkDropped,
        Effect::NameReordered,
        Effect::DirectoryDropped,
    ];
}

/// One way to lose power: what happens to bytes and to names. With `None` that is random for each file and directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PowerCut {
    /// The fate of files' bytes.
    pub bytes: Option<PowerLoss>,
    /// The fate of directories' names.
    pub names: Option<PowerLoss>,
    /// Decides what is random.
    pub seed: u64,
}

/// Which of `count` changes arrive: the first `kept`, or any.
struct Arrivals {
    kept: usize,
    any: bool,
}

impl Arrivals {
    fn throw(loss: PowerLoss, count: usize, dice: &mut Dice) -> Arrivals {
        let kept = match loss {
            PowerLoss::Nothing => count,
            PowerLoss::Everything | PowerLoss::Any => 0,
            _ => dice.below(count as u64 + 1) as usize,
        };
        debug_assert!(kept <= count, "CUT-2: what arrives was waiting");
        let any = loss == PowerLoss::Any;
        Arrivals { kept, any }
    }

    fn arrives(&self, index: usize, dice: &mut Dice) -> bool {
        index < self.kept || self.any && dice.below(2) == 0
    }
}

/// The effects that a power cut had.
type Effects = BTreeSet<Effect>;

/// Whether an uncertain change has arrived.
fn has_arrived(loss: PowerLoss, dice: &mut Dice) -> bool {
    match loss {
        PowerLoss::Nothing => true,
        PowerLoss::Everything => false,
        _ => dice.below(2) == 0,
    }
}

impl FileContent {
    /// The bytes after a power cut.
    fn after(&self, loss: PowerLoss, dice: &mut Dice, effects: &mut Effects) -> Arc<Vec<u8>> {
        if self.disk().changes().is_empty() {
            return self.disk().base().clone();
        }
        let mut bytes = self.disk().base().as_ref().clone();
        let arrivals = Arrivals::throw(loss, self.disk().waiting(), dice);
        let mut pages = Pages::new(self.disk().waiting());
        let mut dropped = false;
        let mut waiting = 0..;
        for (fate, change) in self.disk().changes() {
            let index = match fate {
                Fate::Durable => {
                    change.apply(&mut bytes);
                    continue;
                }
                Fate::Uncertain => {
                    if has_arrived(loss, dice) {
                        change.apply(&mut bytes);
                    } else if loss != PowerLoss::Everything {
                        change.tear(PAGE_BYTES, dice, &mut bytes);
                    }
                    continue;
                }
                Fate::Waiting => waiting.next().unwrap_or_default(),
            };
            if loss == PowerLoss::Writeback {
                pages.take(change, index, dice, &mut bytes);
                continue;
            }
            if arrivals.arrives(index, dice) {
                change.apply(&mut bytes);
                if dropped {
                    effects.insert(Effect::WriteReordered);
                }
                continue;
            }
            dropped = true;
            effects.insert(Effect::WriteDropped);
            let unit = match loss {
                PowerLoss::Sectors => SECTOR_BYTES,
                PowerLoss::Pages => PAGE_BYTES,
                _ => continue,
            };
            if index == arrivals.kept && change.tear(unit, dice, &mut bytes) {
                effects.insert(match loss {
                    PowerLoss::Sectors => Effect::SectorTorn,
                    _ => Effect::PageTorn,
                });
            }
        }
        debug_assert!(
            waiting.start == self.disk().waiting(),
            "CUT-2: each waiting change has its fate"
        );
        debug_assert!(
            loss != PowerLoss::Nothing || bytes.len() == self.len(),
            "CUT-2: without a loss all bytes are there"
        );
        if pages.are_apart {
            effects.insert(Effect::PagesApart);
        }
        if matches!(loss, PowerLoss::Zeros | PowerLoss::Garbage) && bytes.len() < self.len() {
            self.lengthen(loss, &mut bytes, dice, effects);
        }
        Arc::new(bytes)
    }

    /// Adds a part of the length that `bytes` lack, without the bytes that programs see there.
    fn lengthen(
        &self,
        loss: PowerLoss,
        bytes: &mut Vec<u8>,
        dice: &mut Dice,
        effects: &mut Effects,
    ) {
        let full = self.len();
        let missing = (full - bytes.len()) as u64;
        let longer = bytes.len() + 1 + dice.below(missing) as usize;
        while bytes.len() < longer {
            bytes.push(match loss {
                PowerLoss::Zeros => 0,
                _ => dice.next() as u8,
            });
        }
        debug_assert!(
            bytes.len() <= full,
            "CUT-2: no file gets longer than it was"
        );
        effects.insert(match loss {
            PowerLoss::Zeros => Effect::ZeroTail,
            _ => Effect::GarbageTail,
        });
    }
}

/// The parts of a write at `offset` in each `unit`-sized piece of the file, and where each begins.
fn pieces(offset: u64, written: &[u8], unit: u64) -> impl Iterator<Item = (u64, &[u8])> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let to_edge = (unit - at % unit) as usize;
        let piece = &written[done..written.len().min(done + to_edge)];
        done += piece.len();
        debug_assert!(
            at % unit + piece.len() as u64 <= unit,
            "CUT-2: a piece is in one sector or page"
        );
        (!piece.is_empty()).then_some((at, piece))
    })
}

/// For each page: up to which of `count` waiting changes it was written back.
struct Pages {
    count: usize,
    moments: BTreeMap<u64, usize>,
    is_lacking: bool,
    are_apart: bool,
}

impl Pages {
    fn new(count: usize) -> Pages {
        Pages {
            count,
            moments: BTreeMap::new(),
            is_lacking: false,
            are_apart: false,
        }
    }

    /// Applies those pieces of change `index` whose page was written back after it.
    fn take(&mut self, change: &ByteChange, index: usize, dice: &mut Dice, bytes: &mut Vec<u8>) {
        let mut arrives = |page: u64, dice: &mut Dice| {
            let throw = || dice.below(self.count as u64 + 1) as usize;
            let arrives = *self.moments.entry(page).or_insert_with(throw) > index;
            self.are_apart |= arrives && self.is_lacking;
            self.is_lacking |= !arrives;
            arrives
        };
        match change {
            ByteChange::Written(offset, written) => {
                for (at, piece) in pieces(*offset, written, PAGE_BYTES) {
                    if arrives(at / PAGE_BYTES, dice) {
                        write(bytes, at as usize, piece);
                    }
                }
            }
            // The length is not in a page of the file.
            _ if arrives(u64::MAX, dice) => change.apply(bytes),
            _ => {}
        }
    }
}

impl ByteChange {
    /// Writes some of the `unit`-sized pieces; returns whether it wrote some but not all.
    fn tear(&self, unit: u64, dice: &mut Dice, bytes: &mut Vec<u8>) -> bool {
        let ByteChange::Written(offset, written) = self else {
            return false;
        };
        let (mut arrived, mut lost) = (false, false);
        for (at, piece) in pieces(*offset, written, unit) {
            if dice.below(2) == 0 {
                write(bytes, at as usize, piece);
                arrived = true;
            } else {
                lost = true;
            }
        }
        arrived && lost
    }
}

impl Directory {
    /// The names after a power cut.
    fn after(&self, loss: PowerLoss, dice: &mut Dice, effects: &mut Effects) -> Names {
        let mut names = self.disk().base().as_ref().clone();
        let loss = match loss {
            PowerLoss::Pages | PowerLoss::Writeback | PowerLoss::Garbage => PowerLoss::Any,
            other => other,
        };
        let arrivals = Arrivals::throw(loss, self.disk().waiting(), dice);
        let mut dropped = false;
        let mut waiting = 0..;
        for (fate, change) in self.disk().changes() {
            let index = match fate {
                Fate::Durable => {
                    change.apply(&mut names);
                    continue;
                }
                Fate::Uncertain => {
                    if has_arrived(loss, dice) {
                        change.apply(&mut names);
                    }
                    continue;
                }
                Fate::Waiting => waiting.next().unwrap_or_default(),
            };
            if arrivals.arrives(index, dice) {
                change.apply(&mut names);
                if dropped {
                    effects.insert(Effect::NameReordered);
                }
                continue;
            }
            dropped = true;
            effects.insert(match change {
                NameChange::Added(..) => Effect::CreateDropped,
                NameChange::Removed(..) => Effect::UnlinkDropped,
                NameChange::Renamed(..) => Effect::RenameDropped,
            });
        }
        debug_assert!(
            waiting.start == self.disk().waiting(),
            "CUT-2: each waiting change has its fate"
        );
        debug_assert!(
            loss != PowerLoss::Nothing || names.keys().eq(self.names().keys()),
            "CUT-2: without a loss all names are there"
        );
        names
    }
}

impl MemEnv {
    /// A possible result of a power loss now; `seed` decides which. This environment continues unchanged.
    ///
    /// In the returned environment nothing is locked and everything is durable.
    pub fn power_cut(&self, seed: u64) -> MemEnv {
        let cut = PowerCut {
            seed,
            ..PowerCut::default()
        };
        self.power_cut_as(cut, &mut BTreeSet::new())
    }

    /// [`MemEnv::power_cut`] with chosen losses; adds its effects to `effects`.
    pub fn power_cut_as(&self, cut: PowerCut, effects: &mut Effects) -> MemEnv {
        let mut dice = Dice::new(cut.seed);
        let (env, moved_back) = self.disk.while_still(|directories| {
            let random = self.random_after(dice.next());
            let (after, moved_back) = after_cut(directories, cut, &mut dice, effects);
            (MemEnv::with(after, random), moved_back)
        });
        for (path, old) in moved_back {
            // The directory is whole, in its old place or in the new one.
            if env.disk.rename_dir(&path, &old).is_ok() {
                effects.insert(Effect::RenameDropped);
            }
        }
        env.disk.settle();
        debug_assert!(
            env.disk
                .while_still(|after| after.values().all(Directory::is_durable)),
            "MEM-1: after a cut everything is durable"
        );
        env
    }

    /// The result of a crash of every process now: all changes, of which a later power cut may still lose the
    /// unsynced ones. This environment continues unchanged.
    pub fn process_crash(&self) -> MemEnv {
        let mut files: BTreeMap<*const MemFile, Arc<MemFile>> = BTreeMap::new();
        let mut copy = |file: &mut Arc<MemFile>| {
            let new = files
                .entry(Arc::as_ptr(file))
                .or_insert_with(|| MemFile::new(file.look(FileContent::clone)));
            *file = new.clone();
        };
        self.disk.while_still(|directories| {
            let random = self.random_after(1);
            let mut after = Directories::new();
            for (path, directory) in directories {
                let mut directory = directory.clone();
                directory.replace_files(&mut copy);
                after.insert(path.clone(), directory);
            }
            MemEnv::with(after, random)
        })
    }

    /// Where the random numbers of a copy begin. They depend on this environment's and on `twist`, and are far from
    /// all earlier ones, so that no file id is given twice.
    fn random_after(&self, twist: u64) -> u64 {
        let drawn = self.random.load(Ordering::Relaxed);
        Dice::new(Dice::new(drawn).next() ^ twist).next()
    }
}

/// What `cut` leaves of `directories`, and which of these it may move back: from where to where.
fn after_cut(
    directories: &Directories,
    cut: PowerCut,
    dice: &mut Dice,
    effects: &mut Effects,
) -> (Directories, Vec<(PathBuf, PathBuf)>) {
    let throw = |loss: Option<PowerLoss>, dice: &mut Dice| {
        loss.unwrap_or_else(|| PowerLoss::ALL[dice.below(PowerLoss::ALL.len() as u64) as usize])
    };
    let mut files: BTreeMap<*const MemFile, Arc<MemFile>> = BTreeMap::new();
    let mut after = Directories::new();
    let mut moved_back = Vec::new();
    for (path, directory) in directories {
        let loss = throw(cut.names, dice);
        let parent_is_gone = path
            .parent()
            .is_some_and(|parent| !after.contains_key(parent));
        let may_go = directory.is_unsynced() && loss != PowerLoss::Nothing;
        if parent_is_gone || may_go && (loss == PowerLoss::Everything || dice.below(2) == 0) {
            effects.insert(Effect::DirectoryDropped);
            continue;
        }
        if let Some(old) = directory.old_path()
            && loss != PowerLoss::Nothing
            && (loss == PowerLoss::Everything || dice.below(2) == 0)
        {
            moved_back.push((path.clone(), old.clone()));
        }
        let mut names = directory.after(loss, dice, effects);
        // Two names of one file stay so.
        for file in names.values_mut() {
            let new = files.entry(Arc::as_ptr(file)).or_insert_with(|| {
                let loss = throw(cut.bytes, dice);
                let bytes = file.look(|content| content.after(loss, dice, effects));
                MemFile::new(FileContent::durable(bytes))
            });
            *file = new.clone();
        }
        after.insert(path.clone(), Directory::durable(names));
    }
    (after, moved_back)
}

#[cfg(test)]
mod edges;
