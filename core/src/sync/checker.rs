//! Runs a model under many schedules, and says how to repeat one that failed.
//!
//! Half the schedules come from the random scheduler, which changes threads anywhere, half from PCT (Burckhardt et al.,
//! 2010), which finds orders that need only a few changes of thread with a known probability. A deadlock, a panic in
//! any thread, and a model that does not end are failures. Which schedules run depends on one seed.
//!
//! * `AIDB_SHUTTLE_RUNS`  multiplies the number of schedules (1)
//! * `AIDB_SHUTTLE_SEED`  the seed

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

/// How often PCT changes the thread that it prefers in one schedule.
const CHANGES: usize = 3;
/// A model that takes this many steps never ends.
const MAX_STEPS: usize = 400_000;
const STACK_BYTES: usize = 512 << 10;
/// The seed of `make test`, so that a model which passes today also passes tomorrow. `make torture` draws others.
const USUAL_SEED: u64 = 20_787;

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is not a number")),
    )
}

/// Runs `model` under `schedules` schedules, times a factor from the environment.
pub fn check(name: &str, schedules: usize, model: impl Fn() + Send + Sync + Copy + 'static) {
    let seed = variable("AIDB_SHUTTLE_SEED").unwrap_or(USUAL_SEED);
    let times = variable("AIDB_SHUTTLE_RUNS").unwrap_or(1) as usize;
    let each = (schedules * times).div_ceil(2);
    println!(
        "model {name}: {} schedules; again: AIDB_SHUTTLE_SEED={seed} AIDB_SHUTTLE_RUNS={times}",
        2 * each
    );
    run(RandomScheduler::new_from_seed(seed, each), model);
    run(PctScheduler::new_from_seed(seed, CHANGES, each), model);
}

fn run(scheduler: impl Scheduler + 'static, model: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.max_steps = MaxSteps::FailAfter(MAX_STEPS);
    config.failure_persistence = FailurePersistence::Print;
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(model);
}
