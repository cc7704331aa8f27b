//! Every operation on the disk fails: once, for good, with part of a write done, for want of space.
//!
//! For each fault: the call that suffers answers an error of the right kind; what was acknowledged stays, also
//! across a kill and a loss of power in that moment; reads go on; when the cause is gone, the next write works
//! without reopening. After a failed sync the model never makes durable what that sync was for.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use aidb::ErrorKind;
use aidb::env::{Env, Fault, FaultEnv, MemEnv, Operation};
use aidb_tests::{Budget, Random, Violations, tell_figures};

use crate::power::{self, Tally};
use crate::story::Story;

const STEPS: u64 = 90;
/// Steps under a fault that stays, before it is taken away.
const STEPS_UNDER_FAULT: u64 = 12;
/// A run that takes longer hangs.
const LONGEST_RUN: Duration = Duration::from_secs(120);

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

/// What one run did.
#[derive(Default)]
struct Outcome {
    injected: u64,
    /// Crashes looked at.
    states: u64,
    violations: Vec<String>,
}

/// The operations that a story reaches.
const OPERATIONS: [Operation; 13] = [
    Operation::Write,
    Operation::Sync,
    Operation::SyncDir,
    Operation::Rename,
    Operation::Create,
    Operation::Open,
    Operation::Read,
    Operation::Remove,
    Operation::Look,
    Operation::Random,
    Operation::Lock,
    Operation::SetLen,
    Operation::Link,
];

#[test]
fn every_operation_fails_once_and_for_good() {
    let budget = Budget::new("crash", "every_operation_fails_once_and_for_good", 45);
    let mut injected: BTreeMap<String, u64> = BTreeMap::new();
    let (mut runs, mut states, mut whole) = (0u64, 0u64, 0u64);
    let mut violations = Violations::default();
    let mut try_plan = |plan: Plan, violations: &mut Violations| {
        let outcome = run_within(plan);
        runs += 1;
        states += outcome.states;
        *injected.entry(format!("{:?}", plan.operation)).or_default() += outcome.injected;
        for what in outcome.violations {
            violations.add(&format!("{plan:?}"), &what);
        }
        outcome.injected
    };
    let mut random = Random::new(budget.seed);
    let mut story = 0;
    while !budget.is_spent() {
        let seed = budget.seed.wrapping_add(story);
        story += 1;
        let counts = count(seed);
        let mut plans = Vec::new();
        for operation in OPERATIONS {
            let reached = counts[&(operation as usize)];
            if budget.all {
                let points = (0..reached).flat_map(|n| (0..5).map(move |variant| (n, variant)));
                plans.extend(points.map(|(n, variant)| variant_of(seed, operation, n, variant)));
            } else {
                for _ in 0..if reached > 20 { 8 } else { 2 } {
                    let (n, variant) = (random.below(reached.max(1)), random.below(5));
                    plans.push(variant_of(seed, operation, n, variant));
                }
            }
        }
        // In no order, so that a run that is cut short has met every operation.
        while !plans.is_empty() && !budget.is_spent() {
            let at = random.below(plans.len() as u64) as usize;
            try_plan(plans.swap_remove(at), &mut violations);
        }
        whole += u64::from(budget.all && plans.is_empty());
    }
    println!(
        "faults: {story} stories, {runs} runs, injected {injected:?}, {} violations",
        violations.count()
    );
    tell_figures(
        "faults",
        &[
            ("histories", story),
            ("whole", whole),
            ("points", runs),
            ("states", states),
            ("faults", injected.values().sum()),
            ("violations", violations.count()),
        ],
    );
    assert_eq!(violations.count(), 0);
    for operation in OPERATIONS {
        let count = injected.get(&format!("{operation:?}")).copied();
        assert!(count.unwrap_or(0) > 0, "{operation:?} never failed");
    }
}

fn variant_of(seed: u64, operation: Operation, n: u64, variant: u64) -> Plan {
    Plan {
        seed,
        operation,
        n,
        code: [libc::EIO, libc::ENOSPC][(variant % 2) as usize],
        sticky: variant / 2 == 1,
        partial: operation == Operation::Write && (n + variant) % 2 == 1,
        threads: variant == 4,
    }
}

/// How often a story asks for each operation when nothing fails.
fn count(seed: u64) -> BTreeMap<usize, u64> {
    let env = FaultEnv::new(Arc::new(home()), seed);
    let mut story = story(seed, &env, false);
    for _ in 0..STEPS {
        story.step().expect("nothing fails here");
    }
    OPERATIONS
        .iter()
        .map(|&operation| (operation as usize, env.count(operation)))
        .collect()
}

fn home() -> MemEnv {
    let mem = MemEnv::new();
    mem.create_dir_all(Path::new("/home")).unwrap();
    mem
}

fn story(seed: u64, env: &FaultEnv, threads: bool) -> Story {
    let options = Random::new(seed).options().manual_background(!threads);
    let mut story = Story::new(seed, options.env(Arc::new(env.clone())));
    story.manual = !threads;
    story
}

/// Runs `plan`, on another thread, so that a run that hangs is noticed.
fn run_within(plan: Plan) -> Outcome {
    if !plan.threads {
        return run(plan);
    }
    let (send, receive) = mpsc::channel();
    let thread = std::thread::spawn(move || send.send(run(plan)));
    match receive.recv_timeout(LONGEST_RUN) {
        Ok(outcome) => outcome,
        Err(mpsc::RecvTimeoutError::Timeout) => Outcome {
            injected: 0,
            states: 0,
            violations: vec!["it hangs".to_string()],
        },
        Err(mpsc::RecvTimeoutError::Disconnected) => Outcome {
            injected: 0,
            states: 0,
            violations: vec![format!("it panicked: {:?}", thread.join().is_err())],
        },
    }
}

fn run(plan: Plan) -> Outcome {
    let mem = home();
    let env = FaultEnv::new(Arc::new(mem.clone()), plan.seed ^ plan.n);
    let mut fault = Fault::new(&[plan.operation], plan.code).after(plan.n);
    if plan.sticky {
        fault = fault.always();
    }
    if plan.partial {
        fault = fault.partial();
    }
    env.inject(fault);
    let mut story = story(plan.seed, &env, plan.threads);
    let mut outcome = Outcome::default();
    let mut random = Random::new(plan.seed ^ plan.n);
    let mut under_fault = 0;
    for step in 0..STEPS {
        let result = story.step();
        if let Err(error) = &result {
            let expected = match plan.code {
                libc::ENOSPC => ErrorKind::NoSpace,
                _ => ErrorKind::Io,
            };
            if error.kind() != expected {
                outcome
                    .violations
                    .push(format!("step {step} answers {error}"));
            }
        }
        let reads_fail = matches!(
            plan.operation,
            Operation::Read | Operation::Open | Operation::Look
        );
        if env.injected() > 0 {
            under_fault += 1;
            if !reads_fail && let Err(what) = exact(&mut story) {
                outcome
                    .violations
                    .push(format!("step {step}, under the fault: {what}"));
            }
            if under_fault == 1 || result.is_err() && random.one_in(4) {
                crash_states(&mem, &story, &mut random, &mut outcome);
            }
        }
        if under_fault > STEPS_UNDER_FAULT {
            env.clear();
        }
        if outcome.violations.len() > 3 {
            break;
        }
    }
    outcome.injected = env.injected();
    env.clear();
    if let Err(what) = end(&mut story) {
        outcome.violations.push(format!("after the fault: {what}"));
    }
    crash_states(&mem, &story, &mut random, &mut outcome);
    outcome
}

/// What an open database must show right now.
fn exact(story: &mut Story) -> Result<(), String> {
    let Ok(true) = story.settle() else {
        return Ok(());
    };
    let Some(db) = story.db.clone() else {
        return Ok(());
    };
    story.ledger().last().compare(&db)
}

/// Everything works again, without reopening what is open.
fn end(story: &mut Story) -> Result<(), String> {
    let text = |error: aidb::Error| error.to_string();
    let db = story.open().map_err(text)?.clone();
    story.settle().map_err(text)?;
    exact(story)?;
    story.write(&db, false).map_err(text)?;
    story.write(&db, true).map_err(text)?;
    exact(story)?;
    db.flush().map_err(text)?;
    if story.manual {
        while db.run_background_step().map_err(text)? {}
    }
    story.ledger().all_durable();
    exact(story)?;
    story.write(&db, true).map_err(text)
}

/// Kills the process, and the power, in copies of this moment.
fn crash_states(mem: &MemEnv, story: &Story, random: &mut Random, outcome: &mut Outcome) {
    let ledger = story.ledger();
    let options = story.options.clone().manual_background(true);
    let mut tally = Tally::default();
    for _ in 0..3 {
        power::crash_and_check(mem, &options, &ledger, random, "crashed", &mut tally);
    }
    outcome.states += tally.states + tally.second_crashes;
    if tally.violations.count() > 0 {
        outcome
            .violations
            .push(tally.violations.first().to_string());
    }
}
