//! Another static library written in Rust, as a program may have one beside libaidb.a.

use std::collections::HashMap;
use std::panic::{catch_unwind, resume_unwind};
use std::thread;

/// How many different texts a thread makes of the numbers below `count`; uses threads, memory and unwinding.
#[unsafe(no_mangle)]
pub extern "C" fn neighbour_count(count: u64) -> u64 {
    let made = thread::spawn(move || {
        let texts: HashMap<String, u64> = (0..count).map(|at| (at.to_string(), at)).collect();
        let caught = catch_unwind(|| resume_unwind(Box::new("caught by the neighbour")));
        u64::from(caught.is_err()) * texts.len() as u64
    });
    made.join().unwrap_or(0)
}
