//! Checks that the lines which `tests/mutants/accepted.txt` names exist in the sources.

use std::fs;

use crate::root;

#[test]
fn every_accepted_mutant_changes_a_line_that_is_there() {
    let text = fs::read_to_string(root().join("tests/mutants/accepted.txt")).unwrap();
    let mut file = None;
    let mut looked_at = 0;
    let mut gone = Vec::new();
    for line in text.lines() {
        if line.starts_with("core/src/") {
            file = line.split_once(": ").map(|(file, _)| file);
        } else if let Some(mutated) = line.strip_prefix("  | ") {
            let file = file.expect("a mutant is named before its line");
            let source = fs::read_to_string(root().join(file)).unwrap_or_default();
            if !source.lines().any(|line| line.trim() == mutated.trim()) {
                gone.push(format!("{file}: {mutated}"));
            }
            looked_at += 1;
        }
    }
    assert!(gone.is_empty(), "no longer there: {gone:#?}");
    assert!(looked_at > 100, "{looked_at} lines");
}
