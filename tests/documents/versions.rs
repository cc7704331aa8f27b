//! Checks that every package and the C header have the version of Cargo.toml's workspace.

use crate::{files, read, root, shown};

/// The text between the quotes after the first `key = ` or `"key": ` at the start of a line.
fn quoted(text: &str, key: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let rest = line.trim().trim_start_matches('"').strip_prefix(key)?;
        let rest = rest.trim_start_matches('"').trim_start();
        let rest = rest.strip_prefix(['=', ':'])?.trim_start();
        Some(rest.strip_prefix('"')?.split('"').next()?.to_string())
    })
}

fn version() -> String {
    env!("CARGO_PKG_VERSION").to_string()
}

#[test]
fn every_crate_takes_its_version_from_the_workspace() {
    for path in files("", "toml") {
        if !path.ends_with("Cargo.toml") || path == root().join("Cargo.toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        if !text.contains("[package]") {
            continue;
        }
        let own = quoted(&text, "version");
        assert!(
            text.contains("version.workspace = true") || own == Some(version()),
            "{}: {own:?} instead of the workspace's version",
            shown(&path)
        );
    }
}

#[test]
fn the_packages_of_python_and_node_carry_the_version() {
    let python = read("bindings/python/pyproject.toml");
    let dynamic = python.contains("dynamic = [\"version\"");
    assert!(
        dynamic || quoted(&python, "version") == Some(version()),
        "pyproject.toml must take its version from Cargo.toml"
    );
    let node = read("bindings/node/package.json");
    assert_eq!(quoted(&node, "version"), Some(version()), "package.json");
}

#[test]
fn the_c_header_carries_the_version() {
    let header = read("include/aidb.h");
    let number = |name: &str| -> u64 {
        let line = header
            .lines()
            .find(|line| line.starts_with(&format!("#define {name} ")))
            .unwrap_or_else(|| panic!("aidb.h lacks {name}"));
        line.split(' ').nth(2).unwrap().parse().unwrap()
    };
    let found = format!(
        "{}.{}.{}",
        number("AIDB_VERSION_MAJOR"),
        number("AIDB_VERSION_MINOR"),
        number("AIDB_VERSION_PATCH")
    );
    assert_eq!(found, version());
}

#[test]
fn the_changelog_has_a_section_for_the_version() {
    let changelog = read("CHANGELOG.md");
    assert!(changelog.contains(&format!("## {}", version())));
}
