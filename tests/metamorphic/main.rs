//! Random histories: one seed draws operations, options and faults; a model keeps track of what is uncertain.
//!
//! A history without faults and power cuts runs under two sets of options and on SQLite; all three must answer alike.
//! The test shrinks a failing history and prints it with the one line that reruns it. `aidb_tests::history` draws the
//! operations and checks the answers, `sqlite.rs` has SQLite's answers; docs/testing.md has the commands,
//! bench/results/2026-11-29-tests.md the faults that this test has found.
//!
//! * `AIDB_META_SEED`     reruns one history
//! * `AIDB_META_SECONDS`  how long to draw new ones (30)

mod sqlite;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aidb::env::Call;
use aidb_tests::history::{
    Content, Entry, FaultPlan, Flavour, History, MAX_SMALL, Move, NAMES, Operation, Place, Step,
    Tally, Written, calls, deck, fault_name, options, print_shortest, run, seed_of, whole_deal,
};
use aidb_tests::{Fill, Random, Unit, Walk, edges_up_to};

const SEED_VARIABLE: &str = "AIDB_META_SEED";
const SECONDS_VARIABLE: &str = "AIDB_META_SECONDS";
/// After this many histories each kind of operation and fault must have occurred.
const ENOUGH_HISTORIES: u64 = 300;
/// In this many histories every count up to here and the next one occur many times: batches have at most 300
/// operations.
const MAX_COUNT: usize = 257;
/// A history takes milliseconds: one that takes this long hangs.
const HANGS_AFTER: Duration = Duration::from_secs(60);

thread_local! {
    /// A panic in a history is reported with the history, not at once.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// POSSIBLE-2, POSSIBLE-3, POSSIBLE-4, RUN-3, SQLITE-1.
#[test]
fn random_histories_hold_what_is_promised() {
    hush_panics();
    let (seed, given) = match std::env::var(SEED_VARIABLE) {
        Ok(_) => Random::seed_from(SEED_VARIABLE),
        Err(_) => (aidb_tests::first_seed(), false),
    };
    if given {
        let _watched = watch(seed);
        if let Err(failure) = check(&History::draw(seed)) {
            report(seed, &failure);
        }
        return;
    }
    let seconds = match std::env::var(SECONDS_VARIABLE) {
        Ok(text) => text.parse().expect("AIDB_META_SECONDS is a number"),
        Err(_) => aidb_tests::budget::usual_seconds("random_histories_hold_what_is_promised"),
    };
    eprintln!("random histories: first seed {seed:#x}, {seconds} s");
    let until = Instant::now() + Duration::from_secs(seconds);
    let next = AtomicU64::new(0);
    let failed: Mutex<Option<(u64, String)>> = Mutex::new(None);
    let tally = Mutex::new(Tally::default());
    let threads = std::thread::available_parallelism().map_or(2, |threads| threads.get().min(8));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while Instant::now() < until && failed.lock().unwrap().is_none() {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let seed = seed_of(seed, number);
                    let _watched = watch(seed);
                    match check(&History::draw(seed)) {
                        Ok(new) => tally.lock().unwrap().add(&new),
                        Err(failure) => {
                            failed.lock().unwrap().get_or_insert((seed, failure));
                        }
                    }
                }
            });
        }
    });
    if let Some((seed, failure)) = failed.into_inner().unwrap() {
        report(seed, &failure);
    }
    summarize(next.into_inner(), &tally.into_inner().unwrap());
}

/// RUN-1.
#[test]
fn a_seed_repeats_its_history_exactly() {
    hush_panics();
    for seed in 0..20 {
        let history = History::draw(seed);
        let (answers, first) =
            run(&history, 0, &Place::Memory).unwrap_or_else(|failure| report(seed, &failure));
        let (again, second) = run(&History::draw(seed), 0, &Place::Memory).unwrap();
        assert!(answers == again, "seed {seed:#x}: the answers differ");
        assert_eq!(first.injected, second.injected, "seed {seed:#x}");
        assert_eq!(first.faults, second.faults, "seed {seed:#x}");
    }
}

/// OPERATION-1, OPERATION-2. From each history half of the operations are removed, as shrinking does.
#[test]
fn a_history_makes_sense_whatever_operations_are_removed() {
    for seed in 0..40 {
        let mut history = History::draw(seed);
        let mut random = Random::new(seed);
        history.operations.retain(|_| random.below(2) == 0);
        check(&history).unwrap_or_else(|what| panic!("seed {seed}: {what}"));
    }
}

/// RIVAL-1. The model took such a step for a walk over everything.
#[test]
fn a_step_that_cannot_leave_an_end_reads_nothing() {
    let content = Content {
        length: 1,
        fill: Fill::Constant,
        tag: 1,
    };
    let put = |key: &[u8]| Step::Write(vec![Entry::Put(key.to_vec(), content)]);
    for (reverse, steps) in [
        (true, [Move::First, Move::Prev, Move::Prev]),
        (false, [Move::Last, Move::Next, Move::Next]),
        (false, [Move::Last, Move::Next, Move::Chunk(1)]),
    ] {
        let walk = Walk {
            reverse,
            ..Walk::default()
        };
        let moves = steps.to_vec();
        let mut history = History::draw(0);
        history.flavour = Flavour::Plain;
        history.operations = vec![
            Operation::Begin { read_only: false },
            Operation::Put {
                key: b"a".to_vec(),
                value: content,
                sync: false,
            },
            Operation::Within {
                transaction: 0,
                steps: vec![put(b"b"), Step::Walk { walk, moves }],
            },
            Operation::Commit {
                transaction: 0,
                sync: false,
            },
        ];
        check(&history).unwrap_or_else(|what| panic!("{steps:?}: {what}"));
    }
}

/// RIVAL-2. The model took a commit that a fault had failed for one that was made.
#[test]
fn a_commit_that_a_fault_fails_need_not_be_free_of_conflicts() {
    let content = Content {
        length: 20,
        fill: Fill::Noise,
        tag: 1,
    };
    let mut history = History::draw(0);
    history.flavour = Flavour::Faults;
    history.operations = vec![
        Operation::Begin { read_only: false },
        Operation::Within {
            transaction: 0,
            steps: vec![
                Step::Get(b"a".to_vec()),
                Step::Write(vec![Entry::Put(b"b".to_vec(), content)]),
            ],
        },
        Operation::Batch {
            entries: vec![
                Entry::Put(b"a".to_vec(), content),
                // Its commit is not kept in memory, so the transaction's must read tables.
                Entry::DeleteRange(Some(b"c".to_vec()), Some(b"d".to_vec())),
            ],
            sync: false,
        },
        Operation::Flush,
        Operation::Inject(vec![FaultPlan {
            call: Call::Read,
            code: 5,
            path: ".sst",
            after: 0,
            times: u64::MAX,
            partial: false,
        }]),
        Operation::Commit {
            transaction: 0,
            sync: false,
        },
    ];
    let tally = check(&history).unwrap();
    assert!(tally.writes_failed > 0, "the fault was met");
}

/// Runs a history on all sides. Errors: the violation, in words.
fn check(history: &History) -> Result<Tally, String> {
    QUIET.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let (answers, tally) = run(history, 0, &Place::Memory)?;
        if history.flavour == Flavour::Plain {
            let (others, _) =
                run(history, 1, &Place::Memory).map_err(|what| format!("other options: {what}"))?;
            if answers != others {
                let at = same(&answers, &others);
                return Err(format!("answer {at} depends on the options"));
            }
            let others = sqlite::answers(history, &answers)?;
            if answers != others {
                let at = same(&answers, &others);
                return Err(format!("answer {at} differs in SQLite"));
            }
        }
        Ok(tally)
    }));
    QUIET.set(false);
    outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

/// How many answers agree at the beginning.
fn same(answers: &[u64], others: &[u64]) -> usize {
    let pairs = answers.iter().zip(others);
    pairs.take_while(|(one, other)| one == other).count()
}

/// Shrinks and prints a failing history, and fails.
fn report(seed: u64, failure: &str) -> ! {
    let history = History::draw(seed);
    let with = |operations: &[Operation]| History {
        operations: operations.to_vec(),
        ..history.clone()
    };
    eprintln!(
        "history {seed:#x} ({:?}) failed: {failure}",
        history.flavour
    );
    print_shortest(&history.operations, |operations| {
        check(&with(operations)).err()
    });
    eprintln!("first options: {:?}", options(history.options));
    eprintln!(
        "rerun: {SEED_VARIABLE}={seed:#x} cargo test -p aidb-tests --test metamorphic random_histories"
    );
    panic!("a random history failed; it is printed above");
}

fn summarize(histories: u64, tally: &Tally) {
    let operations: u64 = tally.operations.values().sum();
    eprintln!(
        "{histories} histories, {operations} operations, {} faults injected, {} power cuts, {} writes and {} opens \
         failed, {} levels",
        tally.injected, tally.power_cuts, tally.writes_failed, tally.opens_failed, tally.deepest
    );
    aidb_tests::tell_figures(
        "metamorphic",
        &[
            ("histories", histories),
            ("points", operations),
            ("states", tally.power_cuts),
            ("faults", tally.injected),
            ("violations", 0),
        ],
    );
    eprintln!("operations: {:?}", tally.operations);
    eprintln!("faults: {:?}", tally.faults);
    eprintln!(
        "lookups in memory, unknown and known: {:?}",
        tally.in_memory
    );
    eprintln!("commits with and without a conflict: {:?}", tally.commits);
    if histories < ENOUGH_HISTORIES {
        return;
    }
    let mut unused: Vec<String> = NAMES
        .iter()
        .filter(|name| !tally.operations.contains_key(*name))
        .map(|name| name.to_string())
        .collect();
    let hows = ["EIO", "ENOSPC", "once", "sticky", "in part"];
    let faults = calls().map(fault_name).chain(hows.map(String::from));
    unused.extend(faults.filter(|name| !tally.faults.contains_key(name)));
    unused.extend(missed(&tally.data, histories));
    let counted = [
        ("an unknown key in a lookup in memory", tally.in_memory[0]),
        ("a known key in a lookup in memory", tally.in_memory[1]),
        ("a commit that conflicts", tally.commits[0]),
        ("a commit that does not conflict", tally.commits[1]),
    ];
    let never = counted.into_iter().filter(|(_, times)| *times == 0);
    unused.extend(never.map(|(what, _)| what.to_string()));
    assert!(unused.is_empty(), "never used: {unused:?}");
    assert!(
        tally.deepest >= 3,
        "only {} levels were used",
        tally.deepest
    );
}

/// The kinds of data that these histories never wrote.
fn missed(data: &Written, histories: u64) -> Vec<String> {
    // A fault may have hit a write of the dealt data, so it has to be dealt more than once.
    let all_are_sure = histories >= 3 * whole_deal();
    let mut missed: Vec<String> = deck()
        .into_iter()
        .filter(|dealt| all_are_sure || dealt.length() <= MAX_SMALL)
        .filter(|dealt| !data.lengths.contains(dealt))
        .map(|dealt| format!("{dealt:?} bytes"))
        .collect();
    let counts = edges_up_to(MAX_COUNT, Unit::Count).into_iter();
    let counts = counts.filter(|count| !data.counts.contains(count));
    missed.extend(counts.map(|count| format!("a batch of {count}")));
    for fill in Fill::ALL {
        if !data.fills.contains(&fill) {
            missed.push(format!("a value of {fill:?}"));
        }
        let stems = data.stems.iter().filter(|(kind, _)| *kind == fill);
        if stems.count() < 2 {
            missed.push(format!("long keys of {fill:?} with different beginnings"));
        }
    }
    if data.mixed_batches == 0 {
        missed.push("a batch of values that compress and others that do not".to_string());
    }
    missed
}

fn hush_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                usual(panic);
            }
        }));
    });
}

/// Ends the process and names the seed if the returned value is not dropped in time.
fn watch(seed: u64) -> Watched {
    let done = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&done);
    let waiting = std::thread::spawn(move || {
        let begun = Instant::now();
        while begun.elapsed() < HANGS_AFTER {
            std::thread::park_timeout(HANGS_AFTER);
            if seen.load(Ordering::Acquire) {
                return;
            }
        }
        eprintln!(
            "a history hangs; rerun: {SEED_VARIABLE}={seed:#x} cargo test -p aidb-tests --test metamorphic"
        );
        std::process::exit(1);
    });
    Watched {
        done,
        waiting: waiting.thread().clone(),
    }
}

struct Watched {
    done: Arc<AtomicBool>,
    waiting: std::thread::Thread,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Release);
        self.waiting.unpark();
    }
}
