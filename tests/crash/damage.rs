//! Damages every file of a small database: flips bits, zeroes or overwrites sectors, cuts the file, extends it, swaps
//! it with another, copies it over another or under another number, removes it, puts an earlier version back, takes it
//! from another database.
//!
//! After each damage every answer is right, or is an error that names a file (and a byte in it). Only a damage after
//! the known synced part of the newest log may leave a prefix instead. Nothing panics, and no allocation exceeds a
//! bound.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use aidb::env::{Env, MemEnv};
use aidb_tests::{Budget, Random, Violations, tell_figures};

use crate::examination::{Counts, Deed, Examination, FILES, OUTCOMES};
use crate::story::{DIR, LARGE_AT_WORK};
use crate::subject::{Subject, bytes_of, closed, killed, path, records_end};

/// Remembers the largest single allocation, and the most memory that was allocated at once: the engine must not trust a
/// length from a damaged file.
struct Watched;

static LARGEST: AtomicUsize = AtomicUsize::new(0);
static ALLOCATED: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

/// An examination that takes longer hangs.
const MAX_EXAMINATION: Duration = Duration::from_secs(120);

/// The largest single allocation that a test of this binary may make.
const MAX_ALLOCATION: usize = 64 << 20;

/// The most that all of them together may have allocated, while no story with large data runs.
const MAX_ALLOCATED: usize = 1 << 30;

/// A short run moves to the next database after this many damages, because some kinds of damage fit few databases only.
const FEW_DAMAGES: usize = 200;

// SAFETY: every call goes to the system's allocator unchanged, which keeps the trait's contract.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        let allocated = ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        if allocated > MOST.load(Ordering::Relaxed) && LARGE_AT_WORK.load(Ordering::Relaxed) == 0 {
            MOST.fetch_max(allocated, Ordering::Relaxed);
        }
        // SAFETY: the caller keeps the contract for `layout`, which is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: `pointer` came from `System` through `alloc` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watched = Watched;

thread_local! {
    /// Whether a panic of this thread is a violation, to be reported with its place.
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// The damage to a file.
#[derive(Debug, Clone)]
enum Damage {
    /// None: any fault that the examination then finds is a false alarm.
    Nothing,
    Flip(u64, u8),
    Zero(u64, u64),
    Overwrite(u64, u64),
    Cut(u64),
    Extend(u64, bool),
    Swap(String),
    CopyOver(String),
    CopyAs(String),
    Remove,
    /// An earlier content of the same file, by its number among the earlier contents.
    Earlier(String, usize),
    /// An earlier manifest, beside the current one.
    Beside(usize),
    /// CURRENT of an earlier moment and the manifest that it named, and whether the newer manifest is removed.
    Head(usize, bool),
    /// The content of the file of the same name in another database.
    Foreign(usize),
}

impl Damage {
    /// Whether there is one such damage for every byte of a file.
    fn is_of_bytes(&self) -> bool {
        matches!(
            self,
            Damage::Flip(..) | Damage::Zero(..) | Damage::Overwrite(..) | Damage::Cut(_)
        )
    }
}

/// The kinds of damage. A run must try each of them.
const DAMAGES: [&str; 14] = [
    "Nothing",
    "Flip",
    "Zero",
    "Overwrite",
    "Cut",
    "Extend",
    "Swap",
    "CopyOver",
    "CopyAs",
    "Remove",
    "Earlier",
    "Beside",
    "Head",
    "Foreign",
];

#[test]
fn damage_is_an_error_and_never_a_wrong_answer() {
    let budget = Budget::new("crash", "damage_is_an_error_and_never_a_wrong_answer");
    let mut violations = Violations::default();
    let mut damages: BTreeMap<String, u64> = BTreeMap::new();
    let mut outcomes = Counts::new();
    let (mut noticed, mut harmless, mut subjects, mut whole) = (0u64, 0u64, 0u64, 0u64);
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !IS_CAUGHT.get() {
            usual(panic);
        }
    }));
    let (begun, watched) = mpsc::channel::<Option<String>>();
    std::thread::spawn(move || end_if_one_hangs(&watched));
    while !budget.is_spent() {
        let seed = budget.seed.wrapping_add(subjects);
        subjects += 1;
        let subject = match seed % 2 {
            1 => closed(seed),
            _ => killed(seed),
        };
        let mut random = Random::new(seed);
        let damages_left = damages_of(&subject, budget.all, &mut random);
        let (mut bytes, mut files): (Vec<_>, Vec<_>) = damages_left
            .into_iter()
            .partition(|(_, damage)| damage.is_of_bytes());
        // In random order, so that a run that ends early has damaged every file, and a long list of bytes does not
        // crowd out the damages of whole files.
        let mut left_here = if budget.all { usize::MAX } else { FEW_DAMAGES };
        while !(bytes.is_empty() && files.is_empty() || budget.is_spent() || left_here == 0) {
            left_here -= 1;
            let left = match bytes.is_empty() || !files.is_empty() && random.one_in(3) {
                true => &mut files,
                false => &mut bytes,
            };
            let mut at = random.below(left.len() as u64) as usize;
            // A kind of damage that few databases allow is tried in the first one that does.
            if random.one_in(8) {
                let is_new = |(file, damage): &(String, Damage)| {
                    !damages.contains_key(&kind_of(file, damage))
                };
                at = left.iter().position(is_new).unwrap_or(at);
            }
            let (file, damage) = left.swap_remove(at);
            *damages.entry(kind_of(&file, &damage)).or_default() += 1;
            let mem = subject.mem.process_crash();
            apply(&subject, &mem, &file, &damage, &mut random);
            let deed = Deed::pick(&mut random);
            let place = format!(
                "seed {seed:#x} {}: {file} {damage:?} {deed:?}",
                subject.name
            );
            begun.send(Some(place.clone())).unwrap();
            let mut examination = Examination {
                subject: &subject,
                mem: &mem,
                touched: touched(&subject, &file, &damage),
                is_intact: is_intact(&file, &damage),
                floor: fewest(&subject, &file, &damage),
                has_other_log: matches!(damage, Damage::Foreign(_)) && file.ends_with(".log"),
                counts: &mut outcomes,
                random: &mut random,
            };
            IS_CAUGHT.set(true);
            let outcome = catch_unwind(AssertUnwindSafe(|| examination.run(deed)));
            IS_CAUGHT.set(false);
            match outcome {
                Ok(Ok(true)) => noticed += 1,
                Ok(Ok(false)) => harmless += 1,
                Ok(Err(what)) => violations.add(&place, &what),
                Err(_) => violations.add(&place, "it panicked"),
            }
            begun.send(None).unwrap();
        }
        whole += u64::from(budget.all && bytes.is_empty() && files.is_empty());
    }
    drop(std::panic::take_hook());
    let total: u64 = damages.values().sum();
    println!(
        "damage: {subjects} databases, {total} damages {damages:?}, {noticed} answered by an error, {harmless} harmless, \
         then {outcomes:?}, largest allocation {} bytes, {} at once, \
         {} violations",
        LARGEST.load(Ordering::Relaxed),
        MOST.load(Ordering::Relaxed),
        violations.count()
    );
    tell_figures(
        "damage",
        &[
            ("histories", subjects),
            ("whole", whole),
            ("points", total),
            ("states", noticed + harmless),
            ("faults", noticed),
            ("violations", violations.count()),
        ],
    );
    assert_eq!(violations.count(), 0);
    assert!(noticed > 0 && harmless > 0);
    for part in DAMAGES.iter().chain(&FILES) {
        let tried = damages.keys().any(|key| key.contains(part));
        assert!(tried, "{part} was never damaged or never tried");
    }
    for file in FILES {
        for damage in [
            "Flip",
            "Zero",
            "Overwrite",
            "Cut",
            "Extend",
            "Swap",
            "CopyOver",
            "Remove",
            "Foreign",
        ] {
            let pair = format!("{file} {damage}");
            // The bytes of one database can use up all the time, and it may have one table only.
            let is_tried = budget.all || damages.contains_key(&pair);
            assert!(is_tried, "never tried: {pair}");
        }
    }
    for outcome in OUTCOMES {
        assert!(
            outcomes.contains_key(outcome),
            "no outcome was ever {outcome}"
        );
    }
    assert!(LARGEST.load(Ordering::Relaxed) <= MAX_ALLOCATION);
    assert!(MOST.load(Ordering::Relaxed) <= MAX_ALLOCATED);
}

/// Ends the process if an examination is not over in time.
fn end_if_one_hangs(watched: &mpsc::Receiver<Option<String>>) {
    while let Ok(place) = watched.recv() {
        let Some(place) = place else { continue };
        if watched.recv_timeout(MAX_EXAMINATION) == Err(mpsc::RecvTimeoutError::Timeout) {
            println!("VIOLATION it hangs ({place})");
            std::process::abort();
        }
    }
}

fn kind_of(file: &str, damage: &Damage) -> String {
    let damage = format!("{damage:?}");
    let damage = damage.split('(').next().unwrap_or_default();
    format!("{} {damage}", kind(file))
}

fn damages_of(subject: &Subject, all: bool, random: &mut Random) -> Vec<(String, Damage)> {
    let names = subject.mem.list(Path::new(DIR)).unwrap();
    let mut damages = Vec::new();
    for file in &names {
        let length = bytes_of(&subject.mem, file).len() as u64;
        // Nobody reads the reserve's content.
        let every = all && file != "RESERVE";
        let step = if every { 1 } else { 1 + length / 24 };
        let mut at = random.below(step);
        while at < length {
            damages.push((file.clone(), Damage::Flip(at, 1 << random.below(8))));
            if all && at.is_multiple_of(8) || random.one_in(3) {
                damages.push((file.clone(), Damage::Cut(at)));
            }
            if all && at.is_multiple_of(64) || random.one_in(3) {
                let size = *random.pick(&[512, 4096]);
                damages.push((file.clone(), Damage::Zero(at / 512 * 512, size)));
                damages.push((file.clone(), Damage::Overwrite(at / 512 * 512, size)));
            }
            at += if every { 1 } else { 1 + random.below(2 * step) };
        }
        for extension in [1, 32, 5000] {
            damages.push((file.clone(), Damage::Extend(extension, random.one_in(2))));
        }
        for other in &names {
            let is_needed = file != "RESERVE" && other != "RESERVE";
            let is_same_kind = kind(file) == kind(other);
            if other != file && is_needed && (is_same_kind || random.one_in(4)) {
                damages.push((file.clone(), Damage::Swap(other.clone())));
                damages.push((file.clone(), Damage::CopyOver(other.clone())));
            }
        }
        if let Some((before, after)) = number_of(file) {
            let number = *random.pick(&["000001", "000500", "999999"]);
            let copy = format!("{before}{number}{after}");
            if !names.contains(&copy) {
                damages.push((file.clone(), Damage::CopyAs(copy)));
            }
        }
        damages.push((file.clone(), Damage::Remove));
        let few = |count: usize, random: &mut Random| -> Vec<usize> {
            let step = if all { 1 } else { 1 + count as u64 / 4 };
            let first = random.below(step) as usize;
            (first..count).step_by(step as usize).collect()
        };
        if file != "RESERVE" {
            let held = &subject.past.versions[file];
            for version in few(held.len() - 1, random) {
                damages.push((file.clone(), Damage::Earlier(file.clone(), version)));
            }
            let others = subject.other.versions.get(file);
            for version in few(others.map_or(0, Vec::len), random) {
                damages.push((file.clone(), Damage::Foreign(version)));
            }
        }
    }
    let newest = &subject.past.heads[subject.past.heads.len() - 1].name;
    for (at, head) in subject.past.heads.iter().enumerate() {
        if !all && !random.one_in(4) && at > 0 {
            continue;
        }
        damages.push(("CURRENT".to_string(), Damage::Head(at, random.one_in(2))));
        if head.name != *newest {
            damages.push((head.name.clone(), Damage::Beside(at)));
            let version = subject.past.versions[&head.name].len() - 1;
            let earlier = Damage::Earlier(head.name.clone(), version);
            damages.push((newest.clone(), earlier));
        }
    }
    for _ in 0..20 {
        damages.push(("CURRENT".to_string(), Damage::Nothing));
    }
    damages
}

/// The text before and after the number in a file's name.
fn number_of(file: &str) -> Option<(&str, &str)> {
    let start = file.find(|c: char| c.is_ascii_digit())?;
    let end = file.rfind(|c: char| c.is_ascii_digit())? + 1;
    Some((&file[..start], &file[end..]))
}

fn kind(file: &str) -> String {
    number_of(file).map_or(file.to_string(), |(before, after)| {
        format!("{before}{after}")
    })
}

fn replace(mem: &MemEnv, file: &str, bytes: &[u8]) {
    let path = path(file);
    let _ = mem.remove_file(&path);
    mem.create_new(&path).unwrap().write_at(0, bytes).unwrap();
}

fn apply(subject: &Subject, mem: &MemEnv, file: &str, damage: &Damage, random: &mut Random) {
    let past = &subject.past;
    let range = |at: u64, size: u64, length: usize| {
        (at as usize).min(length)..((at + size) as usize).min(length)
    };
    match damage {
        Damage::Nothing => return,
        Damage::Remove => return mem.remove_file(&path(file)).unwrap(),
        Damage::Earlier(name, version) => {
            return replace(mem, file, &past.versions[name][*version]);
        }
        Damage::Foreign(version) => {
            return replace(mem, file, &subject.other.versions[file][*version]);
        }
        Damage::Beside(head) => return replace(mem, file, &past.heads[*head].manifest),
        Damage::Head(head, alone) => {
            if *alone {
                let newest = &past.heads[past.heads.len() - 1].name;
                mem.remove_file(&path(newest)).unwrap();
            }
            let head = &past.heads[*head];
            replace(mem, &head.name, &head.manifest);
            return replace(mem, file, &head.current);
        }
        _ => {}
    }
    let mut bytes = bytes_of(mem, file);
    let length = bytes.len();
    match damage {
        Damage::Flip(at, bit) => bytes[*at as usize] ^= bit,
        Damage::Zero(at, size) => bytes[range(*at, *size, length)].fill(0),
        Damage::Overwrite(at, size) => bytes[range(*at, *size, length)]
            .iter_mut()
            .for_each(|byte| *byte = random.next() as u8),
        Damage::Cut(length) => bytes.truncate(*length as usize),
        Damage::Extend(size, zeros) => bytes.extend((0..*size).map(|_| match zeros {
            true => 0,
            false => random.next() as u8,
        })),
        Damage::Swap(other) => {
            let others = bytes_of(mem, other);
            replace(mem, other, &bytes);
            bytes = others;
        }
        Damage::CopyOver(other) | Damage::CopyAs(other) => replace(mem, other, &bytes),
        _ => unreachable!("whole files were put back above"),
    }
    replace(mem, file, &bytes);
}

/// The files that differ from the originals.
fn touched(subject: &Subject, file: &str, damage: &Damage) -> Vec<String> {
    let heads = &subject.past.heads;
    match damage {
        Damage::Nothing => Vec::new(),
        Damage::CopyOver(other) | Damage::CopyAs(other) => vec![other.clone()],
        Damage::Swap(other) => vec![file.to_string(), other.clone()],
        Damage::Head(head, _) => {
            let newest = heads[heads.len() - 1].name.clone();
            vec![file.to_string(), heads[*head].name.clone(), newest]
        }
        _ => vec![file.to_string()],
    }
}

/// Whether all the files that the database needs are intact.
fn is_intact(file: &str, damage: &Damage) -> bool {
    match damage {
        Damage::Nothing | Damage::CopyAs(_) | Damage::Beside(_) => true,
        Damage::Swap(_) | Damage::CopyOver(_) | Damage::Head(..) => false,
        _ => file == "RESERVE" || file == "SYNCED",
    }
}

/// The first state that the database may show although something is lost: in the newest log, damage after the known
/// synced part looks like the torn tail of a crash.
fn fewest(subject: &Subject, file: &str, damage: &Damage) -> usize {
    let all = subject.possible.last();
    let Some(tail) = &subject.tail else {
        return all;
    };
    let touched = touched(subject, file, damage);
    let mut logs = touched.iter().filter(|name| name.ends_with(".log"));
    if matches!(damage, Damage::CopyAs(_) | Damage::Extend(..)) || logs.clone().next().is_none() {
        return all;
    }
    let is_other = matches!(damage, Damage::Foreign(_));
    if is_other || logs.any(|name| *name != tail.log) {
        // Its successor knows its synced length, or was synced itself. A log of another database may name the same
        // predecessor and drop its unsynced end, as a recovery does.
        return subject.possible.durable();
    }
    let at = match damage {
        Damage::Flip(at, _) | Damage::Zero(at, _) | Damage::Overwrite(at, _) | Damage::Cut(at) => {
            *at
        }
        Damage::Earlier(name, version) => records_end(&subject.past.versions[name][*version]),
        _ => 0,
    };
    // SYNCED holds its synced length.
    subject.possible.durable().max(tail.state_before(at))
}
