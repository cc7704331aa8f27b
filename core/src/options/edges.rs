//! Each option by itself: what sets it, its exact range, and how sizes and similar names are parsed.

use std::time::Duration;

use super::size::{parse_size, size_text};
use super::*;
use crate::compression::Compression;
use crate::error::ErrorKind;

/// The options by name, as text.
fn texts(options: &Options) -> Vec<(&'static str, String)> {
    Options::names()
        .map(|name| (name, options.get(name).unwrap()))
        .collect()
}

#[test]
fn each_call_sets_its_own_option_and_no_other() {
    type Call = fn(Options) -> Options;
    let calls: [(&str, &str, Call); 20] = [
        ("create_if_missing", "false", |o| o.create_if_missing(false)),
        ("error_if_exists", "true", |o| o.error_if_exists(true)),
        ("read_only", "true", |o| o.read_only(true)),
        ("write_buffer_size", "5001", |o| o.write_buffer_size(5001)),
        ("block_cache_size", "5002", |o| o.block_cache_size(5002)),
        ("block_size", "5003", |o| o.block_size(5003)),
        ("block_restart_interval", "54", |o| {
            o.block_restart_interval(54)
        }),
        ("compression", "zstd", |o| o.compression(Compression::Zstd)),
        ("bloom_bits_per_key", "15", |o| o.bloom_bits_per_key(15)),
        ("max_open_files", "56", |o| o.max_open_files(56)),
        ("level0_compaction_trigger", "57", |o| {
            o.level0_compaction_trigger(57)
        }),
        ("level_base_size", "5008", |o| o.level_base_size(5008)),
        ("level_size_multiplier", "59", |o| {
            o.level_size_multiplier(59)
        }),
        ("target_file_size", "5010", |o| o.target_file_size(5010)),
        ("background_threads", "61", |o| o.background_threads(61)),
        ("lock_timeout", "62", |o| {
            o.lock_timeout(Duration::from_millis(62))
        }),
        ("transaction_timeout", "64", |o| {
            o.transaction_timeout(Duration::from_millis(64))
        }),
        ("info_log", "stderr", |o| o.info_log(InfoLog::Stderr)),
        ("info_log_file_size", "5011", |o| o.info_log_file_size(5011)),
        ("info_log_files", "63", |o| o.info_log_files(63)),
    ];
    assert!(calls.iter().map(|call| call.0).eq(Options::names()));
    let usual = texts(&Options::new());
    for (name, text, call) in calls {
        let mut expected = usual.clone();
        let place = expected
            .iter_mut()
            .find(|(known, _)| *known == name)
            .unwrap();
        assert_ne!(place.1, text, "{name} has another default");
        place.1 = text.to_owned();
        assert_eq!(texts(&call(Options::new())), expected);
        let mut set = Options::new();
        set.set(name, text).unwrap();
        assert_eq!(texts(&set), expected);
        // A refused value changes nothing.
        set.set(name, "\0").err().filter(|_| name != "info_log");
        if name != "info_log" {
            assert_eq!(texts(&set), expected);
        }
    }
    let options = Options::new().lock_timeout(Duration::from_micros(1999));
    assert_eq!(options.lock_timeout, Duration::from_millis(1));
    assert!(Options::new().manual_background(true).manual_background);
    assert!(!Options::new().manual_background);
}

#[test]
fn flags_are_read_in_four_ways_and_no_other() {
    for name in ["create_if_missing", "error_if_exists", "read_only"] {
        for (text, expected) in [
            ("true", "true"),
            ("1", "true"),
            ("yes", "true"),
            ("on", "true"),
            ("false", "false"),
            ("0", "false"),
            ("no", "false"),
            ("off", "false"),
        ] {
            // Starts from the other value, so that it has to change.
            let mut options = Options::new();
            options
                .set(name, if expected == "true" { "no" } else { "yes" })
                .unwrap();
            options.set(name, text).unwrap();
            assert_eq!(options.get(name).unwrap(), expected, "{name} = {text}");
        }
        assert!(Options::new().set(name, "TRUE").is_err());
    }
    let mut options = Options::new();
    for (text, expected) in [
        ("stderr", InfoLog::Stderr),
        ("none", InfoLog::None),
        ("a/path", InfoLog::File("a/path".into())),
    ] {
        options.set("info_log", text).unwrap();
        assert_eq!(options.info_log, expected);
    }
    let error = options.set("info_log", "").unwrap_err();
    let message = "option info_log = \"\": expected none, stderr or a path";
    assert_eq!(error.message(), message);
    assert_eq!(options.info_log, InfoLog::File("a/path".into()));
}

#[test]
fn numbers_are_taken_from_the_smallest_to_the_largest_and_none_beyond() {
    let mut numbers = 0;
    for Declared {
        name,
        accepts,
        setting_mut,
        ..
    } in TABLE
    {
        let Some(range) = accepts.range() else {
            continue;
        };
        let (smallest, largest) = (*range.start(), *range.end());
        numbers += 1;
        let within = [smallest, smallest + 1, largest - 1, largest];
        let beyond = [smallest.wrapping_sub(1), largest + 1, u64::MAX];
        for (number, is_taken) in within
            .map(|number| (number, true))
            .into_iter()
            .chain(beyond.map(|number| (number, false)))
        {
            let label = format!("{name} = {number}");
            let taken = Options::new().set(name, &number.to_string());
            assert_eq!(taken.is_ok(), is_taken, "{label}");
            let mut options = Options::new();
            // As the builder method does, this takes any number.
            let any = Accepts::Count(0..=u64::MAX);
            assert!(setting_mut(&mut options).set(&number.to_string(), &any));
            let valid = options.validate();
            assert_eq!(valid.is_ok(), is_taken, "{label}");
            for error in [taken.err(), valid.err()].into_iter().flatten() {
                let expected = format!(": expected {accepts}");
                assert!(error.message().ends_with(&expected), "{error}");
                assert!(
                    error.message().starts_with(&format!("option {name} = ")),
                    "{error}"
                );
            }
        }
    }
    assert_eq!(numbers, 15);
}

#[test]
fn the_ranges_are_those_of_the_documents() {
    let ranges: Vec<String> = TABLE
        .iter()
        .map(|declared| format!("{}: {}", declared.name, declared.accepts))
        .collect();
    assert_eq!(
        ranges,
        [
            "create_if_missing: true or false",
            "error_if_exists: true or false",
            "read_only: true or false",
            "write_buffer_size: a size from 4KiB to 16GiB",
            "block_cache_size: a size from 0 to 1TiB",
            "block_size: a size from 128 to 16MiB",
            "block_restart_interval: a whole number from 1 to 1024",
            "compression: none, snappy, lz4 or zstd",
            "bloom_bits_per_key: a whole number from 0 to 32",
            "max_open_files: a whole number from 0 to 1048576",
            "level0_compaction_trigger: a whole number from 1 to 64",
            "level_base_size: a size from 4KiB to 1TiB",
            "level_size_multiplier: a whole number from 2 to 100",
            "target_file_size: a size from 4KiB to 64GiB",
            "background_threads: a whole number from 1 to 64",
            "lock_timeout: milliseconds from 0 to 86400000",
            "transaction_timeout: milliseconds from 0 to 86400000",
            "info_log: none, stderr or a path",
            "info_log_file_size: a size from 0 to 1TiB",
            "info_log_files: a whole number from 1 to 1000",
        ]
    );
}

#[test]
fn what_excludes_itself_is_refused_and_each_part_alone_is_not() {
    let both = |read_only, error_if_exists| {
        let options = Options::new()
            .read_only(read_only)
            .error_if_exists(error_if_exists);
        options.validate().is_ok()
    };
    assert!(both(false, false) && both(true, false) && both(false, true));
    assert!(!both(true, true));
}

/// A message used to repeat the caller's text, which ended the process if there was no memory for a copy.
#[test]
fn names_and_values_that_no_message_can_repeat_are_refused() {
    let mut options = Options::new();
    let long = |bytes| "x".repeat(bytes);
    options.set("info_log", &long(MAX_TEXT_BYTES)).unwrap();
    let too_long = long(MAX_TEXT_BYTES + 1);
    let name = options.get(&too_long).unwrap_err();
    for error in [
        options.set("info_log", &too_long).unwrap_err(),
        options.set("block_size", &too_long).unwrap_err(),
        options.set(&too_long, "1").unwrap_err(),
        options.spell(&too_long, "x").unwrap_err(),
        name,
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().contains("65537 bytes"), "{error}");
        assert!(error.message().len() < 200, "{error}");
    }
    // The longest text for which names are suggested: it contains a known name.
    let at_most = format!("block_size{}", long(MAX_TEXT_BYTES - "block_size".len()));
    assert_eq!(Options::names_near(&at_most), ["block_size"]);
    assert!(Options::names_near(&format!("{at_most}x")).is_empty());
    assert_eq!(options.get("info_log").unwrap().len(), MAX_TEXT_BYTES);
}

#[test]
fn sizes_are_read_and_written_in_every_unit() {
    for (text, bytes) in [
        ("7", 7),
        ("7b", 7),
        ("7k", 7 << 10),
        ("7KiB", 7 << 10),
        ("7kb", 7000),
        ("7M", 7 << 20),
        ("7mib", 7 << 20),
        ("7MB", 7_000_000),
        ("7g", 7 << 30),
        ("7GiB", 7 << 30),
        ("7gb", 7_000_000_000),
        ("7t", 7 << 40),
        ("7TiB", 7 << 40),
        ("7tb", 7_000_000_000_000),
        (" 7 KiB ", 7 << 10),
        ("0.5MiB", 1 << 19),
        (".5MiB", 1 << 19),
        ("5.MiB", 5 << 20),
        ("1.50KiB", 1536),
        ("4.7kb", 4700),
        ("0.0009765625KiB", 1),
        ("1.000000000000tb", 1_000_000_000_000),
        ("16777215.5TiB", (16_777_215 << 40) + (1 << 39)),
        ("18446744073709551615", u64::MAX),
        ("16777215TiB", 16_777_215 << 40),
    ] {
        assert_eq!(parse_size(text), Some(bytes), "{text}");
    }
    for text in [
        "16777216TiB",
        "16777216.0TiB",
        "18446744073709551616",
        "1.2.3",
        "1.2.3k",
        ".",
        ".k",
        "1.5",
        // 4812.8 bytes, and half a byte.
        "4.7KiB",
        "0.00048828125KiB",
        "1.0000000000001tb",
        "16777215.99999999999999999999TiB",
        "1 k b",
    ] {
        assert_eq!(parse_size(text), None, "{text}");
    }
    for (bytes, text) in [
        (0, "0"),
        (1, "1"),
        (1023, "1023"),
        (1024, "1KiB"),
        (1025, "1025"),
        (1536, "1536"),
        (1 << 20, "1MiB"),
        ((1 << 20) + 1024, "1025KiB"),
        (3 << 30, "3GiB"),
        (5 << 40, "5TiB"),
    ] {
        assert_eq!(size_text(bytes), text);
    }
}

#[test]
fn near_names_are_those_of_three_changes_or_with_one_in_the_other() {
    for (a, b, distance) in [
        ("", "", 0),
        ("", "abc", 3),
        ("abc", "", 3),
        ("abc", "abc", 0),
        ("abc", "abd", 1),
        ("abc", "ab", 1),
        ("abc", "xabc", 1),
        ("kitten", "sitting", 3),
        ("flaw", "lawn", 2),
        ("ab", "ba", 2),
    ] {
        assert_eq!(edit_distance(a, b), distance, "{a} {b}");
        assert_eq!(edit_distance(b, a), distance, "{b} {a}");
    }
    let near = |name: &str| {
        let error = Options::new().get(name).unwrap_err();
        let message = error.message().to_owned();
        let names = message.split("did you mean: ").nth(1);
        let names = names.map(|names| names.trim_end_matches('?').split(", "));
        names
            .into_iter()
            .flatten()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    // Three changes are near enough, four are not.
    assert_eq!(near("blooock_size"), ["block_size"]);
    assert_eq!(near("read_onlyxyz"), ["read_only"]);
    assert_eq!(near("xead_onxyxzq"), [""; 0]);
    // Four letters of a name are enough, three are not.
    assert_eq!(near("bloo"), ["bloom_bits_per_key"]);
    assert_eq!(near("blo"), [""; 0]);
    assert_eq!(near("the compression to use"), ["compression"]);
    // The nearest three of the five names that contain it.
    let expected = ["block_size", "level_base_size", "block_cache_size"];
    assert_eq!(near("size"), expected);
    assert_eq!(near("blok_siz"), ["block_size"]);
    assert_eq!(near("info_logs"), ["info_log"]);
}
