//! Every file of a small database is damaged: bits flipped, sectors zeroed or overwritten, cut, extended, swapped
//! with another of its kind, copied over another, under another number, removed.
//!
//! For each: every answer is right, or an error that names a file (and a byte of it); only behind what is known to
//! be synced in the newest log may a damage leave a prefix instead. No panic, and no allocation beyond a bound.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use aidb::env::{Env, MemEnv};
use aidb::{DB, Error, ErrorKind, IterOptions, Options};
use aidb_tests::{Budget, Random, Violations, tell_figures};

use crate::story::{DIR, Ledger, State, Story};

/// Remembers the largest single allocation: a length from a damaged file must not be believed.
struct Watched;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

/// Every kind of file that a database needs.
const FILES: [&str; 4] = [".sst", ".log", "MANIFEST-", "CURRENT"];

/// An examination that takes longer hangs.
const LONGEST_EXAMINATION: Duration = Duration::from_secs(120);

/// No test of this binary needs more at once.
const LARGEST_ALLOCATION: usize = 64 << 20;

// SAFETY: every call goes to the system's allocator unchanged, which keeps the trait's contract.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract for `layout`, which is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` through `alloc` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watched = Watched;

#[derive(Debug, Clone)]
enum Damage {
    Flip(u64, u8),
    Zero(u64, u64),
    Overwrite(u64, u64),
    Cut(u64),
    Extend(u64, bool),
    Swap(String),
    CopyOver(String),
    CopyAs(String),
    Remove,
}

/// A database that nobody has open, and what it must answer.
struct Subject {
    name: &'static str,
    mem: MemEnv,
    options: Options,
    ledger: Ledger,
    /// The newest log, and from where on records of it know that `ledger.durable` was synced, if it was in this log.
    tail: Option<Tail>,
}

struct Tail {
    log: String,
    /// Where the records begin that know of the last sync; 0 if there are none.
    start: u64,
    /// Where the last of them begins.
    last: u64,
}

#[test]
fn damage_is_an_error_and_never_a_wrong_answer() {
    let budget = Budget::new("crash", "damage_is_an_error_and_never_a_wrong_answer");
    let mut violations = Violations::default();
    let mut damages: BTreeMap<String, u64> = BTreeMap::new();
    let (mut noticed, mut harmless, mut subjects, mut whole) = (0u64, 0u64, 0u64, 0u64);
    std::panic::set_hook(Box::new(|_| {}));
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
        let mut left = damages_of(&subject, budget.all, &mut random);
        // In no order, so that a run that is cut short has met every file.
        while !left.is_empty() && !budget.is_spent() {
            let at = random.below(left.len() as u64) as usize;
            let (file, damage) = left.swap_remove(at);
            *damages.entry(kind_of(&file, &damage)).or_default() += 1;
            let mem = subject.mem.process_crash();
            apply(&mem, &file, &damage, &mut random);
            let place = format!("seed {seed:#x} {}: {file} {damage:?}", subject.name);
            let read_only = random.one_in(5);
            begun.send(Some(place.clone())).unwrap();
            match catch_unwind(AssertUnwindSafe(|| {
                examine(&subject, &mem, &file, &damage, read_only)
            })) {
                Ok(Ok(true)) => noticed += 1,
                Ok(Ok(false)) => harmless += 1,
                Ok(Err(what)) => violations.add(&place, &what),
                Err(_) => violations.add(&place, "it panicked"),
            }
            begun.send(None).unwrap();
        }
        whole += u64::from(budget.all && left.is_empty());
    }
    drop(std::panic::take_hook());
    let total: u64 = damages.values().sum();
    println!(
        "damage: {subjects} databases, {total} damages {damages:?}, {noticed} answered by an error, {harmless} harmless, \
         largest allocation {} bytes, {} violations",
        LARGEST.load(Ordering::Relaxed),
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
    let kinds = [
        "Flip",
        "Zero",
        "Overwrite",
        "Cut",
        "Extend",
        "Swap",
        "CopyOver",
        "CopyAs",
        "Remove",
    ];
    for part in kinds.iter().chain(&FILES) {
        let tried = damages.keys().any(|key| key.contains(part));
        assert!(tried, "{part} was never damaged or never tried");
    }
    assert!(LARGEST.load(Ordering::Relaxed) <= LARGEST_ALLOCATION);
}

/// Ends the process when an examination that was begun is not over in time.
fn end_if_one_hangs(watched: &mpsc::Receiver<Option<String>>) {
    while let Ok(place) = watched.recv() {
        let Some(place) = place else { continue };
        if watched.recv_timeout(LONGEST_EXAMINATION) == Err(mpsc::RecvTimeoutError::Timeout) {
            println!("VIOLATION it hangs ({place})");
            std::process::abort();
        }
    }
}

fn kind_of(file: &str, damage: &Damage) -> String {
    let damage = format!("{damage:?}");
    let file: String = file.chars().filter(|c| !c.is_ascii_digit()).collect();
    format!("{file} {}", damage.split('(').next().unwrap_or_default())
}

fn begin(seed: u64) -> (MemEnv, Options, Story) {
    let mem = MemEnv::new();
    mem.create_dir_all(Path::new("/home")).unwrap();
    let options = Random::new(seed).options().manual_background(true);
    let mut story = Story::new(seed, options.clone().env(Arc::new(mem.clone())));
    for _ in 0..150 {
        story.step().unwrap();
    }
    (mem, options, story)
}

/// Closed in order: everything is durable.
fn closed(seed: u64) -> Subject {
    let (mem, options, mut story) = begin(seed);
    story.open().unwrap();
    story.db.take().unwrap().close().unwrap();
    let ledger = take_ledger(&story);
    Subject {
        name: "closed",
        mem,
        options,
        ledger,
        tail: None,
    }
}

/// Killed with several logs; the newest has synced records and others behind them.
fn killed(seed: u64) -> Subject {
    let (mem, options, mut story) = begin(seed);
    let db = story.open().unwrap().clone();
    story.write(&db, true).unwrap();
    // The last log holds a synced batch and a tail of some kilobytes that knows of it.
    let mut tail: Option<Tail> = None;
    let mut since = 0;
    for _ in 0..60 {
        let log = newest_log(&mem);
        if tail.as_ref().is_none_or(|tail| tail.log != log) {
            story.write(&db, true).unwrap();
            if newest_log(&mem) != log {
                continue;
            }
            let start = records_end(&mem, &log);
            let (log, last) = (log.clone(), start);
            tail = Some(Tail { log, start, last });
            since = 0;
        }
        if let Some(tail) = &mut tail {
            tail.last = records_end(&mem, &log);
        }
        story.write(&db, false).unwrap();
        since += 1;
        if since >= 12 && newest_log(&mem) == log {
            break;
        }
    }
    let newest = newest_log(&mem);
    let tail = tail.filter(|tail| tail.log == newest).or(Some(Tail {
        log: newest,
        start: 0,
        last: 0,
    }));
    drop(db);
    drop(story.db.take());
    let ledger = take_ledger(&story);
    Subject {
        name: "killed",
        mem,
        options,
        ledger,
        tail,
    }
}

fn take_ledger(story: &Story) -> Ledger {
    std::mem::replace(&mut *story.ledger(), Ledger::new())
}

fn path(file: &str) -> PathBuf {
    Path::new(DIR).join(file)
}

fn newest_log(mem: &MemEnv) -> String {
    let mut logs = mem.list(Path::new(DIR)).unwrap();
    logs.retain(|name| name.ends_with(".log"));
    logs.into_iter().max().unwrap()
}

fn bytes_of(mem: &MemEnv, file: &str) -> Vec<u8> {
    let file = mem.open_read(&path(file)).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    bytes
}

/// Where the zeros ahead of a log's records begin.
fn records_end(mem: &MemEnv, log: &str) -> u64 {
    let bytes = bytes_of(mem, log);
    bytes
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |at| at + 1) as u64
}

fn damages_of(subject: &Subject, all: bool, random: &mut Random) -> Vec<(String, Damage)> {
    let names = subject.mem.list(Path::new(DIR)).unwrap();
    let mut damages = Vec::new();
    for file in &names {
        let length = bytes_of(&subject.mem, file).len() as u64;
        // Nobody reads what is in the reserve.
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
        let extension = file.rsplit('.').next().unwrap_or_default();
        for other in &names {
            if other != file && file.contains('.') && other.ends_with(extension) {
                damages.push((file.clone(), Damage::Swap(other.clone())));
                damages.push((file.clone(), Damage::CopyOver(other.clone())));
            }
        }
        if file.contains('.') {
            let number = *random.pick(&["000001", "000500", "999999"]);
            let copy = format!("{number}.{extension}");
            if !names.contains(&copy) {
                damages.push((file.clone(), Damage::CopyAs(copy)));
            }
        }
        damages.push((file.clone(), Damage::Remove));
    }
    damages
}

fn replace(mem: &MemEnv, file: &str, bytes: &[u8]) {
    let path = path(file);
    let _ = mem.remove_file(&path);
    mem.create_new(&path).unwrap().write_at(0, bytes).unwrap();
}

fn apply(mem: &MemEnv, file: &str, damage: &Damage, random: &mut Random) {
    let mut bytes = bytes_of(mem, file);
    let range = |at: u64, size: u64, length: usize| {
        (at as usize).min(length)..((at + size) as usize).min(length)
    };
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
        Damage::Remove => return mem.remove_file(&path(file)).unwrap(),
    }
    replace(mem, file, &bytes);
}

/// Whether the damage was answered by an error; what is wrong otherwise.
fn examine(
    subject: &Subject,
    mem: &MemEnv,
    file: &str,
    damage: &Damage,
    read_only: bool,
) -> Result<bool, String> {
    let options = subject.options.clone().env(Arc::new(mem.clone()));
    let db = match DB::open(DIR, options.clone().read_only(read_only)) {
        Ok(db) => db,
        Err(error) => return proper(&error).map(|()| true),
    };
    let last = subject.ledger.states.len() - 1;
    let number = match crate::story::counter(&db) {
        Ok(number) => number,
        Err(error) => {
            proper(&error)?;
            subject.ledger.states[last].number
        }
    };
    let states = &subject.ledger.states;
    let Some(index) = states.iter().position(|state| state.number == number) else {
        return Err(format!("batch {number} was never written"));
    };
    if index < last && index < fewest(subject, file, damage) {
        return Err(format!(
            "answers as after batch {number} of {} without an error",
            states[last].number
        ));
    }
    let mut noticed = answers(&db, &states[index])?;
    if !read_only && !noticed && index == last {
        // What was harmless stays harmless.
        db.put(b"probe", b"1").map_err(|error| error.to_string())?;
        drop(db);
        let db = DB::open(DIR, options).map_err(|error| format!("second open: {error}"))?;
        let mut state = states[index].clone();
        state.entries.insert(b"probe".to_vec(), b"1"[..].into());
        noticed = answers(&db, &state)?;
    }
    Ok(noticed)
}

/// The first state that may be answered although something is lost: in the newest log, behind what is known to be
/// synced, a damage looks like the torn tail of a crash.
fn fewest(subject: &Subject, file: &str, damage: &Damage) -> usize {
    let all = subject.ledger.states.len() - 1;
    let Some(tail) = subject.tail.as_ref().filter(|_| file.ends_with(".log")) else {
        return all;
    };
    if file != tail.log {
        // Its successor knows how far it was synced, or was synced itself.
        return subject.ledger.durable;
    }
    // Whether a record is left that knows how far the log was synced.
    let is_known = match damage {
        _ if tail.start == 0 => false,
        Damage::Cut(length) => *length >= tail.start + 64,
        Damage::Zero(at, size) | Damage::Overwrite(at, size) => {
            *at >= tail.start + 64 || at + size <= tail.last
        }
        _ => true,
    };
    if is_known { subject.ledger.durable } else { 0 }
}

/// Compares every answer of `db` with `state`; whether some were errors.
fn answers(db: &DB, state: &State) -> Result<bool, String> {
    let mut noticed = false;
    let mut note = |error: Error| -> Result<(), String> {
        noticed = true;
        proper(&error)
    };
    for (key, value) in &state.entries {
        match db.get(key) {
            Ok(Some(got)) if got.as_ref() == &value[..] => {}
            Ok(got) => {
                return Err(format!(
                    "get of {} answers {:?} bytes",
                    key.escape_ascii(),
                    got.map(|got| got.len())
                ));
            }
            Err(error) => note(error)?,
        }
    }
    for reverse in [false, true] {
        let options = IterOptions {
            reverse,
            ..IterOptions::default()
        };
        let mut expected: Vec<_> = state.entries.iter().collect();
        if reverse {
            expected.reverse();
        }
        let mut cursor = match db.cursor(options) {
            Ok(cursor) => cursor,
            Err(error) => {
                note(error)?;
                continue;
            }
        };
        let mut moved = cursor.first();
        let mut at = 0;
        while moved.is_ok() && cursor.valid() {
            match expected.get(at) {
                Some((key, value)) if cursor.key() == *key && cursor.value() == &value[..] => {}
                _ => return Err(format!("the walk shows {}", cursor.key().escape_ascii())),
            }
            at += 1;
            moved = cursor.next();
        }
        match cursor.status() {
            Err(error) => note(error)?,
            Ok(()) if at < expected.len() => return Err("the walk ends early".to_string()),
            Ok(()) => {}
        }
    }
    Ok(noticed)
}

/// Whether `error` is what a damage may answer: it names a file and a place in it.
fn proper(error: &Error) -> Result<(), String> {
    let message = error.message();
    let names_file = FILES.iter().any(|part| message.contains(part));
    if error.kind() == ErrorKind::Corruption && names_file && message.contains("at byte") {
        return Ok(());
    }
    Err(format!("answers {error}"))
}
