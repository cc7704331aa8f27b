//! Power is cut at every change of the disk, and what a legal disk may hold then is opened.
//!
//! For each state: it opens without a flag; every batch acknowledged as synced, and every one before it, is
//! there; the rest is a prefix; a cut during that recovery keeps the same; a cut after it takes nothing more
//! away and brings nothing back; the database takes writes and keeps them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use aidb::env::{Effect, Env, FaultEnv, Hook, MemEnv, Operation, PathKind, PowerCut, PowerLoss};
use aidb::{DB, Options, WriteOptions};
use aidb_tests::budget::SEEDS_BEGIN_AT;
use aidb_tests::{Budget, Random, Violations, options, tell_figures};

use crate::story::{DIR, LargeAtWork, Ledger, Story};

/// What a run has seen.
#[derive(Default)]
pub struct Tally {
    pub points: u64,
    /// Those of `points` at which there was a log made ahead.
    pub blank_logs: u64,
    pub states: u64,
    pub second_crashes: u64,
    /// Recoveries that were cut at each of their changes.
    pub walked_recoveries: u64,
    /// States of a database with a key, and with a value, larger than a story usually has.
    pub large_keys: u64,
    pub large_values: u64,
    pub effects: BTreeSet<Effect>,
    pub violations: Violations,
}

impl Tally {
    /// Whether something that a run must have tried was not.
    fn is_lacking(&self) -> bool {
        let counts = [
            self.blank_logs,
            self.second_crashes,
            self.walked_recoveries,
            self.large_keys,
            self.large_values,
        ];
        counts.contains(&0) || self.effects.len() < Effect::ALL.len()
    }
}

/// Steps of one story.
const STEPS: u64 = 220;
/// The first points of a story are all tried: some effects are possible only then.
const FIRST_POINTS: u64 = 8;
/// While there is large data a point is tried once in so many times, since each takes a second; of a short run's story at
/// most so many.
const LARGE_POINTS_ONE_IN: u64 = 20;
const FEW_LARGE_POINTS: u64 = 6;
/// One of so many recoveries is cut at every change, the others at one.
const WALKED_RECOVERIES: u64 = 50;

/// TABLE-4.
#[test]
fn power_is_cut_at_every_change_of_the_disk() {
    let budget = Budget::new("crash", "power_is_cut_at_every_change_of_the_disk");
    let tally = Arc::new(Mutex::new(Tally::default()));
    let (mut stories, mut whole, mut large) = (0, 0, 0);
    while !budget.is_over(|| tally.lock().unwrap().is_lacking()) {
        let seed = budget.seed.wrapping_add(stories);
        let at_work = has_large(seed).then(LargeAtWork::begin);
        tell(seed, budget, &tally);
        drop(at_work);
        stories += 1;
        large += u64::from(has_large(seed));
        whole += u64::from(budget.all && !budget.is_spent());
    }
    let tally = tally.lock().unwrap();
    println!(
        "power: {stories} stories, {} points, {} with a log made ahead, {} states, {} cuts during recovery, \
         {} recoveries cut at every change, {} and {} states with large keys and values, {} violations",
        tally.points,
        tally.blank_logs,
        tally.states,
        tally.second_crashes,
        tally.walked_recoveries,
        tally.large_keys,
        tally.large_values,
        tally.violations.count()
    );
    tell_figures(
        "power",
        &[
            ("histories", stories),
            ("whole", whole),
            ("points", tally.points),
            ("states", tally.states + tally.second_crashes),
            ("violations", tally.violations.count()),
        ],
    );
    assert_eq!(tally.violations.count(), 0);
    assert!(tally.blank_logs > 0, "no log was made ahead");
    assert!(tally.second_crashes > 0, "no recovery was cut");
    assert!(
        tally.walked_recoveries > 0,
        "no recovery was cut at every change"
    );
    if large > 0 {
        assert!(tally.large_keys > 0, "no state had a large key");
        assert!(tally.large_values > 0, "no state had a large value");
    }
    for effect in Effect::ALL {
        assert!(
            tally.effects.contains(&effect),
            "{effect:?} was never tried"
        );
    }
}

/// Whether the story of this seed has large data: one of four, the first of a run among them.
fn has_large(seed: u64) -> bool {
    seed.is_multiple_of(SEEDS_BEGIN_AT)
}

/// Runs one story, cutting power at its points.
fn tell(seed: u64, budget: Budget, tally: &Arc<Mutex<Tally>>) {
    let all = budget.all;
    let mut random = Random::new(seed);
    let options = options(&mut random).manual_background(true);
    let mem = MemEnv::new();
    mem.create_dir_all(Path::new("/home")).unwrap();
    // An earlier life was killed when it had just made the directory.
    mem.leave_unsynced(Path::new(DIR)).unwrap();
    let env = FaultEnv::new(Arc::new(mem.clone()), seed);
    let mut story =
        Story::new(seed, options.clone().env(Arc::new(env.clone()))).with_large(has_large(seed));
    let hook = {
        let (ledger, tally, mem) = (story.ledger.clone(), tally.clone(), mem.clone());
        let cutter = Mutex::new((random, 0u64));
        let large_points = AtomicU64::new(0);
        move |operation: Operation, path: &Path| {
            if !Operation::CHANGES.contains(&operation) {
                return;
            }
            let mut cutter = cutter.lock().unwrap();
            let (random, point) = &mut *cutter;
            *point += 1;
            let holds_large = ledger.lock().unwrap().holds_large;
            let is_chosen = match holds_large {
                true => {
                    let is_enough = || large_points.load(Ordering::Relaxed) >= FEW_LARGE_POINTS;
                    let is_chosen = random.one_in(LARGE_POINTS_ONE_IN) && (all || !is_enough());
                    large_points.fetch_add(u64::from(is_chosen), Ordering::Relaxed);
                    is_chosen
                }
                false => all || *point <= FIRST_POINTS || random.one_in(6),
            };
            let mut tally = tally.lock().unwrap();
            if !is_chosen || budget.is_over(|| tally.is_lacking()) {
                return;
            }
            tally.points += 1;
            tally.blank_logs += u64::from(has_blank_log(&mem));
            let states = match (holds_large, all) {
                (true, _) => 1,
                (false, true) => 12,
                (false, false) => 3,
            };
            for _ in 0..states {
                let place = format!("seed {seed:#x} point {point}, before {operation:?} {path:?}");
                let ledger = ledger.lock().unwrap();
                crash_and_check(&mem, &options, &ledger, random, &place, &mut tally);
            }
        }
    };
    env.set_hook(Some(Arc::new(hook) as Hook));
    for step in 0..STEPS {
        if budget.is_over(|| tally.lock().unwrap().is_lacking()) {
            break;
        }
        if let Err(error) = story.step() {
            let mut tally = tally.lock().unwrap();
            tally
                .violations
                .add(&format!("seed {seed:#x} step {step}"), &error.to_string());
            break;
        }
    }
    env.set_hook(None);
}

/// Whether there is a log made ahead.
fn has_blank_log(mem: &MemEnv) -> bool {
    let blank = Path::new(DIR).join("BLANK-LOG.tmp");
    mem.kind(&blank).unwrap() != PathKind::Missing
}

/// One state after a kill or a cut of power, and everything that must hold of it.
pub fn crash_and_check(
    mem: &MemEnv,
    options: &Options,
    ledger: &Ledger,
    random: &mut Random,
    place: &str,
    tally: &mut Tally,
) {
    let cut = (!random.one_in(5)).then(|| throw_cut(random));
    let (after, floor) = match cut {
        Some(cut) => (mem.power_cut_as(cut, &mut tally.effects), ledger.durable),
        None => (mem.process_crash(), ledger.states.len() - 1),
    };
    tally.states += 1;
    let (large_key, large_value) = ledger.last().has_large();
    tally.large_keys += u64::from(large_key);
    tally.large_values += u64::from(large_value);
    // A recovery of large data has many changes, and each disk is a copy.
    let walk = !ledger.holds_large && random.one_in(WALKED_RECOVERIES);
    let cuts = match check(&after, options, ledger, floor, random, walk) {
        Ok(cuts) => cuts,
        Err(what) => return tally.violations.add(&format!("{place}, {cut:?}"), &what),
    };
    tally.walked_recoveries += u64::from(walk && cuts.len() > 1);
    for (after, again) in cuts {
        tally.second_crashes += 1;
        if let Err(what) = check(&after, options, ledger, ledger.durable, random, false) {
            let place = format!("{place}, {cut:?}, then in recovery {again:?}");
            tally.violations.add(&place, &what);
        }
    }
}

/// A cut of any kind.
pub fn throw_cut(random: &mut Random) -> PowerCut {
    let mut loss = || match random.below(10) {
        0..=1 => None,
        2..=3 => Some(PowerLoss::Everything),
        _ => Some(*random.pick(&PowerLoss::ALL)),
    };
    PowerCut {
        bytes: loss(),
        names: loss(),
        seed: random.next(),
    }
}

/// States that cuts in the middle of a recovery left, and those cuts.
type Cuts = Vec<(MemEnv, PowerCut)>;

/// Opens `disk` and checks it; also answers what a cut before one of the changes of this recovery would have left, or
/// before each if it is to be walked.
pub fn check(
    disk: &MemEnv,
    options: &Options,
    ledger: &Ledger,
    floor: usize,
    random: &mut Random,
    walk: bool,
) -> Result<Cuts, String> {
    let env = FaultEnv::new(Arc::new(disk.clone()), 0);
    let cuts: Arc<Mutex<Cuts>> = Arc::default();
    let (kept, mem) = (cuts.clone(), disk.clone());
    let dice = Mutex::new((Random::new(random.next()), 0));
    env.set_hook(Some(Arc::new(move |operation, _: &Path| {
        if !Operation::CHANGES.contains(&operation) {
            return;
        }
        let (dice, changes) = &mut *dice.lock().unwrap();
        *changes += 1;
        // Each change is as likely as the others to be the one, however many there will be.
        if walk || dice.one_in(*changes) {
            let cut = throw_cut(dice);
            let after = mem.power_cut_as(cut, &mut BTreeSet::new());
            let mut kept = kept.lock().unwrap();
            if !walk {
                kept.clear();
            }
            kept.push((after, cut));
        }
    })));
    let db = DB::open(DIR, options.clone().env(Arc::new(env.clone())))
        .map_err(|error| format!("does not open: {error}"))?;
    env.set_hook(None);
    let found = ledger.check(&db, floor)?;

    // Nothing that was cut off comes back, and nothing durable goes.
    let again = disk.power_cut_as(throw_cut(random), &mut BTreeSet::new());
    reopen(&again, options, |db| {
        match ledger.check(db, ledger.durable)? {
            fewer if fewer <= found => Ok(()),
            more => Err(format!("state {more} came back, it was {found}")),
        }
    })
    .map_err(|what| format!("power lost again behind the recovery: {what}"))?;

    // It takes writes and keeps them.
    let steps = random.below(3);
    for _ in 0..steps {
        db.run_background_step()
            .map_err(|error| format!("background: {error}"))?;
    }
    let mut expected = match found < ledger.states.len() {
        true => ledger.states[found].clone(),
        false => ledger.extra.clone().expect("it was found"),
    };
    let probe = b"probe".to_vec();
    db.put_with(&probe, b"1", &WriteOptions::synced())
        .map_err(|error| format!("takes no write: {error}"))?;
    expected.entries.insert(probe, b"1"[..].into());
    let again = match random.below(3) {
        0 => {
            db.close().map_err(|error| format!("close: {error}"))?;
            disk.power_cut_as(throw_cut(random), &mut BTreeSet::new())
        }
        1 => disk.power_cut_as(throw_cut(random), &mut BTreeSet::new()),
        _ => disk.process_crash(),
    };
    drop(db);
    reopen(&again, options, |db| Ok(expected.compare(db)?))
        .map_err(|what| format!("after a write behind the recovery: {what}"))?;
    Ok(std::mem::take(&mut *cuts.lock().unwrap()))
}

fn reopen(
    disk: &MemEnv,
    options: &Options,
    check: impl FnOnce(&DB) -> Result<(), String>,
) -> Result<(), String> {
    let db = DB::open(DIR, options.clone().env(Arc::new(disk.clone())))
        .map_err(|error| format!("does not open: {error}"))?;
    check(&db)
}
