//! The whole interface: an input is decoded into a history of `aidb_tests`, which is run on files in memory and judged by
//! its model, with injected faults and losses of power.

use aidb_tests::history::{History, Place, printed, run};

/// Runs the history that the input spells. Where that fails, each of its operations is printed.
pub fn interface(input: &[u8]) {
    let history = History::decode(input);
    if let Err(failure) = run(&history, 0, &Place::Memory) {
        eprintln!("{:?}, options {}", history.flavour, history.options);
        for (at, operation) in history.operations.iter().enumerate() {
            eprintln!("  {at:3}  {}", printed(operation));
        }
        panic!("{failure}");
    }
}
