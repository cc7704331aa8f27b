//! Histories: operations on a database as plain data. A seed or bytes spell them; the tests run them against the
//! engine, judge the answers by a model, and shrink a failing history. All tests that draw operations share this one
//! language.
//!
//! `operation.rs` lists the operations and draws them, `marked.rs` draws those of the crash tests, `run.rs` runs and
//! checks, `compare.rs` compares, `possible.rs` knows what a database may hold after a crash, `shrink.rs` shortens a
//! failing history.

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
    Operation, Step, apply, batch_of, calls, deck, operations, seed_of, whole_deal,
};
pub use possible::{Possible, State, mark_of};
pub use run::{
    Checked, Judge, Place, Run, Tally, Written, digest, fault_name, options, printed, run,
};
pub use shrink::{print_shortest, shrink};
