//! Makes every operation on the disk fail: once, permanently, with a write partly done, for lack of space; with
//! background work in steps and in threads.
//!
//! For each fault: the call that meets it returns an error of the right kind, unless `may_hide.rs` permits it to hide
//! the failure. Acknowledged writes stay, also if the process dies or power is lost in that moment. A read returns the
//! right answer, or the error of the operation that failed in it. Once the cause is gone, the next write works without
//! reopening. After a failed sync the disk model never makes durable what that sync was meant to.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::time::Duration;

use aidb::env::{Call, FaultEnv, MemEnv};
use aidb::{Error, ErrorKind, Options};
use aidb_tests::budget::SEEDS_BEGIN_AT;
use aidb_tests::history::{Checked, FaultPlan, Judge, Marked, Operation, print_shortest};
use aidb_tests::{Budget, Random, Violations, options, tell_figures};

use crate::may_hide::{Asked, Trace, place, reason};
use crate::power::{Crash, Tally};
use crate::story::{LargeAtWork, Story, has_large};

const STEPS: usize = 90;
/// More background steps than a story leaves to do.
const MAX_BACKGROUND_STEPS: usize = 10_000;
/// How many steps a permanent fault lasts.
const STEPS_UNDER_FAULT: u64 = 12;
/// How many steps lie between two comparisons while nothing has failed.
const STEPS_UNREAD: usize = 8;
/// How many runs go on at once: those with threads wait half of the time.
const RUNS_AT_ONCE: u64 = 3;
/// A run that takes longer hangs.
const MAX_RUN: Duration = Duration::from_secs(120);

/// A place in a story: a step, and how many operations of the failing kind come before it in that step.
type At = (usize, u64);

/// Which operation fails, and from where on.
#[derive(Debug, Clone)]
struct Plan {
    seed: u64,
    at: At,
    /// `None`: nothing fails.
    fault: Option<FaultPlan>,
    /// Background threads instead of steps.
    threads: bool,
}

impl Plan {
    /// Injects no fault into the story of `seed`.
    fn nothing(seed: u64, threads: bool) -> Plan {
        Plan {
            seed,
            at: (0, 0),
            fault: None,
            threads,
        }
    }

    /// Every fault of `operation` at this place.
    fn all(seed: u64, operation: Call, at: At) -> Vec<Plan> {
        let mut plans = Vec::new();
        for way in 0..16 {
            let fault = FaultPlan {
                call: operation,
                code: [libc::EIO, libc::ENOSPC][way & 1],
                path: "",
                after: at.1,
                times: [1, u64::MAX][way >> 1 & 1],
                partial: way & 4 > 0,
            };
            let threads = way & 8 > 0;
            let is_possible = (operation == Call::Write || !fault.partial)
                && (operation != Call::Spawn || threads);
            if is_possible {
                plans.push(Plan {
                    seed,
                    at,
                    fault: Some(fault),
                    threads,
                });
            }
        }
        plans
    }

    fn fails(&self, operation: Call) -> bool {
        let fault = self.fault.as_ref();
        fault.is_some_and(|fault| fault.call == operation)
    }

    fn is_sticky(&self) -> bool {
        let fault = self.fault.as_ref();
        fault.is_some_and(|fault| fault.times == u64::MAX)
    }

    fn is_of_space(&self) -> bool {
        let fault = self.fault.as_ref();
        fault.is_some_and(|fault| fault.code == libc::ENOSPC)
    }

    fn kind(&self) -> ErrorKind {
        match self.is_of_space() {
            true => ErrorKind::NoSpace,
            false => ErrorKind::Io,
        }
    }

    /// The plan's value in each dimension, as the tally counts it.
    fn ways(&self) -> [&'static str; 4] {
        let is_partial = self.fault.as_ref().is_some_and(|fault| fault.partial);
        [
            if self.is_of_space() { "ENOSPC" } else { "EIO" },
            if self.is_sticky() { "for good" } else { "once" },
            if is_partial { "in part" } else { "wholly" },
            if self.threads { "threads" } else { "steps" },
        ]
    }

    /// The story, with the fault in its place, and the generator of further draws.
    fn story(&self) -> (Vec<Operation>, Marked) {
        let mut marked = Marked::new(self.seed, is_large(self.seed));
        let mut steps = marked.take(STEPS);
        if self.threads {
            // They do the background work.
            for step in &mut steps {
                if matches!(step, Operation::BackgroundSteps(_)) {
                    *step = marked.write();
                }
            }
        }
        let fault = self.fault.iter().cloned();
        let inject = fault.map(|fault| Operation::Inject(vec![fault]));
        steps.splice(self.at.0..self.at.0, inject);
        (steps, marked)
    }
}

/// Every value of every dimension except the operation.
const WAYS: [&str; 8] = [
    "EIO", "ENOSPC", "once", "for good", "wholly", "in part", "steps", "threads",
];

/// What one run did.
#[derive(Default)]
struct Outcome {
    injected: u64,
    /// The places at which a run without faults asks for each operation, by operation and kind of place.
    places: BTreeMap<usize, BTreeMap<String, Vec<At>>>,
    /// Failures that no error reported, by the permitting reason.
    hidden: BTreeMap<&'static str, u64>,
    /// Comparisons, and their reads that failed because of a fault.
    reads: u64,
    failed_reads: u64,
    /// Comparisons with a key, and with a value, larger than a story usually has.
    large_keys: u64,
    large_values: u64,
    /// Crashes examined.
    states: u64,
    violations: Vec<String>,
}

/// The operations that a story reaches.
const OPERATIONS: [Call; 15] = [
    Call::Write,
    Call::Sync,
    Call::SyncDir,
    Call::Rename,
    Call::Create,
    Call::CreateDir,
    Call::Open,
    Call::Read,
    Call::Remove,
    Call::Look,
    Call::Random,
    Call::Lock,
    Call::SetLen,
    Call::Link,
    Call::Spawn,
];

/// What all runs did.
#[derive(Default)]
struct Total {
    runs: u64,
    states: u64,
    /// Failures, by operation and by the value of each other dimension.
    by_operation: BTreeMap<String, u64>,
    by_way: BTreeMap<&'static str, u64>,
    hidden: BTreeMap<&'static str, u64>,
    reads: u64,
    failed_reads: u64,
    /// Runs with a fault.
    large_keys: u64,
    large_values: u64,
    violations: Violations,
    /// The first run with a violation.
    failed: Option<Plan>,
}

impl Total {
    /// Whether the runs have missed something that they must see.
    fn is_lacking(&self) -> bool {
        let failed = |operation: &Call| {
            let count = self.by_operation.get(&format!("{operation:?}")).copied();
            count.unwrap_or(0) > 0
        };
        let went = |way: &&str| self.by_way.get(way).copied().unwrap_or(0) > 0;
        let counts = [self.failed_reads, self.large_keys, self.large_values];
        counts.contains(&0) || !OPERATIONS.iter().all(failed) || !WAYS.iter().all(went)
    }

    fn add(&mut self, plan: &Plan, outcome: &Outcome) {
        self.runs += 1;
        self.states += outcome.states;
        if let Some(fault) = &plan.fault {
            let operation = format!("{:?}", fault.call);
            *self.by_operation.entry(operation).or_default() += outcome.injected;
        }
        for way in plan.ways() {
            *self.by_way.entry(way).or_default() += outcome.injected;
        }
        for (reason, count) in &outcome.hidden {
            *self.hidden.entry(reason).or_default() += count;
        }
        self.reads += outcome.reads;
        self.failed_reads += outcome.failed_reads;
        if outcome.injected > 0 {
            self.large_keys += outcome.large_keys;
            self.large_values += outcome.large_values;
        }
        for what in &outcome.violations {
            self.violations.add(&format!("{plan:?}"), what);
            self.failed.get_or_insert_with(|| plan.clone());
        }
    }
}

/// In a short run, how many runs of a story with large data inject a fault: each of them takes long.
const FEW_LARGE_RUNS: usize = 15;

#[test]
fn every_operation_fails_once_and_for_good() {
    let budget = Budget::new("crash", "every_operation_fails_once_and_for_good");
    let total = Mutex::new(Total::default());
    let run = |plan: Plan| {
        let outcome = run_within(&plan, plan.story().0);
        total.lock().unwrap().add(&plan, &outcome);
        outcome.places
    };
    let mut random = Random::new(budget.seed);
    let (mut story, mut whole, mut large) = (0, 0, 0);
    let is_over = || budget.is_over(|| total.lock().unwrap().is_lacking());
    while !is_over() {
        let seed = budget.seed.wrapping_add(story);
        story += 1;
        large += u64::from(is_large(seed));
        let at_work = is_large(seed).then(LargeAtWork::begin);
        let in_steps = run(Plan::nothing(seed, false));
        let in_threads = run(Plan::nothing(seed, true));
        let mut turns = Vec::new();
        for operation in OPERATIONS {
            let places = match operation {
                // Their number does not depend on the speed of the threads.
                Call::Spawn => &in_threads,
                _ => &in_steps,
            };
            let places = places.get(&(operation as usize));
            let places: Vec<&Vec<At>> = places.into_iter().flat_map(BTreeMap::values).collect();
            let reached = places.iter().copied().flatten().count();
            let mut plans = Vec::new();
            if budget.all {
                let everywhere = places.iter().copied().flatten();
                plans.extend(everywhere.flat_map(|&at| Plan::all(seed, operation, at)));
                random.shuffle(&mut plans);
            } else {
                let count = match reached {
                    0 => 0,
                    1..=20 => 2,
                    _ => 8,
                };
                for _ in 0..count {
                    // A rare place fails as often as a frequent one.
                    let place = random.pick(&places);
                    let at = *random.pick(place);
                    plans.push(random.pick(&Plan::all(seed, operation, at)).clone());
                }
            }
            turns.extend((0..).zip(plans));
        }
        // The operations take turns, so that a run that ends early has tried each of them.
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
    if let Some(plan) = &total.failed {
        println!("first to fail: {plan:?}");
        print_shortest(&plan.story().0, |steps| {
            let outcome = run_within(plan, steps.to_vec());
            outcome.violations.into_iter().next()
        });
    }
    println!(
        "faults: {story} stories, {} runs, injected {:?}, {:?}, hidden {:?}, {} comparisons with {} failed reads, \
         {} and {} of large keys and values, {} violations",
        total.runs,
        total.by_operation,
        total.by_way,
        total.hidden,
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

/// Whether the story of this seed has large data: one in four has, among them the second of a run. Its runs take
/// longer.
fn is_large(seed: u64) -> bool {
    seed % SEEDS_BEGIN_AT == 1
}

/// Runs the story of `plan` on another thread, so that the test notices if it hangs or panics.
fn run_within(plan: &Plan, steps: Vec<Operation>) -> Outcome {
    let (send, receive) = mpsc::channel();
    let plan = plan.clone();
    let thread = std::thread::spawn(move || send.send(Run::new(plan).tell(&steps)));
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

/// Calls that change nothing.
const READS: [&str; 5] = ["iterate", "walk", "walk back", "get", "get_many"];

/// Judges each call of a story by the operations that failed in it.
struct Told {
    plan: Plan,
    /// The operations of the current call; empty if there are threads and a fault.
    trace: Trace,
    /// The current step, where a fault may be placed, and its count of operations of each kind.
    asked: Mutex<(Option<usize>, BTreeMap<usize, u64>)>,
    outcome: Mutex<Outcome>,
}

impl Judge for Told {
    fn begin(&self) {
        self.trace.begin();
    }

    fn judge(&self, call: &str, error: Option<&Error>, injected: u64) -> Checked<()> {
        let (plan, asked) = (&self.plan, self.trace.asked());
        let mut wrong = Vec::new();
        if let Some(error) = error {
            if error.kind() != plan.kind() {
                wrong.push(format!("it answers {error}"));
            }
            // The engine may report a thread's failure later, and so a failure of a directory that leaves a log's name
            // uncertain.
            let may_be_late = plan.threads || plan.fails(Call::SyncDir);
            if injected == 0 && !may_be_late {
                wrong.push(format!("nothing failed in it, and it answers {error}"));
            }
            if READS.contains(&call) {
                self.outcome().failed_reads += 1;
                let needs = [Call::Read, Call::Open, Call::Look];
                if injected == 0 || !needs.iter().any(|&operation| plan.fails(operation)) {
                    wrong.push("nothing that it needs failed".to_string());
                }
            }
        } else {
            // Only the caller starts threads.
            if plan.fails(Call::Spawn) && injected > 0 {
                wrong.push("it succeeds, though a thread did not start".to_string());
            }
            for at in (0..asked.len()).filter(|&at| asked[at].is_due) {
                match reason(&asked, at) {
                    Some(reason) => *self.outcome().hidden.entry(reason).or_default() += 1,
                    None => wrong.push(format!(
                        "it succeeds, though {:?} of {} failed",
                        asked[at].operation,
                        asked[at].path.display()
                    )),
                }
            }
        }
        if plan.fault.is_none() {
            self.note_places(call, &asked);
        }
        let due = asked.iter().filter(|asked| asked.is_due).count() as u64;
        if !plan.threads && due != injected {
            wrong.push(format!(
                "{injected} operations failed in it, {due} should have"
            ));
        }
        let wrong = wrong.iter().map(|wrong| format!("{call}: {wrong}"));
        self.outcome().violations.extend(wrong);
        Ok(())
    }
}

impl Told {
    fn outcome(&self) -> MutexGuard<'_, Outcome> {
        self.outcome.lock().unwrap()
    }

    fn begin_step(&self, step: Option<usize>) {
        *self.asked.lock().unwrap() = (step, BTreeMap::new());
    }

    fn note_places(&self, call: &str, asked: &[Asked]) {
        let (step, counts) = &mut *self.asked.lock().unwrap();
        let Some(step) = *step else { return };
        let mut outcome = self.outcome();
        for at in 0..asked.len() {
            let operation = asked[at].operation as usize;
            let count = counts.entry(operation).or_default();
            let place = match self.plan.threads {
                true => call.to_string(),
                false => format!("{call}: {}", place(asked, at)),
            };
            let places = outcome.places.entry(operation).or_default();
            places.entry(place).or_default().push((step, *count));
            *count += 1;
        }
    }
}

/// A story under a plan.
struct Run {
    mem: MemEnv,
    env: FaultEnv,
    story: Story,
    told: Arc<Told>,
    /// Decides which crashes the run examines.
    random: Random,
    /// Decides which keys the run reads: the same for every plan of a story.
    keys: Random,
    /// Draws the actions beside the story's steps.
    marked: Marked,
    options: Options,
}

impl Run {
    fn new(plan: Plan) -> Run {
        let mem = MemEnv::new();
        let seed = plan.seed ^ (plan.at.0 as u64) << 32 ^ plan.at.1;
        let env = FaultEnv::new(Arc::new(mem.clone()), seed);
        let trace = Trace::default();
        if !plan.threads || plan.fault.is_none() {
            let trace = trace.clone();
            env.set_hook(Some(Arc::new(move |operation, path: &Path| {
                trace.note(operation, path);
            })));
        }
        let (_, marked) = plan.story();
        let options = options(&mut Random::new(plan.seed)).manual_background(true);
        let keys = Random::new(plan.seed);
        let threads = plan.threads;
        let told = Arc::new(Told {
            plan,
            trace,
            asked: Mutex::default(),
            outcome: Mutex::default(),
        });
        let judge = Arc::clone(&told);
        let mut story = Story::new(&mem, env.clone(), options.clone(), Some(judge));
        if threads {
            story.run = story.run.with_threads();
        }
        Run {
            mem,
            env,
            story,
            told,
            random: Random::new(seed),
            keys,
            marked,
            options,
        }
    }

    fn wrong(&self, what: impl Into<String>) {
        self.told.outcome().violations.push(what.into());
    }

    /// Does one step. Returns whether none of its calls failed.
    fn step(&mut self, step: &Operation) -> bool {
        self.story.step(step).unwrap_or_else(|what| {
            let mark = self.mark();
            self.wrong(format!("{} after write {mark}: {what}", step.name()));
            false
        })
    }

    fn mark(&self) -> u32 {
        let possible = self.story.run.possible();
        possible.state(possible.last()).mark
    }

    fn tell(mut self, steps: &[Operation]) -> Outcome {
        let (mut under_fault, mut last_read) = (0, 0);
        let mut numbers = 0..;
        for step in steps {
            if let Operation::Inject(plans) = step {
                self.step(step);
                plans.iter().for_each(|plan| self.told.trace.fails(plan));
                continue;
            }
            let number = numbers.next().expect("they do not end");
            self.told.begin_step(Some(number));
            let has_worked = self.step(step);
            let is_injected = self.env.injected() > 0;
            let mark = self.mark();
            let is_new =
                self.story.holds_large() && mark != std::mem::replace(&mut last_read, mark);
            if is_injected || is_new || number % STEPS_UNREAD == 0 {
                self.read();
            }
            if is_injected {
                under_fault += 1;
                if under_fault == 1 || !has_worked && self.random.one_in(4) {
                    self.crash();
                }
            }
            if under_fault == STEPS_UNDER_FAULT {
                self.must_be_reported();
            }
            if under_fault > STEPS_UNDER_FAULT {
                self.clear();
            }
            if self.told.outcome().violations.len() > 3 {
                break;
            }
        }
        self.told.begin_step(None);
        self.told.outcome().injected = self.env.injected();
        self.clear();
        self.end();
        self.crash();
        std::mem::take(&mut *self.told.outcome())
    }

    /// The disk works again.
    fn clear(&mut self) {
        self.step(&Operation::ClearFaults);
        self.told.trace.nothing_fails_any_more();
    }

    /// A permanent fault shows at the latest in a write and a flush, whichever thread flushes.
    fn must_be_reported(&mut self) {
        let plan = &self.told.plan;
        let needed = [Call::Write, Call::Sync, Call::SyncDir, Call::Create];
        let is_needed = needed.iter().any(|&operation| plan.fails(operation));
        if !(self.story.run.is_ready() && plan.is_sticky() && is_needed) {
            return;
        }
        let write = self.marked.batch(false);
        let is_written = self.step(&write);
        let is_flushed = self.step(&Operation::Flush);
        if is_written && is_flushed {
            self.wrong(
                "a write and a flush succeed, though an operation that they need always fails",
            );
        }
    }

    /// Reads, in every way, everything that is open. Each read returns the right answer, or the error of the operation
    /// that failed in it. Returns whether all of it worked.
    fn read(&mut self) -> bool {
        if !self.story.run.is_ready() {
            return false;
        }
        let keys: Vec<Vec<u8>> = (0..4).map(|_| self.keys.key()).collect();
        let outcome = self.story.run.read_some(&keys);
        let has_worked = outcome.unwrap_or_else(|what| {
            self.wrong(format!("after write {}: {what}", self.mark()));
            false
        });
        let (large_key, large_value) = has_large(&self.story.run.possible().now());
        let mut outcome = self.told.outcome();
        outcome.large_keys += u64::from(large_key);
        outcome.large_values += u64::from(large_value);
        outcome.reads += 1;
        has_worked
    }

    /// Everything works again, without reopening anything.
    fn end(&mut self) {
        let [write, synced, last] = [false, true, true].map(|sync| self.marked.batch(sync));
        let idle = Operation::BackgroundSteps(MAX_BACKGROUND_STEPS);
        let has_opened = self.story.run.open().is_ok() && self.read();
        let has_worked = has_opened
            && self.all_work(&[write, synced])
            && self.read()
            && self.all_work(&[Operation::Flush, idle])
            && self.read()
            && self.all_work(&[last]);
        if !has_worked {
            self.wrong("after the fault something fails still");
        }
    }

    fn all_work(&mut self, steps: &[Operation]) -> bool {
        steps.iter().all(|step| self.step(step))
    }

    /// Kills the process, and cuts the power, in copies of this moment.
    fn crash(&mut self) {
        let holds_large = self.story.holds_large();
        let mut tally = Tally::default();
        let possible = self.story.run.possible();
        for _ in 0..if holds_large { 1 } else { 3 } {
            let crash = Crash {
                mem: &self.mem,
                options: &self.options,
                possible: &possible,
                holds_large,
            };
            crash.check(&mut self.random, "crashed", &mut tally);
        }
        let mut outcome = self.told.outcome();
        outcome.states += tally.states + tally.second_crashes;
        if tally.violations.count() > 0 {
            let what = tally.violations.first().to_string();
            outcome.violations.push(what);
        }
    }
}
