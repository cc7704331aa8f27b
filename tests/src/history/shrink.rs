//! Shrinking: takes operations out of a failing history as long as it still fails.
//!
//! Source: Zeller & Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002), without the complements.

use std::time::Instant;

/// The fewest items found until `deadline` for which `fails` still answers true; in their order.
pub fn shrink<T: Clone>(items: &[T], deadline: Instant, fails: impl Fn(&[T]) -> bool) -> Vec<T> {
    let mut items = items.to_vec();
    let mut chunk = items.len().div_ceil(2);
    while chunk > 0 {
        let mut at = 0;
        let mut smaller = false;
        // From the back: what comes late depends on what comes early.
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
    let deadline = Instant::now() + std::time::Duration::from_secs(60);
    let items: Vec<u32> = (0..300).collect();
    let fails = |items: &[u32]| [7, 8, 250].iter().all(|item| items.contains(item));
    assert_eq!(shrink(&items, deadline, fails), [7, 8, 250]);
    assert_eq!(shrink(&items, deadline, |_| true), Vec::<u32>::new());
}
