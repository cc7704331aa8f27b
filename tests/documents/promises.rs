//! Checks that every test and file exists that docs/durability.md names as the proof of a promise.

use std::fs;

use crate::{files, read, root};

/// A name with fewer words is not a test's: sentences name tests.
const MIN_WORDS: usize = 4;

#[test]
fn every_test_that_a_promise_names_exists() {
    let text = read("docs/durability.md");
    let (_, table) = text
        .split_once("## How each promise is tested")
        .expect("the document has that part");
    let sources = ["core", "ffi", "tests", "bindings"]
        .iter()
        .flat_map(|dir| [files(dir, "rs"), files(dir, "py")].concat());
    let sources: Vec<String> = sources
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let (mut tests, mut missing) = (0, Vec::new());
    // Every second piece is between backticks.
    for name in table.split('`').skip(1).step_by(2) {
        let is_test = name.split('_').count() >= MIN_WORDS && !name.contains('/');
        let exists = match is_test {
            true => sources.iter().any(|source| {
                source.contains(&format!("fn {name}(")) || source.contains(&format!("def {name}("))
            }),
            false => !name.contains('/') || root().join(name).exists(),
        };
        tests += usize::from(is_test);
        if !exists {
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "missing: {missing:?}");
    assert!(tests > 20, "only {tests} tests are named");
}
