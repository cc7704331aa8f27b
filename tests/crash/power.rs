//! Cuts power at every change of the disk, and opens every state that a legal disk may hold then.
//!
//! For each state: it opens without a flag. It holds every batch acknowledged as synced and every batch before that;
//! beyond those it holds a prefix of the rest. A power cut during that recovery keeps the same; a cut after it removes
//! nothing more and brings nothing back. The database takes writes and keeps them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aidb::env::{Call, Effect, Env, FaultEnv, Hook, MemEnv, PathKind, PowerCut, PowerLoss};
use aidb::{DB, Options, WriteOptions};
use aidb_tests::budget::SEEDS_BEGIN_AT;
use aidb_tests::history::{Marked, Operation, Possible, holds, print_shortest};
use aidb_tests::{Budget, Model, Random, Violations, options, tell_figures};

use crate::story::{DIR, LargeAtWork, ROOT, Story, has_large};

/// What a run has seen.
#[derive(Default)]
pub struct Tally {
    pub points: u64,
    /// Those of `points` with a log made ahead.
    pub blank_logs: u64,
    pub states: u64,
    pub second_crashes: u64,
    /// Recoveries that the run cut at each of their changes.
    pub walked_recoveries: u64,
    /// States of a database with a key, and with a value, larger than a story usually has.
    pub large_keys: u64,
    pub large_values: u64,
    pub effects: BTreeSet<Effect>,
    pub violations: Violations,
    /// The first story with a violation, and the step.
    failed: Option<(u64, usize)>,
}

impl Tally {
    /// Whether the run has missed something that it must try.
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
const STEPS: usize = 220;
/// The run tries the first points of every story: some effects can happen only there.
const FIRST_POINTS: u64 = 8;
/// While there is large data the run tries one point in this many, since each takes a second; a short run tries at most
/// the second number in a story.
const LARGE_POINTS_ONE_IN: u64 = 20;
const FEW_LARGE_POINTS: u64 = 6;
/// The run cuts one in this many recoveries at every change, the others at one.
const WALKED_RECOVERIES: u64 = 50;
/// How many states it tries at a point that has many, and at one that has few.
const MANY_STATES: u64 = 12;
const FEW_STATES: u64 = 3;

/// TABLE-4.
#[test]
fn power_is_cut_at_every_change_of_the_disk() {
    let budget = Budget::new("crash", "power_is_cut_at_every_change_of_the_disk");
    let tally = Arc::new(Mutex::new(Tally::default()));
    let (mut stories, mut whole, mut large) = (0, 0, 0);
    while !budget.is_over(|| tally.lock().unwrap().is_lacking()) {
        let seed = budget.seed.wrapping_add(stories);
        let is_large = is_large(seed);
        let at_work = is_large.then(LargeAtWork::begin);
        let steps = Marked::new(seed, is_large).take(STEPS);
        tell(seed, &steps, Some(budget), &tally);
        drop(at_work);
        stories += 1;
        large += u64::from(is_large);
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
    if let Some((seed, step)) = tally.failed {
        let steps = Marked::new(seed, is_large(seed)).take(step + 1);
        print_shortest(&steps, |steps| fails(seed, steps));
    }
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

/// Whether the story of this seed has large data: one in four has, among them the first of a run.
fn is_large(seed: u64) -> bool {
    seed.is_multiple_of(SEEDS_BEGIN_AT)
}

/// The violation if power is cut at any change of the last of `steps`.
fn fails(seed: u64, steps: &[Operation]) -> Option<String> {
    let tally = Arc::new(Mutex::new(Tally::default()));
    tell(seed, steps, None, &tally);
    let tally = tally.lock().unwrap();
    (tally.violations.count() > 0).then(|| tally.violations.first().to_string())
}

/// Chooses the points of a story at which the run cuts power.
struct Cutter {
    /// `None`: all points of the last step.
    budget: Option<Budget>,
    random: Random,
    points: u64,
    large_points: u64,
}

impl Cutter {
    /// How many states to try at the next point.
    fn states(&mut self, holds_large: bool, is_last_step: bool, tally: &Tally) -> u64 {
        let Some(budget) = self.budget else {
            return if is_last_step { MANY_STATES } else { 0 };
        };
        let all = budget.all;
        self.points += 1;
        let is_chosen = match holds_large {
            true => {
                let is_enough = self.large_points >= FEW_LARGE_POINTS;
                let is_chosen = self.random.one_in(LARGE_POINTS_ONE_IN) && (all || !is_enough);
                self.large_points += u64::from(is_chosen);
                is_chosen
            }
            false => all || self.points <= FIRST_POINTS || self.random.one_in(6),
        };
        match (holds_large, all) {
            _ if !is_chosen || budget.is_over(|| tally.is_lacking()) => 0,
            (true, _) => 1,
            (false, true) => MANY_STATES,
            (false, false) => FEW_STATES,
        }
    }
}

/// Runs the steps of a story and cuts power at its points: those that the budget has time for, or all of the last step.
fn tell(seed: u64, steps: &[Operation], budget: Option<Budget>, tally: &Arc<Mutex<Tally>>) {
    let mut random = Random::new(seed);
    let options = options(&mut random).manual_background(true);
    let mem = MemEnv::new();
    mem.create_dir_all(Path::new(ROOT)).unwrap();
    // An earlier process died right after it made the directory.
    mem.leave_unsynced(Path::new(DIR)).unwrap();
    let env = FaultEnv::new(Arc::new(mem.clone()), seed);
    let mut story = Story::new(&mem, env.clone(), options.clone(), None);
    let at = Arc::new(AtomicUsize::new(0));
    let hook = {
        let (possible, holds_large) = (story.run.shared_possible(), story.holds_large.clone());
        let (tally, at, last) = (tally.clone(), at.clone(), steps.len().saturating_sub(1));
        let cutter = Mutex::new(Cutter {
            budget,
            random,
            points: 0,
            large_points: 0,
        });
        move |operation: Call, path: &Path| {
            if !Call::CHANGES.contains(&operation) {
                return;
            }
            let (at, holds_large) = (
                at.load(Ordering::Relaxed),
                holds_large.load(Ordering::Relaxed),
            );
            let (mut cutter, mut tally) = (cutter.lock().unwrap(), tally.lock().unwrap());
            let states = cutter.states(holds_large, at == last, &tally);
            if states == 0 {
                return;
            }
            tally.points += 1;
            tally.blank_logs += u64::from(has_blank_log(&mem));
            let point = cutter.points;
            let place = format!("seed {seed:#x} point {point}, before {operation:?} {path:?}");
            for _ in 0..states {
                let crash = Crash {
                    mem: &mem,
                    options: &options,
                    possible: &possible.lock().unwrap(),
                    holds_large,
                };
                crash.check(&mut cutter.random, &place, &mut tally);
            }
            if tally.violations.count() > 0 {
                tally.failed.get_or_insert((seed, at));
            }
        }
    };
    env.set_hook(Some(Arc::new(hook) as Hook));
    for (number, step) in steps.iter().enumerate() {
        at.store(number, Ordering::Relaxed);
        if budget.is_some_and(|budget| budget.is_over(|| tally.lock().unwrap().is_lacking())) {
            break;
        }
        if let Err(error) = story.step(step) {
            let mut tally = tally.lock().unwrap();
            let place = format!("seed {seed:#x} step {number}");
            tally.violations.add(&place, &error);
            tally.failed.get_or_insert((seed, number));
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

/// A moment at which the process may die, or power fail.
pub struct Crash<'a> {
    pub mem: &'a MemEnv,
    pub options: &'a Options,
    pub possible: &'a Possible,
    pub holds_large: bool,
}

impl Crash<'_> {
    /// Tries one state after a kill or a power cut, and checks everything that must hold of it.
    pub fn check(&self, random: &mut Random, place: &str, tally: &mut Tally) {
        let possible = self.possible;
        let cut = (!random.one_in(5)).then(|| throw_cut(random));
        let (after, floor) = match cut {
            Some(cut) => (
                self.mem.power_cut_as(cut, &mut tally.effects),
                possible.durable(),
            ),
            None => (self.mem.process_crash(), possible.last()),
        };
        tally.states += 1;
        let (large_key, large_value) = has_large(&possible.now());
        tally.large_keys += u64::from(large_key);
        tally.large_values += u64::from(large_value);
        // A recovery of large data has many changes, and each copies the disk.
        let walk = !self.holds_large && random.one_in(WALKED_RECOVERIES);
        let cuts = match check(&after, self.options, possible, floor, random, walk) {
            Ok(cuts) => cuts,
            Err(what) => return tally.violations.add(&format!("{place}, {cut:?}"), &what),
        };
        tally.walked_recoveries += u64::from(walk && cuts.len() > 1);
        for (after, again) in cuts {
            tally.second_crashes += 1;
            let floor = possible.durable();
            if let Err(what) = check(&after, self.options, possible, floor, random, false) {
                let place = format!("{place}, {cut:?}, then in recovery {again:?}");
                tally.violations.add(&place, &what);
            }
        }
    }
}

/// A cut of any kind.
fn throw_cut(random: &mut Random) -> PowerCut {
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

/// The states that power cuts in the middle of a recovery left, and those cuts.
type Cuts = Vec<(MemEnv, PowerCut)>;

/// Opens `disk` and checks it. Also returns the state that a power cut before one of this recovery's changes would
/// leave, or the states before all of them if the recovery is to be walked.
fn check(
    disk: &MemEnv,
    options: &Options,
    possible: &Possible,
    floor: usize,
    random: &mut Random,
    walk: bool,
) -> Result<Cuts, String> {
    let env = FaultEnv::new(Arc::new(disk.clone()), 0);
    let cuts: Arc<Mutex<Cuts>> = Arc::default();
    let (kept, mem) = (cuts.clone(), disk.clone());
    let dice = Mutex::new((Random::new(random.next()), 0));
    env.set_hook(Some(Arc::new(move |operation, _: &Path| {
        if !Call::CHANGES.contains(&operation) {
            return;
        }
        let (dice, changes) = &mut *dice.lock().unwrap();
        *changes += 1;
        // Each change is equally likely to be chosen, however many there will be.
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
    let found = possible.find(&db, floor)?;

    // No dropped batch comes back, and no durable batch disappears.
    let again = disk.power_cut_as(throw_cut(random), &mut BTreeSet::new());
    reopen(&again, options, |db| {
        match possible.find(db, possible.durable())? {
            fewer if fewer <= found => Ok(()),
            more => Err(format!("state {more} came back, it was {found}")),
        }
    })
    .map_err(|what| format!("power lost again after the recovery: {what}"))?;

    // The database takes writes and keeps them.
    let steps = random.below(3);
    for _ in 0..steps {
        db.run_background_step()
            .map_err(|error| format!("background: {error}"))?;
    }
    let mut expected = Model::clone(&possible.state(found).model);
    db.put_with(b"probe", b"1", &WriteOptions::synced())
        .map_err(|error| format!("takes no write: {error}"))?;
    expected.put(b"probe", b"1");
    let again = match random.below(3) {
        0 => {
            db.close().map_err(|error| format!("close: {error}"))?;
            disk.power_cut_as(throw_cut(random), &mut BTreeSet::new())
        }
        1 => disk.power_cut_as(throw_cut(random), &mut BTreeSet::new()),
        _ => disk.process_crash(),
    };
    drop(db);
    reopen(&again, options, |db| holds(db, &expected))
        .map_err(|what| format!("after a write that follows the recovery: {what}"))?;
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
