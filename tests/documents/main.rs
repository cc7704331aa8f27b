//! Checks, by reading files, what the documents say about the code, and rules about the code's own shape.
//!
//! * `arrows.rs`   the parts of a directory that a source file names, for `layers.rs`
//! * `constants.rs` the generator of test data knows every integer constant of `core`, or it changes no path
//! * `errors.rs`   docs/errors.md, the Rust kinds, the C header, the Python classes and the Node codes are one table
//! * `exports.rs`  every function that the C library exports runs inside `ffi/src/guard.rs`
//! * `functions.rs` no function has more than 70 lines
//! * `header.rs`   include/aidb.h is what cbindgen generates from `ffi/`
//! * `invariants.rs` every invariant has a unique name, and an assertion or a test names it
//! * `layers.rs`   modules of `core`, and files in its directories, use only those below; only `env/` touches the
//!                 system
//! * `licences.rs` the packages carry the texts of their licences, and those of the linked crates
//! * `links.rs`    links in documents lead somewhere
//! * `memory.rs`   `core` allocates memory whose size follows from data in one place
//! * `mutants.rs`  the accepted mutants change lines that exist
//! * `options.rs` the guide, the stubs and the headers have the options of core, with their ranges and defaults
//! * `promises.rs` the tests that docs/durability.md names exist
//! * `versions.rs` one version everywhere
//! * `widths.rs`   lines of documents and comments are not too long
//! * `words.rs`    a call has the same name in every language

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod arrows;
mod constants;
mod errors;
mod exports;
mod functions;
mod header;
mod invariants;
mod layers;
mod licences;
mod links;
mod memory;
mod mutants;
mod options;
mod promises;
mod versions;
mod widths;
mod words;

use std::fs;
use std::path::{Path, PathBuf};

/// The root of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package lies in the repository")
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files under `dir` with this extension, sorted, without build output and installed packages.
fn files(dir: impl AsRef<Path>, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(dir)];
    while let Some(dir) = open.pop() {
        let Ok(entries) = fs::read_dir(&dir) else {
            continue;
        };
        for path in entries.map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                if !matches!(name.as_ref(), "target" | "node_modules") && !name.starts_with('.') {
                    open.push(path);
                }
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// `path` relative to the root.
fn shown(path: &Path) -> String {
    let path = path.strip_prefix(root()).unwrap_or(path);
    path.display().to_string()
}
