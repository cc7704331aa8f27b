//! Histories: operations on a database as plain data, drawn from a seed or decoded from bytes, run, judged by a model, and
//! shrunk if they fail. One language for all tests that draw operations.
//!
//! `operation.rs` says what there is and how it is drawn, `run.rs` what is checked, `possible.rs` what a database may hold
//! after a crash, `shrink.rs` how a failure gets short.

mod operation;
mod possible;
mod run;
mod shrink;

pub use operation::{
    Content, Dealt, End, Entry, FaultPlan, Flavour, History, MAX_SMALL, Move, NAMES, Operation,
    calls, deck, seed_of, whole_deal,
};
pub use run::{Checked, Place, Tally, Written, digest, fault_name, options, printed, run};
pub use shrink::shrink;
