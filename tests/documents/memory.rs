//! Checks that `core` allocates memory whose size follows from data, options or counts in one place,
//! `core/src/memory/door.rs`.

use crate::{files, root};

/// Calls that allocate a given amount of memory.
const ASKING: [&str; 7] = [
    "::with_capacity(",
    "try_reserve",
    "handle_alloc_error",
    "alloc::alloc",
    "alloc_zeroed(",
    ".reserve_exact(",
    ".to_vec()",
];

/// Permitted exceptions: the file below `core/src`, the text of the line, and the reason.
const EXCEPTIONS: [(&str, &str, &str); 16] = [
    (
        "compaction/picker.rs",
        "(smallest.to_vec(), largest.to_vec())",
        "bounds of the manifest, at most 1 KiB each",
    ),
    (
        "compaction/picker.rs",
        "bounds(self.upper.iter()).1.to_vec()",
        "a bound of the manifest, at most 1 KiB",
    ),
    (
        "db/value.rs",
        "_ => self.to_vec()",
        "a program in Rust asks for it, and may ask otherwise",
    ),
    (
        "version/mod.rs",
        "range(start, end)].to_vec()",
        "a pointer for each table of a compaction",
    ),
    (
        "version/set.rs",
        "COMPARATOR.to_vec()",
        "small, of one size",
    ),
    (
        "db/tree/lookup.rs",
        "with_capacity(TOGETHER)",
        "small, of one size",
    ),
    (
        "db/json.rs",
        "with_capacity(text.len() + 2)",
        "a report's text",
    ),
    (
        "sstable/format/footer.rs",
        "with_capacity(FOOTER_BYTES)",
        "small, of one size",
    ),
    (
        "sstable/format/header.rs",
        "with_capacity(HEADER_BYTES)",
        "small, of one size",
    ),
    (
        "version/ends.rs",
        "vec![0; HEAD_BYTES]",
        "small, of one size",
    ),
    (
        "version/ends.rs",
        "vec![0; TAIL_BYTES]",
        "small, of one size",
    ),
    (
        "version/manifest/head.rs",
        "with_capacity(HEAD_BYTES)",
        "small, of one size",
    ),
    (
        "version/manifest/slot.rs",
        "with_capacity(SLOT_BYTES)",
        "small, of one size",
    ),
    (
        "version/manifest/record.rs",
        "vec![0; RECORD_HEADER_BYTES]",
        "small, of one size",
    ),
    (
        "wal/log_header.rs",
        "with_capacity(FILE_HEADER_BYTES)",
        "small, of one size",
    ),
    (
        "wal/synced_file.rs",
        "with_capacity(BYTES)",
        "small, of one size",
    ),
];

/// Not part of the product: tests, models, and the environments that tests put under the engine.
const FOR_TESTS: [&str; 10] = [
    "/tests/",
    "/tests.rs",
    "/edges",
    "/models",
    "/mem/",
    "/fault.rs",
    "/test_dir.rs",
    "/fuzz_checks.rs",
    "/measured.rs",
    "/spoiling.rs",
];

#[test]
fn core_asks_for_memory_whose_amount_follows_from_data_at_one_door() {
    let mut found = Vec::new();
    let mut met = [false; EXCEPTIONS.len()];
    for path in files("core/src", "rs") {
        let inside = path.strip_prefix(root().join("core/src")).unwrap();
        let file = inside.display().to_string();
        let whole = format!("/{file}");
        if file == "memory/door.rs" || FOR_TESTS.iter().any(|part| whole.contains(part)) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or(&text);
        for (number, line) in code.lines().enumerate() {
            let line = line.trim_start();
            let repeats = line.contains("vec![") && line.contains("; ");
            if line.starts_with("//")
                || !(repeats || ASKING.iter().any(|asking| line.contains(asking)))
            {
                continue;
            }
            let exception = EXCEPTIONS
                .iter()
                .position(|(of, text, _)| *of == file && line.contains(text));
            match exception {
                Some(exception) => met[exception] = true,
                None => found.push(format!("core/src/{file}:{}: {line}", number + 1)),
            }
        }
    }
    assert!(
        found.is_empty(),
        "not through core/src/memory/door.rs:\n{}",
        found.join("\n")
    );
    for ((file, text, _), met) in EXCEPTIONS.iter().zip(met) {
        assert!(met, "core/src/{file} no longer has `{text}`");
    }
}
