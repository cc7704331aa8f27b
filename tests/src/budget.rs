//! The seed and duration of a run, and its findings.
//!
//! By default the first seed is always the same. Five tests go on to further seeds until a time is up, so a faster
//! machine tries more of them. The run prints the first seed with the line that reruns it. `make torture` draws another
//! seed for each run, and sets `AIDB_TORTURE_SECONDS`, which makes a test walk all points, for that long.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::Random;

/// The seed's variable.
pub const SEED: &str = "AIDB_TORTURE_SEED";
/// The duration's variable: seconds per test.
pub const SECONDS: &str = "AIDB_TORTURE_SECONDS";

/// How many times the usual duration a short run may take.
const MAX_TIMES: u32 = 8;

/// First seeds are multiples of this.
pub const SEEDS_BEGIN_AT: u64 = 4;

/// The tests that choose points, seeds and lives by the clock, and the duration of each in `make test`, in seconds; 0
/// means one round.
pub const USUAL_SECONDS: &[(&str, u64)] = &[
    ("power_is_cut_at_every_change_of_the_disk", 20),
    ("every_operation_fails_once_and_for_good", 20),
    ("damage_is_an_error_and_never_a_wrong_answer", 15),
    ("killed_writers_keep_every_acknowledged_write", 20),
    ("random_histories_hold_what_is_promised", 30),
    (
        "a_full_disk_loses_nothing_and_writing_goes_on_when_there_is_space",
        0,
    ),
    ("a_full_disk_opens_deletes_and_compacts_without_help", 0),
    (
        "a_roomy_disk_that_others_fill_loses_nothing_and_opens_reads_and_deletes",
        0,
    ),
    (
        "hundreds_of_tables_are_read_written_and_compacted_with_64_descriptors",
        0,
    ),
];

/// The duration of the test `name` in `make test`.
pub fn usual_seconds(name: &str) -> u64 {
    let found = USUAL_SECONDS.iter().find(|(test, _)| *test == name);
    found.unwrap_or_else(|| panic!("{name} has no budget")).1
}

/// The seed of the environment's variable, or the usual one.
pub fn first_seed() -> u64 {
    match Random::seed_from(SEED) {
        (given, true) => given,
        (usual, false) => usual / SEEDS_BEGIN_AT * SEEDS_BEGIN_AT,
    }
}

/// The duration, the first seed and the thoroughness of a run.
#[derive(Clone, Copy)]
pub struct Budget {
    /// The seed of everything random.
    pub seed: u64,
    /// Whether to try every point instead of a selection.
    pub all: bool,
    deadline: Instant,
    /// A short run that has missed something goes on until then.
    latest: Instant,
}

impl Budget {
    /// The budget of the test `name` of `binary`: as in [`USUAL_SECONDS`] unless the environment says otherwise.
    pub fn new(binary: &str, name: &str) -> Budget {
        let seconds = usual_seconds(name);
        let seed = first_seed();
        let asked = std::env::var(SECONDS).ok().map(|text| {
            text.parse::<u64>()
                .unwrap_or_else(|_| panic!("{SECONDS}={text:?}: expected a number"))
        });
        let duration = asked.map_or(String::new(), |seconds| format!("{SECONDS}={seconds} "));
        println!(
            "{name}: rerun with {SEED}={seed:#x} {duration}cargo test -p aidb-tests --test {binary} {name} -- --nocapture"
        );
        let time = Duration::from_secs(asked.unwrap_or(seconds));
        let all = asked.is_some();
        let begun = Instant::now();
        Budget {
            seed,
            all,
            deadline: begun + time,
            latest: begun + if all { time } else { time * MAX_TIMES },
        }
    }

    /// Whether the time is up.
    pub fn is_spent(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Whether to end: the time is up, and the run has tried everything that it must. How much fits into a time depends
    /// on the machine's other load, so a short run that lacks something gets more time.
    pub fn is_over(&self, is_lacking: impl FnOnce() -> bool) -> bool {
        let now = Instant::now();
        now >= self.latest || now >= self.deadline && !is_lacking()
    }
}

/// Prints the figures of one part of a run, in the form from which `make torture` makes its table.
pub fn tell_figures(part: &str, figures: &[(&str, u64)]) {
    let figures: Vec<String> = figures
        .iter()
        .map(|(name, count)| format!("{name}={count}"))
        .collect();
    println!("figures of {part}: {}", figures.join(" "));
}

/// Collects violations, prints the first of each kind at once, and fails the test at the end.
#[derive(Default)]
pub struct Violations {
    count: u64,
    first: String,
    kinds: BTreeSet<String>,
}

impl Violations {
    /// Notes a violation, found at `place`.
    pub fn add(&mut self, place: &str, what: &str) {
        self.count += 1;
        if self.first.is_empty() {
            self.first = format!("{what} ({place})");
        }
        let kind = what.replace(|c: char| c.is_ascii_digit(), "");
        if self.kinds.len() < 40 && self.kinds.insert(kind) {
            println!("VIOLATION {what} ({place})");
        }
    }

    /// The first one.
    pub fn first(&self) -> &str {
        &self.first
    }

    /// How many violations there were.
    pub fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The limit that docs/testing.md states for `make test`.
    const MAX_SECONDS: u64 = 5 * 60;
    /// The time counted for a test that does one round: twice the time of the slowest on two cores.
    const ROUND_SECONDS: u64 = 30;

    #[test]
    fn make_test_spends_five_minutes_at_most_on_crashes_faults_and_histories() {
        let seconds = USUAL_SECONDS.iter().map(|(_, seconds)| match seconds {
            0 => ROUND_SECONDS,
            seconds => *seconds,
        });
        let seconds: u64 = seconds.sum();
        assert!(seconds <= MAX_SECONDS, "{seconds} s");
    }
}
