//! Checks that every function that the C library exports runs inside `ffi/src/guard.rs`, where no panic gets out
//! (FFI-2).

use std::collections::BTreeMap;

use crate::{files, shown};

/// The functions of `guard.rs` that catch panics.
const GUARDS: [&str; 6] = [
    "guard",
    "guard_ok",
    "guard_reading",
    "guard_uncancelled",
    "quietly",
    "releasing",
];

/// Functions that cannot panic: they return a constant, or free memory.
const PLAIN: [&str; 3] = ["aidb_free", "aidb_status_name", "aidb_version"];

/// Each function at the outermost level of a file: its name, whether C can call it, and its text from the name on.
fn functions(source: &str) -> Vec<(String, bool, String)> {
    let mut found = Vec::new();
    let mut is_exported = false;
    let mut rest = source;
    while let Some((line, after)) = rest.split_once('\n') {
        is_exported |= line.starts_with("#[unsafe(no_mangle)]");
        let named = line
            .split_once("fn ")
            .filter(|_| !line.starts_with([' ', '/']));
        if let Some((_, named)) = named {
            let end = rest.find("\n}").unwrap_or(rest.len());
            let name = named.split(['(', '<']).next().unwrap_or_default();
            found.push((name.to_owned(), is_exported, rest[..end].to_owned()));
            is_exported = false;
        }
        rest = after;
    }
    found
}

fn calls(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let is_whole = !text[..at].ends_with(|c: char| c == '_' || c.is_alphanumeric());
        is_whole && text[at + name.len()..].starts_with(['(', '<'])
    })
}

/// The exported functions of a source that neither call a guard nor another function of the source that does.
fn unguarded(source: &str) -> (usize, Vec<String>) {
    let functions = functions(source);
    let mut guarding: Vec<String> = GUARDS.map(String::from).to_vec();
    let mut known = 0;
    while known < guarding.len() {
        known = guarding.len();
        for (name, _, text) in &functions {
            let body = text.split_once('{').map_or("", |(_, body)| body);
            let is_guarded = guarding.iter().any(|guard| calls(body, guard));
            if is_guarded && !guarding.contains(name) {
                guarding.push(name.clone());
            }
        }
    }
    let exported: Vec<_> = functions
        .iter()
        .filter(|(_, exported, _)| *exported)
        .collect();
    let outside = exported
        .iter()
        .filter(|(name, _, _)| !guarding.contains(name));
    (
        exported.len(),
        outside.map(|(name, _, _)| name.clone()).collect(),
    )
}

/// FFI-2.
#[test]
fn every_exported_function_runs_inside_the_guard_or_cannot_panic() {
    let mut count = 0;
    let mut outside = BTreeMap::new();
    for path in files("ffi/src", "rs") {
        let (exported, unguarded) = unguarded(&std::fs::read_to_string(&path).unwrap());
        count += exported;
        outside.extend(unguarded.into_iter().map(|name| (name, shown(&path))));
    }
    assert!(count > 60, "{count} functions");
    let names: Vec<_> = outside.keys().collect();
    assert_eq!(names, PLAIN.iter().collect::<Vec<_>>(), "{outside:#?}");
}

#[test]
fn a_guard_that_is_reached_by_another_function_counts_and_a_name_that_only_begins_so_does_not() {
    let source = "/// fn guard(\n#[unsafe(no_mangle)]\npub extern \"C\" fn one() {\n    helper(1)\n}\n\
        fn helper<T>(_: T) {\n    releasing(|| Ok(()))\n}\n\
        #[unsafe(no_mangle)]\npub extern \"C\" fn two() {\n    releasing_not(3)\n}\n\
        #[unsafe(no_mangle)]\npub extern \"C\" fn quietly_not(quietly: u8) {\n    one_more()\n}\n";
    let outside = ["two", "quietly_not"].map(String::from).to_vec();
    assert_eq!(unguarded(source), (3, outside));
}
