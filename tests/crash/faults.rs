//! Every operation on the disk fails: once, for good, with part of a write done, for want of space; with background
//! work in steps and in threads.
//!
//! For each fault: the call that suffers answers an error of the right kind, unless `bearable.rs` says why it need not;
//! what was acknowledged stays, also across a kill and a loss of power in that moment; a read answers what is there or
//! the error of what failed in it; when the cause is gone, the next write works without reopening. After a failed sync
//! the model never makes durable what that sync was for.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use aidb::env::{Env, Fault, FaultEnv, MemEnv, Operation};
use aidb::{DB, ErrorKind, IterOptions};
use aidb_tests::budget::SEEDS_BEGIN_AT;
use aidb_tests::{Budget, Random, Violations, options, tell_figures};

use crate::bearable::{Asked, Trace, place, reason};
use crate::power::{self, Tally};
use crate::story::{LargeAtWork, Mismatch, State, Story};

const STEPS: u64 = 90;
/// Steps under a fault that stays, before it is taken away.
const STEPS_UNDER_FAULT: u64 = 12;
/// So many steps lie between two comparisons as long as nothing has failed.
const STEPS_UNREAD: u64 = 8;
/// Runs beside each other: those with threads wait half of the time.
const RUNS_AT_ONCE: u64 = 3;
/// A run that takes longer hangs.
const MAX_RUN: Duration = Duration::from_secs(120);

/// What fails, from the `n`-th on, and how.
#[derive(Debug, Clone, Copy)]
struct Plan {
    seed: u64,
    operation: Operation,
    n: u64,
    code: i32,
    sticky: bool,
    partial: bool,
    /// With background threads instead of steps.
    threads: bool,
}

impl Plan {
    /// Of the story of `seed` nothing fails.
    fn nothing(seed: u64, threads: bool) -> Plan {
        Plan {
            seed,
            operation: Operation::Write,
            n: u64::MAX,
            code: libc::EIO,
            sticky: false,
            partial: false,
            threads,
        }
    }

    fn is_nothing(&self) -> bool {
        self.n == u64::MAX
    }

    /// Every way in which the `n`-th `operation` may fail.
    fn all(seed: u64, operation: Operation, n: u64) -> Vec<Plan> {
        let mut plans = Vec::new();
        for way in 0..16 {
            let plan = Plan {
                seed,
                operation,
                n,
                code: [libc::EIO, libc::ENOSPC][way & 1],
                sticky: way & 2 > 0,
                partial: way & 4 > 0,
                threads: way & 8 > 0,
            };
            let is_possible = (operation == Operation::Write || !plan.partial)
                && (operation != Operation::Spawn || plan.threads);
            if is_possible {
                plans.push(plan);
            }
        }
        plans
    }

    fn kind(&self) -> ErrorKind {
        match self.code {
            libc::ENOSPC => ErrorKind::NoSpace,
            _ => ErrorKind::Io,
        }
    }

    /// Its place in each dimension, as it is counted.
    fn ways(&self) -> [&'static str; 4] {
        [
            match self.code {
                libc::ENOSPC => "ENOSPC",
                _ => "EIO",
            },
            if self.sticky { "for good" } else { "once" },
            if self.partial { "in part" } else { "wholly" },
            if self.threads { "threads" } else { "steps" },
        ]
    }
}

/// Every place in every dimension beside the operation.
const WAYS: [&str; 8] = [
    "EIO", "ENOSPC", "once", "for good", "wholly", "in part", "steps", "threads",
];

/// What one run did.
#[derive(Default)]
struct Outcome {
    injected: u64,
    /// The places at which each operation is asked for, in a run in which nothing fails, and which of them is where.
    places: BTreeMap<usize, BTreeMap<String, Vec<u64>>>,
    /// Failures that no error told, by the reason.
    borne: BTreeMap<&'static str, u64>,
    /// Comparisons, and those of their reads that a fault made fail.
    reads: u64,
    failed_reads: u64,
    /// Comparisons with a key, and with a value, larger than a story usually has.
    large_keys: u64,
    large_values: u64,
    /// Crashes looked at.
    states: u64,
    violations: Vec<String>,
}

/// The operations that a story reaches.
const OPERATIONS: [Operation; 15] = [
    Operation::Write,
    Operation::Sync,
    Operation::SyncDir,
    Operation::Rename,
    Operation::Create,
    Operation::CreateDir,
    Operation::Open,
    Operation::Read,
    Operation::Remove,
    Operation::Look,
    Operation::Random,
    Operation::Lock,
    Operation::SetLen,
    Operation::Link,
    Operation::Spawn,
];

/// What all runs did.
#[derive(Default)]
struct Total {
    runs: u64,
    states: u64,
    /// Failures, by the operation and in each other dimension.
    by_operation: BTreeMap<String, u64>,
    by_way: BTreeMap<&'static str, u64>,
    borne: BTreeMap<&'static str, u64>,
    reads: u64,
    failed_reads: u64,
    /// Of runs in which something fails.
    large_keys: u64,
    large_values: u64,
    violations: Violations,
}

impl Total {
    /// Whether something that a run must have seen was not.
    fn is_lacking(&self) -> bool {
        let failed = |operation: &Operation| {
            let count = self.by_operation.get(&format!("{operation:?}")).copied();
            count.unwrap_or(0) > 0
        };
        let went = |way: &&str| self.by_way.get(way).copied().unwrap_or(0) > 0;
        let counts = [self.failed_reads, self.large_keys, self.large_values];
        counts.contains(&0) || !OPERATIONS.iter().all(failed) || !WAYS.iter().all(went)
    }

    fn add(&mut self, plan: Plan, outcome: &Outcome) {
        self.runs += 1;
        self.states += outcome.states;
        let operation = format!("{:?}", plan.operation);
        *self.by_operation.entry(operation).or_default() += outcome.injected;
        for way in plan.ways() {
            *self.by_way.entry(way).or_default() += outcome.injected;
        }
        for (reason, count) in &outcome.borne {
            *self.borne.entry(reason).or_default() += count;
        }
        self.reads += outcome.reads;
        self.failed_reads += outcome.failed_reads;
        if outcome.injected > 0 {
            self.large_keys += outcome.large_keys;
            self.large_values += outcome.large_values;
        }
        for what in &outcome.violations {
            self.violations.add(&format!("{plan:?}"), what);
        }
    }
}

/// In how many runs of a story with large data something fails, if not everything is to: each takes its time.
const FEW_LARGE_RUNS: usize = 15;

#[test]
fn every_operation_fails_once_and_for_good() {
    let budget = Budget::new("crash", "every_operation_fails_once_and_for_good");
    let total = Mutex::new(Total::default());
    let run = |plan| {
        let outcome = run_within(plan);
        total.lock().unwrap().add(plan, &outcome);
        outcome.places
    };
    let mut random = Random::new(budget.seed);
    let (mut story, mut whole, mut large) = (0, 0, 0);
    let is_over = || budget.is_over(|| total.lock().unwrap().is_lacking());
    while !is_over() {
        let seed = budget.seed.wrapping_add(story);
        story += 1;
        large += u64::from(has_large(seed));
        let at_work = has_large(seed).then(LargeAtWork::begin);
        let in_steps = run(Plan::nothing(seed, false));
        let in_threads = run(Plan::nothing(seed, true));
        let mut turns = Vec::new();
        for operation in OPERATIONS {
            let places = match operation {
                // How many there are does not depend on the threads' pace.
                Operation::Spawn => &in_threads,
                _ => &in_steps,
            };
            let places = places.get(&(operation as usize));
            let places: Vec<&Vec<u64>> = places.into_iter().flat_map(BTreeMap::values).collect();
            let reached: usize = places.iter().map(|place| place.len()).sum();
            let mut plans = Vec::new();
            if budget.all {
                plans.extend((0..reached as u64).flat_map(|n| Plan::all(seed, operation, n)));
                random.shuffle(&mut plans);
            } else {
                let count = match reached {
                    0 => 0,
                    1..=20 => 2,
                    _ => 8,
                };
                for _ in 0..count {
                    // A rare place fails as often as one that is met all the time.
                    let place = random.pick(&places);
                    let n = *random.pick(place);
                    plans.push(*random.pick(&Plan::all(seed, operation, n)));
                }
            }
            turns.extend((0..).zip(plans));
        }
        // In turns, so that a run that is cut short has met every operation.
        random.shuffle(&mut turns);
        turns.sort_by_key(|(turn, _): &(u64, Plan)| *turn);
        if at_work.is_some() && !budget.all {
            turns.truncate(FEW_LARGE_RUNS);
        }
        let plans = Mutex::new(turns.into_iter().map(|(_, plan)| plan));
        let next = || match is_over() {
            true => None,
            false => plans.lock().unwrap().next(),
        };
        std::thread::scope(|scope| {
            for _ in 0..RUNS_AT_ONCE {
                scope.spawn(|| {
                    while let Some(plan) = next() {
                        run(plan);
                    }
                });
            }
        });
        whole += u64::from(budget.all && plans.into_inner().unwrap().next().is_none());
    }
    let total = total.into_inner().unwrap();
    println!(
        "faults: {story} stories, {} runs, injected {:?}, {:?}, borne {:?}, {} comparisons with {} failed reads, \
         {} and {} of large keys and values, {} violations",
        total.runs,
        total.by_operation,
        total.by_way,
        total.borne,
        total.reads,
        total.failed_reads,
        total.large_keys,
        total.large_values,
        total.violations.count()
    );
    tell_figures(
        "faults",
        &[
            ("histories", story),
            ("whole", whole),
            ("points", total.runs),
            ("states", total.states),
            ("faults", total.by_operation.values().sum()),
            ("violations", total.violations.count()),
        ],
    );
    assert_eq!(total.violations.count(), 0, "{}", total.violations.first());
    for operation in OPERATIONS.map(|operation| format!("{operation:?}")) {
        let count = total.by_operation.get(&operation).copied();
        assert!(count.unwrap_or(0) > 0, "{operation} never failed");
    }
    for way in WAYS {
        let count = total.by_way.get(way).copied();
        assert!(count.unwrap_or(0) > 0, "nothing ever failed: {way}");
    }
    assert!(total.failed_reads > 0, "no read ever failed");
    if large > 0 {
        assert!(total.large_keys > 0, "no large key was ever read");
        assert!(total.large_values > 0, "no large value was ever read");
    }
}

/// Whether the story of this seed has large data: one of four, the second of a run among them, since its runs take longer.
fn has_large(seed: u64) -> bool {
    seed % SEEDS_BEGIN_AT == 1
}

/// Runs `plan`, on another thread, so that a run that hangs or panics is noticed.
fn run_within(plan: Plan) -> Outcome {
    let (send, receive) = mpsc::channel();
    let thread = std::thread::spawn(move || send.send(Run::new(plan).tell()));
    let what = match receive.recv_timeout(MAX_RUN) {
        Ok(outcome) => return outcome,
        Err(mpsc::RecvTimeoutError::Timeout) => "it hangs".to_string(),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            format!("it panicked: {}", thread.join().is_err())
        }
    };
    Outcome {
        violations: vec![what],
        ..Outcome::default()
    }
}

/// A story under a plan.
struct Run {
    plan: Plan,
    mem: MemEnv,
    env: FaultEnv,
    story: Story,
    /// What the call under way has asked for; nothing if there are threads, and something fails.
    trace: Trace,
    /// Decides which crashes are looked at.
    random: Random,
    /// Decides which keys are read: the same for every plan of a story.
    keys: Random,
    outcome: Outcome,
}

impl Run {
    fn new(plan: Plan) -> Run {
        let mem = MemEnv::new();
        mem.create_dir_all(Path::new("/home")).unwrap();
        let env = FaultEnv::new(Arc::new(mem.clone()), plan.seed ^ plan.n);
        let mut fault = Fault::new(&[plan.operation], plan.code).after(plan.n);
        if plan.sticky {
            fault = fault.always();
        }
        if plan.partial {
            fault = fault.partial();
        }
        env.inject(fault);
        let trace = Trace::default();
        if !plan.threads || plan.is_nothing() {
            let (trace, asked) = (trace.clone(), AtomicU64::new(0));
            env.set_hook(Some(Arc::new(move |operation, path: &Path| {
                let is_due = operation == plan.operation && {
                    let index = asked.fetch_add(1, Ordering::Relaxed);
                    index == plan.n || plan.sticky && index > plan.n
                };
                trace.note(operation, path, is_due);
            })));
        }
        let options = options(&mut Random::new(plan.seed))
            .manual_background(!plan.threads)
            .env(Arc::new(env.clone()));
        let mut story = Story::new(plan.seed, options).with_large(has_large(plan.seed));
        story.manual = !plan.threads;
        Run {
            plan,
            mem,
            env,
            story,
            trace,
            random: Random::new(plan.seed ^ plan.n),
            keys: Random::new(plan.seed),
            outcome: Outcome::default(),
        }
    }

    fn tell(mut self) -> Outcome {
        let (mut under_fault, mut last_read) = (0, 0);
        for step in 0..STEPS {
            // Opening is a call of its own: what it may bear is less.
            let opened = self.call("open", |story| Ok(story.open().map(drop)?));
            let has_worked = match opened {
                true => self.call("step", Story::step),
                false => false,
            };
            let is_injected = self.env.injected() > 0;
            let is_new = {
                let ledger = self.story.ledger();
                let number = ledger.last().number;
                ledger.holds_large && number != std::mem::replace(&mut last_read, number)
            };
            if is_injected || is_new || step % STEPS_UNREAD == 0 {
                self.read();
            }
            if is_injected {
                under_fault += 1;
                if under_fault == 1 || !has_worked && self.random.one_in(4) {
                    self.crash();
                }
            }
            if under_fault == STEPS_UNDER_FAULT {
                self.must_be_told();
            }
            if under_fault > STEPS_UNDER_FAULT {
                self.clear();
            }
            if self.outcome.violations.len() > 3 {
                break;
            }
        }
        self.outcome.injected = self.env.injected();
        self.clear();
        if let Err(what) = self.end() {
            let what = format!("after the fault: {what}");
            self.outcome.violations.push(what);
        }
        self.crash();
        self.outcome
    }

    /// The disk works again.
    fn clear(&mut self) {
        self.env.clear();
        self.trace.nothing_fails_any_more();
    }

    /// What fails for good is told at the latest by a write and a flush, whoever runs the flush.
    fn must_be_told(&mut self) {
        let is_needed = matches!(
            self.plan.operation,
            Operation::Write | Operation::Sync | Operation::SyncDir | Operation::Create
        );
        let Some(db) = self
            .story
            .db
            .clone()
            .filter(|_| self.plan.sticky && is_needed)
        else {
            return;
        };
        let is_written = self.call("write", |story| {
            story.settle()?;
            Ok(story.write(&db, false)?)
        });
        let is_flushed = self.call("flush", |story| {
            db.flush()?;
            story.ledger().all_durable();
            Ok(())
        });
        if is_written && is_flushed {
            let what = "a write and a flush succeed, though what they need fails for good";
            self.outcome.violations.push(what.to_string());
        }
    }

    /// Makes a call and judges its answer by what has failed in it; whether it succeeded.
    fn call(&mut self, what: &str, call: impl FnOnce(&mut Story) -> Result<(), Mismatch>) -> bool {
        self.trace.begin();
        let before = self.env.injected();
        let answer = call(&mut self.story);
        let failed = self.env.injected() - before;
        let asked = self.trace.asked();
        let mut wrong = Vec::new();
        match &answer {
            Err(Mismatch::Differs(found)) => wrong.push(found.clone()),
            Err(Mismatch::Failed(error)) => {
                if error.kind() != self.plan.kind() {
                    wrong.push(format!("it answers {error}"));
                }
                // A thread's failure, and a directory's of which a log's name is uncertain, may be reported later.
                let may_be_late = self.plan.threads || self.plan.operation == Operation::SyncDir;
                if failed == 0 && !may_be_late {
                    wrong.push(format!("nothing failed in it, and it answers {error}"));
                }
            }
            Ok(()) => {
                // Threads are started by the caller alone.
                if self.plan.operation == Operation::Spawn && failed > 0 {
                    wrong.push("it succeeds, though a thread did not start".to_string());
                }
                for at in (0..asked.len()).filter(|&at| asked[at].is_due) {
                    match reason(&asked, at) {
                        Some(reason) => *self.outcome.borne.entry(reason).or_default() += 1,
                        None => wrong.push(format!(
                            "it succeeds, though {:?} of {} failed",
                            asked[at].operation,
                            asked[at].path.display()
                        )),
                    }
                }
            }
        }
        if self.plan.is_nothing() {
            self.note_places(what, &asked);
        }
        let due = asked.iter().filter(|asked| asked.is_due).count() as u64;
        if !self.plan.threads && due != failed {
            wrong.push(format!(
                "{failed} operations failed in it, {due} should have"
            ));
        }
        let number = self.story.ledger().last().number;
        let placed = |wrong: String| format!("{what} behind batch {number}: {wrong}");
        self.outcome
            .violations
            .extend(wrong.into_iter().map(placed));
        answer.is_ok()
    }

    fn note_places(&mut self, what: &str, asked: &[Asked]) {
        for at in 0..asked.len() {
            let operation = asked[at].operation as usize;
            let places = self.outcome.places.entry(operation).or_default();
            let n: usize = places.values().map(Vec::len).sum();
            let place = match self.plan.threads {
                true => what.to_string(),
                false => format!("{what}: {}", place(asked, at)),
            };
            places.entry(place).or_default().push(n as u64);
        }
    }

    /// Reads what is open in every way. Each answers what is there, or the error of what failed in it.
    fn read(&mut self) {
        let mut is_known = false;
        self.call("settle", |story| {
            is_known = story.settle()?;
            Ok(())
        });
        let Some(db) = self.story.db.clone().filter(|_| is_known) else {
            return;
        };
        let state = self.story.ledger().last().clone();
        let (large_key, large_value) = state.has_large();
        self.outcome.large_keys += u64::from(large_key);
        self.outcome.large_values += u64::from(large_value);
        let keys: Vec<Vec<u8>> = (0..4).map(|_| self.keys.key()).collect();
        self.outcome.reads += 1;
        self.read_once(|| state.compare_walk(&db, IterOptions::default()));
        self.read_once(|| state.compare_walk_back(&db));
        for key in state.entries.keys().next().into_iter().chain(&keys) {
            self.read_once(|| state.compare_get(&db, key));
        }
        self.read_once(|| state.compare_gets(&db, &keys));
    }

    fn read_once(&mut self, read: impl FnOnce() -> Result<(), Mismatch>) {
        let before = self.env.injected();
        let is_right = self.call("read", |_| read());
        if is_right {
            return;
        }
        self.outcome.failed_reads += 1;
        let may_fail = matches!(
            self.plan.operation,
            Operation::Read | Operation::Open | Operation::Look
        );
        if !may_fail || self.env.injected() == before {
            let what = "a read failed, and nothing that it needs had";
            self.outcome.violations.push(what.to_string());
        }
    }

    /// Everything works again, without reopening what is open.
    fn end(&mut self) -> Result<(), Mismatch> {
        let story = &mut self.story;
        let db = story.open()?.clone();
        story.settle()?;
        let exact = |story: &Story, db: &DB| -> Result<(), Mismatch> {
            let state: State = story.ledger().last().clone();
            state.compare(db)
        };
        exact(story, &db)?;
        story.write(&db, false)?;
        story.write(&db, true)?;
        exact(story, &db)?;
        db.flush()?;
        if story.manual {
            while db.run_background_step()? {}
        }
        story.ledger().all_durable();
        exact(story, &db)?;
        Ok(story.write(&db, true)?)
    }

    /// Kills the process, and the power, in copies of this moment.
    fn crash(&mut self) {
        let ledger = self.story.ledger();
        let options = self.story.options.clone().manual_background(true);
        let mut tally = Tally::default();
        for _ in 0..if ledger.holds_large { 1 } else { 3 } {
            let random = &mut self.random;
            power::crash_and_check(&self.mem, &options, &ledger, random, "crashed", &mut tally);
        }
        self.outcome.states += tally.states + tally.second_crashes;
        if tally.violations.count() > 0 {
            let what = tally.violations.first().to_string();
            self.outcome.violations.push(what);
        }
    }
}
