//! Shrinking: removes operations from a failing history as long as it still fails.
//!
//! Source: Zeller & Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002), without the complements.

use std::time::{Duration, Instant};

use super::operation::{Entry, MARK, Operation};
use super::run::printed;

const SHRINK_TIME: Duration = Duration::from_secs(20);

/// Prints the fewest operations for which `fails` still returns an error, with that error.
pub fn print_shortest(operations: &[Operation], fails: impl Fn(&[Operation]) -> Option<String>) {
    let deadline = Instant::now() + SHRINK_TIME;
    let still = |operations: &[Operation]| fails(operations).is_some();
    let mut fewest = shrink(operations, deadline, still);
    for at in 0..fewest.len() {
        if let Operation::Batch { mut entries, sync } = fewest[at].clone() {
            // The mark tells states apart, so it stays.
            let mark = entries.pop_if(|entry| entry.key() == Some(MARK));
            let with = |entries: &[Entry]| {
                let mut trial = fewest.clone();
                let entries = entries.iter().chain(&mark).cloned().collect();
                trial[at] = Operation::Batch { entries, sync };
                trial
            };
            fewest = with(&shrink(&entries, deadline, |entries| still(&with(entries))));
        }
    }
    eprintln!(
        "shrunk from {} to {} operations, which fail with: {}",
        operations.len(),
        fewest.len(),
        fails(&fewest).unwrap_or("nothing, this time".to_string())
    );
    for (at, operation) in fewest.iter().enumerate() {
        eprintln!("  {at:3}  {}", printed(operation));
    }
}

/// The fewest items found until `deadline` for which `fails` still returns true; in their order.
pub fn shrink<T: Clone>(items: &[T], deadline: Instant, fails: impl Fn(&[T]) -> bool) -> Vec<T> {
    let mut items = items.to_vec();
    let mut chunk = items.len().div_ceil(2);
    while chunk > 0 {
        let mut at = 0;
        let mut smaller = false;
        // From the back: later operations depend on earlier ones.
        while at < items.len() {
            if Instant::now() > deadline {
                return items;
            }
            let end = items.len() - at;
            let begin = end.saturating_sub(chunk);
            let mut fewer = items[..begin].to_vec();
            fewer.extend_from_slice(&items[end..]);
            if fails(&fewer) {
                items = fewer;
                smaller = true;
            } else {
                at += chunk;
            }
        }
        chunk = match (chunk, smaller) {
            (1, true) => 1,
            (chunk, _) => chunk / 2,
        };
    }
    items
}

#[test]
fn shrinking_leaves_only_what_the_failure_needs() {
    let deadline = Instant::now() + Duration::from_secs(60);
    let items: Vec<u32> = (0..300).collect();
    let fails = |items: &[u32]| [7, 8, 250].iter().all(|item| items.contains(item));
    assert_eq!(shrink(&items, deadline, fails), [7, 8, 250]);
    assert_eq!(shrink(&items, deadline, |_| true), Vec::<u32>::new());
}
