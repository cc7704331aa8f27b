//! Limits functions of the product and the benches, tests aside, to 70 lines: a longer one is split into named steps.
//!
//! The code is formatted, so a function ends at the first line that closes a brace at the indentation at which it
//! begins.

use crate::constants::{is_test, without_test_modules};
use crate::{files, root, shown};

const MAX_LINES: usize = 70;
const SOURCES: [&str; 6] = [
    "core/src",
    "core/benches",
    "bench/src",
    "ffi/src",
    "bindings/python/src",
    "bindings/node/src",
];
const VISIBILITY: [&str; 4] = ["pub", "pub(crate)", "pub(super)", "pub(in"];

/// The name of the function that begins in this line, and its indentation.
fn begun(line: &str) -> Option<(&str, usize)> {
    let code = line.trim_start();
    let (before, rest) = code.split_once("fn ")?;
    let is_prefix = before.split_whitespace().all(|word| {
        VISIBILITY.contains(&word)
            || matches!(word, "const" | "unsafe" | "async" | "extern" | "\"C\"")
            || word.ends_with(')')
    });
    let name = rest
        .split(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .next()?;
    (is_prefix && !name.is_empty()).then_some((name, line.len() - code.len()))
}

/// The functions of `text` with their numbers of lines. A function inside another is not counted separately.
fn lengths(text: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut open: Option<(&str, usize, usize)> = None;
    for (number, line) in text.lines().enumerate() {
        match open {
            None => open = begun(line).map(|(name, indentation)| (name, indentation, number)),
            Some((name, indentation, first)) => {
                let is_end = line.len() - line.trim_start().len() == indentation
                    && (line.trim_start().starts_with('}')
                        || number == first + 1 && line.ends_with(';'));
                if is_end {
                    found.push((name.to_owned(), number - first + 1));
                    open = None;
                }
            }
        }
        // A function without a body, or with all of it in one line.
        if open.is_some_and(|(_, _, first)| first == number) && line.ends_with([';', '}']) {
            open = None;
        }
    }
    found
}

#[test]
fn no_function_is_longer_than_seventy_lines() {
    let mut seen = 0;
    let mut long = Vec::new();
    for path in SOURCES.iter().flat_map(|directory| files(directory, "rs")) {
        if is_test(path.strip_prefix(root()).unwrap()) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for (name, lines) in lengths(&without_test_modules(&text)) {
            seen += 1;
            if lines > MAX_LINES {
                long.push(format!("{}: {name} has {lines} lines", shown(&path)));
            }
        }
    }
    assert!(long.is_empty(), "{long:#?}");
    assert!(seen > 1500, "{seen} functions only");
}

#[test]
fn the_lines_of_a_function_are_counted_from_its_first_to_its_brace() {
    let text = "impl A {\n    pub(crate) fn one(&self) {\n        fn two() {\n        }\n    }\n\n    fn three() {}\n}\nconst fn \
                four(\n    a: u8,\n) -> u8 {\n    a\n}\n";
    let expected = [("one".to_owned(), 4), ("four".to_owned(), 5)];
    assert_eq!(lengths(text), expected);
}
