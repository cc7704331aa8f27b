//! Histories: operations on a database as plain data, drawn from a seed or decoded from bytes, run, judged by a model, and
//! shrunk if they fail. One language for all tests that draw operations.
//!
//! `operation.rs` says what there is and how it is drawn, `marked.rs` how for the crash tests, `run.rs` what is checked,
//! `compare.rs` how, `possible.rs` what a database may hold after a crash, `shrink.rs` how a failure gets short.

mod compare;
mod marked;
mod operation;
mod possible;
mod run;
mod shrink;

pub use compare::{contents, difference, get_differs, gets_differ, holds};
pub use marked::{MAX_SHORT_KEY, Marked};
pub use operation::{
    Content, Dealt, End, Entry, FaultPlan, Flavour, History, MARK, MAX_SMALL, Move, NAMES,
    Operation, apply, batch_of, calls, deck, seed_of, whole_deal,
};
pub use possible::{Possible, State, mark_of};
pub use run::{
    Checked, Judge, Place, Run, Tally, Written, digest, fault_name, options, printed, run,
};
pub use shrink::{print_shortest, shrink};
