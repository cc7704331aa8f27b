//! Checks that lines of the Markdown documents fit a window of 100 columns, and comments in Rust one of 120.

use crate::{files, shown};

const MAX_COLUMNS: usize = 100;
/// The limit for comments in Rust. rustfmt.toml has the limit for code.
const MAX_COMMENT_COLUMNS: usize = 120;

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

/// Longer lines that are comments, but not text that cannot be broken.
fn too_long_comments(text: &str) -> Vec<usize> {
    let lines = text.lines().enumerate();
    let found = lines.filter(|(_, line)| {
        let words = line.trim_start().strip_prefix("//");
        words.is_some_and(|words| words.trim_start_matches(['/', '!']).trim().contains(' '))
            && line.chars().count() > MAX_COMMENT_COLUMNS
    });
    found.map(|(number, _)| number + 1).collect()
}

#[test]
fn comments_in_rust_fit_120_columns() {
    let mut long = Vec::new();
    for path in files("", "rs") {
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = too_long_comments(&text);
        long.extend(lines.iter().map(|line| format!("{}:{line}", shown(&path))));
    }
    assert!(
        long.is_empty(),
        "longer than {MAX_COMMENT_COLUMNS}: {long:#?}"
    );
}

#[test]
fn long_comments_are_told_from_code() {
    let long = "word ".repeat(25);
    for comment in [
        format!("// {long}"),
        format!("    //! {long}"),
        format!("/// {long}"),
    ] {
        assert_eq!(
            too_long_comments(&format!("x\n{comment}")),
            [2],
            "{comment}"
        );
    }
    for other in [
        format!("let text = \"{long}\";"),
        format!("// {}", "x".repeat(200)),
    ] {
        assert_eq!(too_long_comments(&other), [0; 0], "{other}");
    }
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
