//! The whole interface: decodes an input into a history of `aidb_tests` and runs it on files in memory, with injected
//! faults and power losses; the history's model judges the answers.

use aidb_tests::history::{History, Place, printed, run};

/// Runs the history that the input spells. If it fails, prints each of its operations.
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
