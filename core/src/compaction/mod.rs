//! Merges tables into deeper levels, so that reads need few tables and hidden entries are dropped.
//!
//! * `picker.rs`    decides what to compact: pure, from a version to a plan; `picker/upkeep.rs` does so if no
//!                  level is too large, and `picker/check.rs` checks a plan independently
//! * `job.rs`       carries a plan out: from a plan to a version edit; `job/output_tables.rs` writes the tables
//! * `retention.rs` decides which entries survive: pure, one key at a time
//! * `ledger.rs`    accounts for every entry, of flushes too; `readers.rs` has the readers that it knows
//! * `outputs.rs`   compares finished tables with the facts that the manifest will have about them, for flushes
//!                  too
//!
//! Elsewhere: when to run, how many at once, applying the edit and deleting files (`db`).

mod job;
mod ledger;
mod outputs;
mod picker;
mod readers;
mod retention;

pub(crate) use job::{JobContext, run};
pub(crate) use ledger::{Ledger, Reason};
pub(crate) use outputs::check_added;
pub(crate) use picker::{
    MAX_PLAN_TABLES, Moment, PLAN_TABLES, PickerOptions, Plan, RangePlan, RunningCompaction,
    debt_bytes, level0_waits_for, pick, pick_upkeep, plan_range, plan_rewrite, scores,
};
pub(crate) use readers::Readers;
pub(crate) use retention::Retention;
