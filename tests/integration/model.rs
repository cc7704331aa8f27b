//! Random histories in a real directory, with the engine's own threads, give the same answers as on files in memory,
//! where the model judges each answer.
//!
//! `AIDB_MODEL_SEED` reruns one history; `AIDB_MODEL_HISTORIES` runs more than the usual number.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use aidb_tests::Random;
use aidb_tests::history::{History, Place, run, seed_of};

const SEED_VARIABLE: &str = "AIDB_MODEL_SEED";
/// Histories at once: most of the time a history waits for the disk.
const THREADS: usize = 4;

#[test]
fn random_histories_with_threads_and_files_answer_as_those_in_memory() {
    let (first, given) = Random::seed_from(SEED_VARIABLE);
    let histories = match std::env::var("AIDB_MODEL_HISTORIES") {
        Ok(text) => text.parse().expect("AIDB_MODEL_HISTORIES is a number"),
        Err(_) if given => 1,
        Err(_) => 60,
    };
    let (next, deepest) = (AtomicU64::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= histories {
                        return;
                    }
                    let seed = if given { first } else { seed_of(first, number) };
                    deepest.fetch_max(compare(seed), Ordering::Relaxed);
                }
            });
        }
    });
    let deepest = deepest.into_inner();
    assert!(
        given || deepest >= 3,
        "the histories must reach level 2 and beyond, not only {deepest} levels"
    );
}

/// Runs the history of a seed in both places. Returns how many levels it reached in the directory.
fn compare(seed: u64) -> usize {
    let history = History::draw_plain(seed);
    let dir = tempfile::tempdir().unwrap();
    let rerun = format!(
        "rerun: {SEED_VARIABLE}={seed:#x} cargo test -p aidb-tests --test integration random_histories_with_threads"
    );
    let directory = Place::Directory(dir.path().to_path_buf());
    let (answers, tally) =
        run(&history, 0, &directory).unwrap_or_else(|failure| panic!("{failure}\n{rerun}"));
    let (expected, _) =
        run(&history, 0, &Place::Memory).unwrap_or_else(|failure| panic!("{failure}\n{rerun}"));
    assert!(answers == expected, "the answers differ\n{rerun}");
    assert_eq!((tally.injected, tally.power_cuts), (0, 0));
    tally.deepest
}
