//! Checks that every invariant has a name that is unique in the tree, `WORD-n`; that every reference leads to an
//! invariant; and that an assertion or a test names each of them.
//!
//! An invariant is stated in a list of the comment at the start of a file: `* WAL-3  What is true.` Its name stands in
//! the message of an assertion, in a comment right before one, or at a test. What neither can check is no invariant:
//! the comment says it in a sentence without a name.

use std::collections::{BTreeMap, BTreeSet};

use crate::constants::is_test;
use crate::{files, root, shown};

/// The extensions of the files to check.
const EXTENSIONS: [&str; 12] = [
    "rs", "js", "mjs", "ts", "py", "pyi", "c", "cpp", "h", "hpp", "md", "sh",
];

/// Words that look like names but are not: common words, and a file that has a wrong name for a test.
const NO_NAMES: [&str; 3] = ["CRC-32", "UTF-8", "MANIFEST-1"];

/// Words that look like old labels, a letter or two and a number, but are not.
const NO_LABELS: [&str; 4] = ["LZ4", "C99", "S3", "L12"];

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The words of `line` made of `letters` capital letters, then `separator`, then one or two digits, each with its
/// position.
fn words<'a>(
    line: &'a str,
    letters: std::ops::RangeInclusive<usize>,
    separator: &str,
) -> Vec<(usize, &'a str)> {
    let bytes = line.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let count = |from: usize, of: fn(&u8) -> bool| {
            bytes[from..].iter().take_while(|byte| of(byte)).count()
        };
        let capitals = count(at, u8::is_ascii_uppercase);
        if capitals == 0 {
            at += 1;
            continue;
        }
        let digits_at = at + capitals + separator.len();
        let is_separated = line[at + capitals..].starts_with(separator);
        let digits = match is_separated {
            true => count(digits_at, u8::is_ascii_digit),
            false => 0,
        };
        let end = digits_at.min(bytes.len()) + digits;
        let before = line[..at].chars().next_back();
        let after = line.get(end..).and_then(|rest| rest.chars().next());
        let stands_alone = !before.is_some_and(|c| is_word(c) || c == '-' || c == '/')
            && !after.is_some_and(|c| is_word(c) || c == '-');
        if letters.contains(&capitals) && (1..=2).contains(&digits) && stands_alone {
            found.push((at, &line[at..end]));
        }
        at += capitals;
    }
    found
}

fn names(line: &str) -> Vec<(usize, &str)> {
    let mut names = words(line, 2..=usize::MAX, "-");
    names.retain(|(_, name)| !NO_NAMES.contains(name));
    names
}

/// The name of the invariant that a line of a comment states.
fn defined(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let markers = ["//! ", "/// ", "* "];
    let item = markers
        .iter()
        .find_map(|marker| line.strip_prefix(marker))?;
    let item = item.strip_prefix("* ")?;
    let (name, _) = item.split_once("  ")?;
    (names(name) == [(0, name)]).then_some(name)
}

fn is_comment(line: &str) -> bool {
    let line = line.trim_start();
    ["//", "#", "*", "/*"]
        .iter()
        .any(|mark| line.starts_with(mark))
}

/// The comment or the string that `at` lies in, of a line of code; all of a line of prose.
fn is_text(line: &str, at: usize, is_prose: bool) -> bool {
    is_prose
        || is_comment(line)
        || line[..at].contains("// ")
        || line[..at].matches('"').count() % 2 == 1
}

/// Whether the string at byte `at` of line `number` is the message of an assertion, or of a call that cannot fail.
fn is_of_assertion(lines: &[&str], number: usize, at: usize) -> bool {
    let begin = number.saturating_sub(20);
    let text = lines[begin..number].join("\n") + "\n" + &lines[number][..at];
    let mut open = 0;
    for (place, c) in text.char_indices().rev() {
        match c {
            ')' => open += 1,
            '(' if open > 0 => open -= 1,
            '(' => {
                let called = text[..place]
                    .rsplit(|c: char| !is_word(c) && c != '!')
                    .next();
                return called.is_some_and(|called| {
                    ["assert", "panic", "expect"]
                        .iter()
                        .any(|word| called.contains(word))
                });
            }
            _ => {}
        }
    }
    false
}

/// Whether the comment at line `number` stands right before an assertion.
fn is_before_assertion(lines: &[&str], number: usize) -> bool {
    let code = lines[number + 1..].iter().find(|line| !is_comment(line));
    code.is_some_and(|line| line.contains("assert"))
}

/// The lines of modules that are compiled only for tests; these begin and end at the beginning of a line.
fn lines_of_tests(lines: &[&str]) -> Vec<bool> {
    let mut is_inside = false;
    let mut before = "";
    let mut found = Vec::new();
    for &line in lines {
        let is_module = line.contains("mod ") && line.ends_with('{');
        is_inside |= is_module && before.starts_with("#[cfg(") && before.contains("test");
        found.push(is_inside);
        is_inside &= line != "}";
        before = line;
    }
    found
}

/// All mentions of invariants in the sources.
#[derive(Default)]
struct Found {
    /// The statements of each.
    defined: BTreeMap<String, Vec<String>>,
    /// The references to each.
    referred: BTreeMap<String, Vec<String>>,
    /// Those that an assertion or a test names.
    named: BTreeSet<String>,
    /// Words that look like old labels.
    old: Vec<String>,
    /// Names in messages for users.
    messages: Vec<String>,
}

impl Found {
    fn look_at(&mut self, file: &str, text: &str) {
        let is_rust = file.ends_with(".rs");
        let is_prose = file.ends_with(".md");
        let inside = std::path::Path::new(file);
        let is_for_tests = is_test(inside) || file.contains("tests/") || file.contains("/test/");
        let lines: Vec<&str> = text.lines().collect();
        let in_tests = lines_of_tests(&lines);
        for (number, line) in lines.iter().enumerate() {
            let place = || format!("{file}:{}", number + 1);
            let own = defined(line);
            if let Some(name) = own {
                self.defined
                    .entry(name.to_string())
                    .or_default()
                    .push(place());
            }
            for (_, label) in words(line, 1..=2, "")
                .into_iter()
                .filter(|(at, label)| is_text(line, *at, is_prose) && !NO_LABELS.contains(label))
            {
                self.old.push(format!("{}: {label}", place()));
            }
            for (at, name) in names(line) {
                if !is_text(line, at, is_prose) || own == Some(name) {
                    continue;
                }
                self.referred
                    .entry(name.to_string())
                    .or_default()
                    .push(place());
                let is_tested = is_for_tests || is_rust && in_tests[number];
                let is_asserted = match is_comment(line) {
                    true => is_before_assertion(&lines, number),
                    false => is_of_assertion(&lines, number, at),
                };
                if is_tested || (is_rust && is_asserted) {
                    self.named.insert(name.to_string());
                } else if is_rust && !is_comment(line) && !line[..at].contains("// ") {
                    self.messages.push(format!("{}: {}", place(), line.trim()));
                }
            }
        }
    }
}

fn found() -> Found {
    let mut found = Found::default();
    for extension in EXTENSIONS {
        for path in files("", extension) {
            let file = shown(&path);
            if file == "tests/documents/invariants.rs" {
                continue;
            }
            found.look_at(&file, &std::fs::read_to_string(root().join(&path)).unwrap());
        }
    }
    found
}

#[test]
fn every_invariant_has_a_name_of_its_own_and_every_reference_means_one() {
    let found = found();
    assert!(
        found.defined.len() > 300,
        "{} invariants",
        found.defined.len()
    );
    let twice = found.defined.iter().filter(|(_, places)| places.len() > 1);
    let twice: Vec<_> = twice.collect();
    assert!(twice.is_empty(), "stated more than once: {twice:#?}");
    let unknown = found
        .referred
        .iter()
        .filter(|(name, _)| !found.defined.contains_key(*name));
    let unknown: Vec<_> = unknown.collect();
    assert!(
        unknown.is_empty(),
        "no invariant is called so: {unknown:#?}"
    );
    assert!(
        found.old.is_empty(),
        "labels without a word: {:#?}",
        found.old
    );
}

#[test]
fn no_message_for_users_has_the_name_of_an_invariant() {
    let messages = found().messages;
    assert!(messages.is_empty(), "{messages:#?}");
}

#[test]
fn every_invariant_is_named_by_an_assertion_or_a_test() {
    let found = found();
    let unnamed = found
        .defined
        .iter()
        .filter(|(name, _)| !found.named.contains(*name));
    let unnamed: Vec<_> = unnamed.collect();
    assert!(unnamed.is_empty(), "named by neither: {unnamed:#?}");
}

#[test]
fn a_statement_a_reference_an_assertion_and_a_label_of_old_are_distinguished() {
    let text = "//! * APPLE-1  Red (PEAR-2).\n//! * APPLE-3  Round.\n\
        //! * T4  Old.\n\
        fn f() {\n    debug_assert!(\n        true,\n        \"APPLE-1: {x}\"\n    );\n\
        \x20   // APPLE-3.\n    assert!(true);\n\
        \x20   Err(Error::new(\"PLUM-1\"));\n\
        \x20   let code = A1 - 2; // UTF-8 (V2)\n}\n\
        #[cfg(test)]\nmod tests {\n    /// PEAR-2.\n}\n";
    let mut found = Found::default();
    found.look_at("core/src/fruit.rs", text);
    let names = |map: &BTreeMap<String, Vec<String>>| map.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found.defined), ["APPLE-1", "APPLE-3"]);
    assert_eq!(
        names(&found.referred),
        ["APPLE-1", "APPLE-3", "PEAR-2", "PLUM-1"]
    );
    let named: Vec<_> = found.named.iter().collect();
    assert_eq!(named, ["APPLE-1", "APPLE-3", "PEAR-2"]);
    assert_eq!(
        found.old,
        ["core/src/fruit.rs:3: T4", "core/src/fruit.rs:12: V2"]
    );
    assert_eq!(found.messages.len(), 1);
}
