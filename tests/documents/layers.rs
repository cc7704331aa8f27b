//! Checks the layers of `core`, of the files in its directories and in the crates around it, and that only `env/` uses
//! the system.
//!
//! A module may name the ones below it, and itself; so may a file in its directory. A method may call those of its type
//! in the files below its own.

use std::collections::BTreeMap;
use std::path::Path;

use crate::arrows::{Directory, Methods, methods, module_of as path_of};
use crate::{files, read, root, shown};

/// From top to bottom; modules of one line do not use each other.
const LAYERS: &[&str] = &[
    "lib",
    "fuzz_checks inspect",
    "checkpoint",
    "db",
    "compaction",
    "version",
    "cache",
    "memtable wal sstable",
    "iterator transaction",
    "batch",
    "options",
    "snapshot",
    "filename content",
    "range_deletes range_sweep",
    "range_delete timed merge",
    "key compression",
    "coding checksum",
    "memory",
    "env",
    "metrics effort",
    "sync prefetch",
    "error",
];

/// The directories of `core/src`, and the order of the files in each, from top to bottom; files of one line do not use
/// each other. `mod` stands for the names that the directory's `mod.rs` defines; a re-exported name belongs to the file
/// that it comes from.
const FOLDERS: &[(&str, &[&str])] = &[
    ("cache", &["table_cache"]),
    (
        "compaction",
        &["job", "ledger outputs picker retention", "readers"],
    ),
    (
        "env",
        &[
            "fault",
            "mem reserve",
            "os",
            "log_file os_lock",
            "descriptors utc",
            "unix pages names closed stderr dice",
            "mod",
        ],
    ),
    (
        "env/mem",
        &[
            "cut",
            "mod",
            "handle lock",
            "clock disk",
            "directory",
            "file",
            "history",
        ],
    ),
    (
        "db",
        &[
            "mod",
            "stats trust",
            "life",
            "transactions",
            "iter",
            "commit read",
            "tree",
            "logs",
            "order space",
            "context",
            "doorbell info_log json locks panics value",
        ],
    ),
    (
        "db/commit",
        &[
            "write",
            "flush reserve",
            "resume watch",
            "seal",
            "mod",
            "recent",
            "log",
        ],
    ),
    (
        "db/life",
        &[
            "open",
            "background recovery",
            "close",
            "mod",
            "destination",
            "destroy",
            "location",
        ],
    ),
    (
        "db/logs",
        &["mod", "blank_log needs sync_group", "group_wait log_file"],
    ),
    ("db/order", &["stop", "mod", "publish"]),
    (
        "db/read",
        &[
            "count",
            "changes",
            "mod",
            "cursor",
            "chunk holds prefix",
            "entries",
            "overlaid",
            "stored",
            "source",
        ],
    ),
    ("db/space", &["mod", "policy"]),
    (
        "db/transactions",
        &[
            "one_call",
            "attempts",
            "transaction",
            "commit",
            "mod",
            "slot",
        ],
    ),
    (
        "db/tree",
        &[
            "wait",
            "compact estimate features flush lookup",
            "files install manifest reserve upkeep",
            "mod",
            "early_seals stall state superversion",
        ],
    ),
    (
        "db/trust",
        &["mod", "checkpoint repair", "verify", "report"],
    ),
    (
        "db/trust/repair",
        &["mod", "logs merge replay survey", "losses output"],
    ),
    (
        "db/trust/verify",
        &[
            "steps",
            "logs memtables tables users",
            "mod",
            "reads",
            "walk",
            "shown",
        ],
    ),
    (
        "db/trust/verify/reads",
        &[
            "mod",
            "past",
            "backward expected forward gets",
            "message pair",
            "readers",
        ],
    ),
    ("inspect", &["log manifest table", "mod"]),
    ("iterator", &["merging visible", "alarm mod"]),
    ("memory", &["gauge", "slabs", "kept_key", "door"]),
    (
        "memtable",
        &[
            "measured",
            "load iter",
            "mod",
            "index filter ranges",
            "spare_nodes leaf",
            "node",
            "arena",
            "chunk",
        ],
    ),
    (
        "merge",
        &["mod", "patch", "bytes json_text numbers", "operator"],
    ),
    (
        "options",
        &["mod", "table", "setting", "accepts info_log", "size"],
    ),
    (
        "sstable",
        &[
            "iter",
            "reader",
            "salvage tail builder",
            "block_cache span tally index",
            "block",
            "block_builder format filter",
        ],
    ),
    (
        "sstable/format",
        &[
            "footer properties raw_block",
            "further_block",
            "block_handle",
            "trailer",
            "block_kind header",
            "mod",
        ],
    ),
    (
        "sstable/block",
        &[
            "any_cursor",
            "cursor flat_cursor",
            "form",
            "memory flat",
            "stored",
        ],
    ),
    (
        "transaction",
        &["mod", "reads", "changes writes", "key_range"],
    ),
    (
        "version",
        &[
            "identity",
            "set salvage",
            "current",
            "keyspaces",
            "foreign builder iter manifest",
            "mod",
            "access lookup file ends bounds",
            "edit",
            "features settings table_info",
            "field file_numbers",
        ],
    ),
    (
        "version/manifest",
        &["reader", "writer", "slot", "head record", "mod"],
    ),
    (
        "wal",
        &[
            "chain_reader",
            "chain",
            "durable_log reader synced_file writer",
            "payload log_header",
            "fragment",
            "synced",
        ],
    ),
];

/// Directories without an order: a file and its tests.
const WITHOUT_ORDER: &[&str] = &["range_deletes", "error", "sync"];

/// The crates around core, and the order of their files as in [`FOLDERS`]. Their `lib.rs` may name any of them.
const CRATES: &[(&str, &[&str])] = &[
    (
        "bindings/node/src",
        &[
            "database",
            "transaction",
            "iterator reader",
            "port",
            "range turns",
            "convert opened place pool snapshot watch",
        ],
    ),
    (
        "bindings/python/src",
        &[
            "db",
            "writer",
            "transaction",
            "batch report snapshot",
            "one_call reader",
            "count",
            "view",
            "iterator raw_iterator",
            "transacting",
            "store walk",
            "mutex options range",
            "bytes pace progress",
            "patience",
            "errors helper",
        ],
    ),
    (
        "ffi/src",
        &[
            "attempts count one_call transaction",
            "batch db error iterator report snapshot",
            "options pinned version",
            "guard",
            "cancel handle ptr",
            "status sync",
        ],
    ),
];

/// The layer of a module, counted from the top.
fn layer_of(module: &str) -> Option<usize> {
    place(LAYERS, module)
}

fn place(layers: &[&str], module: &str) -> Option<usize> {
    layers
        .iter()
        .position(|names| names.split(' ').any(|name| name == module))
}

/// The module of a file of `core/src`: the first part of its path.
fn module_of(path: &Path) -> String {
    let inside = path.strip_prefix(root().join("core/src")).unwrap();
    let first = inside.components().next().unwrap();
    let name = Path::new(first.as_os_str());
    name.file_stem().unwrap().to_string_lossy().into_owned()
}

/// The part of a file above its tests.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or(text)
}

/// The modules that a file names after `crate::`, in code and not in comments, with the line.
fn named(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in without_tests(text).lines().enumerate() {
        if line.trim_start().starts_with("//") {
            continue;
        }
        for part in line.split("crate::").skip(1) {
            let end = part
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(part.len());
            if part[..end].starts_with(|c: char| c.is_ascii_lowercase()) {
                found.push((number + 1, part[..end].to_string()));
            }
        }
        assert!(
            !line.contains("use crate::{"),
            "line {}: one `use crate::` line per module, so that this test reads them",
            number + 1
        );
    }
    found
}

/// Whether a file holds only tests.
fn is_test(path: &Path) -> bool {
    path.iter().any(|part| {
        let part = part.to_string_lossy();
        matches!(&part[..], "tests" | "tests.rs" | "edges.rs") || part.starts_with("test_")
    })
}

#[test]
fn no_module_of_core_uses_one_above_it() {
    let mut climbing = Vec::new();
    for path in files("core/src", "rs") {
        let module = module_of(&path);
        let text = std::fs::read_to_string(&path).unwrap();
        if module == "lib" || module == "tests" || is_test(&path) {
            continue;
        }
        let here = layer_of(&module)
            .unwrap_or_else(|| panic!("{} is in no layer: add it to LAYERS", shown(&path)));
        for (line, other) in named(&text) {
            if other == module {
                continue;
            }
            let Some(there) = layer_of(&other) else {
                climbing.push(format!("{}:{line}: unknown module {other}", shown(&path)));
                continue;
            };
            if there <= here {
                climbing.push(format!("{}:{line}: {module} -> {other}", shown(&path)));
            }
        }
    }
    assert!(
        climbing.is_empty(),
        "arrows that climb:\n{}",
        climbing.join("\n")
    );
}

/// The arrows of one source file in `directory` to a child that is not below the file's own.
fn climbing(directory: &Directory, order: &[&str], module: &[String], path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let name = directory.child(module).unwrap_or("mod");
    let arrows = directory.arrows(module, &text).into_iter();
    let climbing = arrows.filter_map(|arrow| {
        let other = directory.child(&arrow.path)?;
        if other == name || is_test(Path::new(other)) {
            return None;
        }
        let (here, there) = (place(order, name), place(order, other));
        let climbs = here.is_none() || there.is_none() || there <= here;
        climbs.then(|| format!("{}:{}: {name} -> {other}", shown(path), arrow.line))
    });
    climbing.collect()
}

#[test]
fn no_file_of_a_directory_uses_one_above_it() {
    let mut found = Vec::new();
    for (directory, order) in FOLDERS {
        let dir = root().join("core/src").join(directory);
        let text = std::fs::read_to_string(dir.join("mod.rs")).unwrap();
        let directory = Directory::new(path_of(Path::new(directory)), &text);
        for path in files(&dir, "rs") {
            let inside = path.strip_prefix(root().join("core/src")).unwrap();
            if !is_test_or_model(inside) {
                found.extend(climbing(&directory, order, &path_of(inside), &path));
            }
        }
    }
    assert!(found.is_empty(), "arrows that climb:\n{}", found.join("\n"));
}

/// Whether a file of core holds tests or models alone.
fn is_test_or_model(inside: &Path) -> bool {
    let is_model = |part| part == "models.rs" || part == "models";
    is_test(inside) || inside.iter().any(is_model)
}

/// The calls within `directory` of a method on `self` that the same type has in a file not below the caller's.
fn climbing_calls(directory: &str, order: &[&str]) -> Vec<String> {
    let dir = root().join("core/src").join(directory);
    let text = std::fs::read_to_string(dir.join("mod.rs")).unwrap();
    let folder = Directory::new(path_of(Path::new(directory)), &text);
    let mut found: Vec<(String, String, BTreeMap<String, Methods>)> = Vec::new();
    for path in files(&dir, "rs") {
        let inside = path.strip_prefix(root().join("core/src")).unwrap();
        if !is_test_or_model(inside) {
            let child = folder.child(&path_of(inside)).unwrap_or("mod").to_string();
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((child, shown(&path), methods(&text)));
        }
    }
    let mut climbing = Vec::new();
    for (here, path, types) in &found {
        for (of, methods) in types {
            for (line, name) in &methods.called {
                let defines = |types: &BTreeMap<String, Methods>| {
                    let methods = types.get(of);
                    methods.is_some_and(|methods| methods.defined.contains(name))
                };
                let mut others = found.iter().filter(|(_, _, types)| defines(types));
                // Defined in two places: two types have one name.
                let (Some((there, ..)), None) = (others.next(), others.next()) else {
                    continue;
                };
                let (to, from) = (place(order, there), place(order, here));
                if there != here && (to.is_none() || from.is_none() || to <= from) {
                    climbing.push(format!("{path}:{line}: {here} -> {there} ({of}::{name})"));
                }
            }
        }
    }
    climbing
}

#[test]
fn no_method_calls_one_of_its_type_in_a_file_above_it() {
    let mut found = Vec::new();
    for (directory, order) in FOLDERS {
        found.extend(climbing_calls(directory, order));
    }
    assert!(found.is_empty(), "calls that climb:\n{}", found.join("\n"));
}

#[test]
fn no_file_of_the_crates_around_core_uses_one_above_it() {
    let mut found = Vec::new();
    for (name, order) in CRATES {
        let dir = root().join(name);
        let krate = Directory::new(Vec::new(), &read(format!("{name}/lib.rs")));
        for path in files(&dir, "rs") {
            let inside = path.strip_prefix(&dir).unwrap();
            if is_test(inside) || inside == Path::new("lib.rs") {
                continue;
            }
            let module = path_of(inside);
            assert!(
                place(order, &module[0]).is_some(),
                "{} is in no layer: add it to CRATES",
                shown(&path)
            );
            found.extend(climbing(&krate, order, &module, &path));
        }
    }
    assert!(found.is_empty(), "arrows that climb:\n{}", found.join("\n"));
}

#[test]
fn every_directory_of_core_has_an_order() {
    for entry in std::fs::read_dir(root().join("core/src")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let is_known = FOLDERS.iter().any(|(directory, _)| *directory == name);
        assert!(
            !path.is_dir() || is_known || WITHOUT_ORDER.contains(&&name[..]),
            "core/src/{name}: add it to FOLDERS"
        );
    }
    // Nested directories with more than a file's tests and parts.
    for path in files("core/src", "rs") {
        let inside = path.strip_prefix(root().join("core/src")).unwrap();
        let directory = inside.parent().unwrap().to_string_lossy();
        assert!(
            !inside.ends_with("mod.rs") || FOLDERS.iter().any(|(known, _)| *known == directory),
            "core/src/{directory}: add it to FOLDERS"
        );
    }
}

#[test]
fn only_env_touches_files_clock_and_threads() {
    const FORBIDDEN: [&str; 8] = [
        "std::fs",
        "std::thread",
        "std::time::Instant",
        "std::time::SystemTime",
        "std::net",
        "File::open",
        "OpenOptions",
        "libc::",
    ];
    let mut found = Vec::new();
    for path in files("core/src", "rs") {
        let module = module_of(&path);
        // error.rs names two error numbers of libc and calls nothing; sync.rs passes threads on to env.
        if module == "env" || is_test(&path) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for (number, line) in without_tests(&text).lines().enumerate() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            for word in FORBIDDEN {
                let constants = module == "error" && word == "libc::";
                let passes_on = module == "sync" && word == "std::thread";
                if line.contains(word) && !constants && !passes_on {
                    found.push(format!("{}:{}: {word}", shown(&path), number + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "outside env/:\n{}", found.join("\n"));
}

#[test]
fn only_sync_names_the_crates_of_locks_and_atomics() {
    const FORBIDDEN: [&str; 5] = [
        "std::sync",
        "parking_lot::",
        "arc_swap::",
        "crossbeam_utils::",
        "std::hint::spin_loop",
    ];
    let mut found = Vec::new();
    for path in files("core/src", "rs") {
        // error.rs is below sync.rs and uses `Arc`, which the model checker does not replace.
        if matches!(&module_of(&path)[..], "sync" | "error") || is_test(&path) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for (number, line) in without_tests(&text).lines().enumerate() {
            let is_code = !line.trim_start().starts_with("//");
            for word in FORBIDDEN
                .iter()
                .filter(|word| is_code && line.contains(**word))
            {
                found.push(format!("{}:{}: {word}", shown(&path), number + 1));
            }
        }
    }
    assert!(found.is_empty(), "outside sync.rs:\n{}", found.join("\n"));
}

#[test]
fn core_denies_unsafe_code_and_every_exception_gives_its_reason() {
    assert!(read("core/src/lib.rs").contains("#![deny(unsafe_code)]"));
    for path in files("core/src", "rs") {
        let text = std::fs::read_to_string(&path).unwrap();
        for (at, _) in text.match_indices("(unsafe_code") {
            let rest = &text[at..text.len().min(at + 400)];
            let whole = path.ends_with("lib.rs");
            assert!(
                whole || rest.split(']').next().unwrap_or("").contains("reason"),
                "{}: unsafe code without a reason",
                shown(&path)
            );
        }
    }
}
