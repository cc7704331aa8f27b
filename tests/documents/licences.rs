//! Checks the licences in the packages: copies of the root's texts, and notices of the linked code.
//!
//! `scripts/notices.py --check` compares the notices as a whole, which needs cargo. This test only notices that a
//! version in Cargo.lock has moved on.

use std::collections::BTreeSet;

use crate::read;

const PACKAGES: [&str; 3] = ["ffi", "bindings/python", "bindings/node"];

#[test]
fn the_packages_hold_texts_and_no_paths_to_them() {
    for text in ["LICENSE-MIT", "LICENSE-APACHE"] {
        let ours = read(text);
        assert!(ours.lines().count() > 15, "{text} is not a licence");
        for package in &PACKAGES[1..] {
            let copy = read(format!("{package}/{text}"));
            assert!(copy == ours, "{package}/{text} is not a copy of {text}");
        }
    }
}

#[test]
fn the_packages_name_their_licence_files() {
    for package in [
        "bindings/python/pyproject.toml",
        "bindings/node/package.json",
    ] {
        let manifest = read(package);
        for text in ["LICENSE-MIT", "LICENSE-APACHE", "THIRD-PARTY-LICENSES"] {
            assert!(
                manifest.contains(&format!("\"{text}\"")),
                "{package} lacks {text}"
            );
        }
    }
}

#[test]
fn notices_name_the_versions_that_are_locked() {
    let lock = read("Cargo.lock");
    let packages = lock.split("[[package]]");
    let field = |package: &str, name: &str| {
        let line = package.lines().find(|line| line.starts_with(name));
        line.and_then(|line| Some(line.split('"').nth(1)?.to_string()))
    };
    let locked: BTreeSet<String> = packages
        .filter_map(|package| {
            Some(format!(
                "{} {}",
                field(package, "name = ")?,
                field(package, "version = ")?
            ))
        })
        .collect();
    for package in PACKAGES {
        let path = format!("{package}/THIRD-PARTY-LICENSES");
        let notices = read(&path);
        let list = notices.split("\n\n").nth(1).unwrap_or_default();
        let crates: Vec<&str> = list
            .lines()
            .filter_map(|line| Some(line.split_once(" (")?.0))
            .filter(|name| !name.starts_with("Rust's standard library"))
            .collect();
        for needed in ["crc32fast ", "zstd-sys ", "crossbeam-skiplist "] {
            let is_there = crates.iter().any(|name| name.starts_with(needed));
            assert!(
                is_there || !lock.contains(&format!("\"{}\"", needed.trim())),
                "{path} lacks {needed}"
            );
        }
        for name in crates {
            assert!(
                locked.contains(name),
                "{path}: {name} is not in Cargo.lock; run scripts/notices.py"
            );
        }
    }
}
