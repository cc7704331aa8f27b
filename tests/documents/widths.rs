//! Checks that lines of the Markdown documents fit a window of 100 columns.

use crate::{files, shown};

const MAX_COLUMNS: usize = 100;

/// Longer lines of prose: not tables, code, drawings, nor text that cannot be broken.
fn too_long(text: &str) -> Vec<usize> {
    let mut is_code = false;
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
            continue;
        }
        let is_prose = !is_code && !line.starts_with('|') && !line.starts_with("    ");
        let can_be_broken = line.trim_start().contains(' ') && !line.starts_with('[');
        if is_prose && can_be_broken && line.chars().count() > MAX_COLUMNS {
            found.push(number + 1);
        }
    }
    found
}

#[test]
fn lines_of_documents_fit_100_columns() {
    let mut long = Vec::new();
    for path in files("", "md") {
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = too_long(&text);
        long.extend(lines.iter().map(|line| format!("{}:{line}", shown(&path))));
    }
    assert!(long.is_empty(), "longer than {MAX_COLUMNS}: {long:#?}");
}

#[test]
fn long_lines_are_distinguished_from_tables_and_code() {
    let long = "word ".repeat(21);
    assert_eq!(too_long(&long[..100]), [0; 0]);
    assert_eq!(too_long(&format!("short\n{long}")), [2]);
    for other in [
        format!("| {long}"),
        format!("    {long}"),
        format!("```\n{long}\n```"),
        "x".repeat(200),
    ] {
        assert_eq!(too_long(&other), [0; 0], "{other}");
    }
}
