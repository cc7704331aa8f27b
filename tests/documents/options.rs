//! Checks that every language and document has the options that core declares.
//!
//! This test writes the tables of options in the guide, in Python's stubs and in Node's types from `Options::declared`:
//! `AIDB_UPDATE_OPTIONS=1 cargo test -p aidb-tests --test documents options` updates them. It compares other lists of
//! options with that table, and lists of the options of reads, writes and iterators with the fields of `ReadOptions`
//! and the others.

use std::fmt::Debug;
use std::fs;

use aidb::{
    Accepts, Compression, CountOptions, Declared, IterOptions, Options, ReadOptions, WriteOptions,
};

use crate::{read, root};

const MAX_COLUMNS: usize = 100;
const GUIDE: &str = "docs/guide.md";
const STUBS: &str = "bindings/python/python/aidb/_aidb.pyi";
/// Its methods take the arguments of the native module's.
const AIO: &str = "bindings/python/python/aidb/aio.py";
const TYPES: &str = "bindings/node/index.d.ts";

/// A file, the lines around its table, and the function that makes the table.
struct Place {
    file: &'static str,
    before: &'static str,
    after: &'static str,
    table: fn(&[Declared]) -> String,
}

const PLACES: [Place; 3] = [
    Place {
        file: GUIDE,
        before: "| option | default | accepts | what it does |\n| --- | --- | --- | --- |\n",
        after: "\nThey may differ from one open to the next.",
        table: guide,
    },
    Place {
        file: STUBS,
        before: "None leaves the default (for compression: no compression).\"\"\"\n\n",
        after: "    lru_cache_size: ",
        table: stubs,
    },
    Place {
        file: TYPES,
        before: "export interface EngineOptions {\n",
        after: "}\n",
        table: types,
    },
];

impl Place {
    /// The text of the file before the table, the table, and the text after it.
    fn parts<'text>(&self, text: &'text str) -> (&'text str, &'text str, &'text str) {
        let begin = text.find(self.before).map(|at| at + self.before.len());
        let begin = begin.unwrap_or_else(|| panic!("{}: no {:?}", self.file, self.before));
        let end = text[begin..].find(self.after).map(|at| begin + at);
        let end = end.unwrap_or_else(|| panic!("{}: no {:?}", self.file, self.after));
        (&text[..begin], &text[begin..end], &text[end..])
    }
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_string();
    for word in words {
        camel.push_str(&word[..1].to_uppercase());
        camel.push_str(&word[1..]);
    }
    camel
}

/// The default in the form in which a person writes it.
fn default(option: &Declared) -> String {
    option.shown(&Options::new())
}

/// What the option does, which values it accepts unless its type says that, and its default.
fn sentences(option: &Declared, default: &str) -> String {
    let help = option.help.trim();
    match &option.accepts {
        Accepts::Flag | Accepts::Compression => format!("{help} Default: {default}."),
        accepts => format!("{help} Accepts {accepts}. Default: {default}."),
    }
}

/// `text` in lines, each of which begins with `indentation` and leaves `room` for an addition.
fn wrapped(text: &str, indentation: &str, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() + room <= MAX_COLUMNS => {
                *line += &format!(" {word}");
            }
            _ => lines.push(format!("{indentation}{word}")),
        }
    }
    lines
}

fn codecs(separator: &str, quote: char) -> String {
    let names = Compression::ALL.map(|codec| format!("{quote}{}{quote}", codec.name()));
    names.join(separator)
}

fn guide(options: &[Declared]) -> String {
    let rows = options.iter().map(|option| {
        let (name, accepts, help) = (option.name, &option.accepts, option.help.trim());
        let default = default(option);
        format!("| `{name}` | {default} | {accepts} | {help} |\n")
    });
    rows.collect()
}

fn stubs(options: &[Declared]) -> String {
    let mut out = String::new();
    for option in options {
        let kind = match option.accepts {
            Accepts::Flag => "bool".to_string(),
            Accepts::Size(_) | Accepts::Count(_) | Accepts::Millis(_) => "int | str".to_string(),
            Accepts::Compression => format!("Literal[{}]", codecs(", ", '"')),
            Accepts::InfoLog => "StrOrBytesPath".to_string(),
        };
        let text = format!(
            "\"\"\"{}",
            sentences(option, python(&default(option))).replace('`', "")
        );
        let text = wrapped(&text, "    ", 3).join("\n");
        out += &format!("    {}: {kind} | None\n{text}\"\"\"\n", option.name);
    }
    out
}

fn types(options: &[Declared]) -> String {
    let members = options.iter().map(|option| {
        let kind = match option.accepts {
            Accepts::Flag => "boolean".to_string(),
            Accepts::Size(_) => "Size".to_string(),
            Accepts::Count(_) | Accepts::Millis(_) => "number".to_string(),
            Accepts::Compression => codecs(" | ", '\''),
            Accepts::InfoLog => "string".to_string(),
        };
        let text = sentences(option, &default(option));
        let comment = match wrapped(&text, "  /** ", 3).as_slice() {
            [line] => format!("{line} */"),
            _ => format!("  /**\n{}\n   */", wrapped(&text, "   * ", 0).join("\n")),
        };
        format!(
            "{comment}\n  {}?: {kind} | undefined\n",
            camel_case(option.name)
        )
    });
    members.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_tables_of_options_are_what_core_declares() {
    for place in &PLACES {
        let text = read(place.file);
        let (before, old, after) = place.parts(&text);
        let new = (place.table)(Options::declared());
        if std::env::var_os("AIDB_UPDATE_OPTIONS").is_some() {
            fs::write(root().join(place.file), format!("{before}{new}{after}")).unwrap();
            continue;
        }
        let hint = "run: AIDB_UPDATE_OPTIONS=1 cargo test -p aidb-tests --test documents options";
        for (old, new) in old.lines().zip(new.lines()) {
            assert_eq!(old, new, "{}; {hint}", place.file);
        }
        assert_eq!(old, new, "{}; {hint}", place.file);
    }
}

#[test]
fn the_help_of_an_option_is_one_sentence_that_says_no_number_twice() {
    for option in Options::declared() {
        let help = option.help.trim();
        assert!(help.ends_with('.') && !help.contains(". "), "{help}");
        assert!(!help.contains("efault"), "{help}: the row has the default");
    }
}

/// The names between back-ticks in `text`.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn the_readme_of_the_node_package_lists_every_option() {
    let text = read("bindings/node/README.md");
    let list = text.split("Options, in camel case").nth(1).unwrap();
    let list = list.split("Sizes are numbers").next().unwrap();
    let listed: Vec<&str> = quoted(list)
        .filter(|name| !name.starts_with('\''))
        .collect();
    let expected: Vec<String> = Options::names().map(camel_case).collect();
    assert_eq!(listed, expected, "bindings/node/README.md");
    let codecs: Vec<&str> = quoted(list).filter(|name| name.starts_with('\'')).collect();
    assert_eq!(codecs.join(", "), self::codecs(", ", '\''));
}

#[test]
fn the_stubs_give_names_of_plyvel_to_options_that_there_are() {
    let (stubs, source) = (read(STUBS), read("bindings/python/src/options.rs"));
    let aliases = source.split("const ALIASES").nth(1).unwrap();
    let aliases = aliases.split("];").next().unwrap();
    let names: Vec<&str> = aliases.split('"').skip(1).step_by(2).collect();
    assert!(!names.is_empty());
    for pair in names.chunks(2) {
        let [alias, name] = pair else {
            panic!("{pair:?}");
        };
        let accepts = Options::accepts(name).unwrap();
        assert!(accepts.range().is_some(), "{alias}: the stubs say int");
        let row =
            format!("    {alias}: int | str | None\n    \"\"\"plyvel's name for {name}.\"\"\"\n");
        assert!(stubs.contains(&row), "{STUBS}: {row}");
    }
}

/// The options that tuning.md advises to set exist, and its values differ from the defaults.
#[test]
fn the_measured_options_of_the_tuning_guide_can_be_set() {
    let text = read("docs/tuning.md");
    let table = text.split("| option | workload |").nth(1).unwrap();
    let table = table.split("\n\n").next().unwrap();
    let mut measured = 0;
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let option = quoted(row).next().unwrap();
        let (name, value) = option.split_once(' ').unwrap_or((option, ""));
        let mut options = Options::new();
        let set = options.set(name, value);
        set.unwrap_or_else(|error| panic!("docs/tuning.md, {option}: {error}"));
        let is_default = options.get(name).unwrap() == Options::new().get(name).unwrap();
        assert!(!is_default, "docs/tuning.md, {option}: that is the default");
        measured += 1;
    }
    assert!(measured > 20, "only {measured} rows found");
    let advice = text.split("| your load |").nth(1).unwrap();
    let advice = advice.split("\n\n").next().unwrap();
    for row in advice.lines().skip(2) {
        for name in quoted(row.split('|').nth(2).unwrap()) {
            Options::accepts(name).unwrap_or_else(|error| panic!("docs/tuning.md: {error}"));
        }
    }
}

/// `1 << 10`, `UINT64_C(1) << 40` or `50000`.
fn number(text: &str) -> u64 {
    let plain = text.trim().replace("UINT64_C(", "").replace(')', "");
    let (number, shift) = plain.split_once("<<").unwrap_or((&plain, "0"));
    let parse = |text: &str| {
        text.trim()
            .parse::<u64>()
            .unwrap_or_else(|_| panic!("{plain}"))
    };
    parse(number) << parse(shift)
}

/// LevelDB's own ranges, to which its interface clamps numbers, lie within those of core.
#[test]
fn the_header_for_leveldb_sets_options_that_there_are_within_their_ranges() {
    let header = read("include/aidb_leveldb.h");
    let mut ranges = 0;
    for call in header.split("aidb_leveldb_number(options, ").skip(1) {
        let call = call.split(");").next().unwrap();
        let parts: Vec<&str> = call.split(',').collect();
        let [name, _, smallest, largest] = parts.as_slice() else {
            panic!("{call}");
        };
        let accepts = Options::accepts(name.trim_matches('"')).unwrap();
        for end in [number(smallest), number(largest)] {
            let is_within = accepts.range().is_some_and(|range| range.contains(&end));
            assert!(is_within, "{name}: {end} is not {accepts}");
        }
        ranges += 1;
    }
    assert_eq!(ranges, 7);
    for call in header.split("->options, \"").skip(1) {
        let name = call.split('"').next().unwrap();
        Options::accepts(name).unwrap();
    }
}

/// The fields of a structure and their defaults, from its Debug output: `ReadOptions { snapshot: None, .. }`.
fn fields(options: impl Debug) -> Vec<(String, String)> {
    let shown = format!("{options:?}");
    let inside = shown.split(['{', '}']).nth(1).unwrap();
    let fields = inside.split(',').map(|field| {
        let (name, value) = field.split_once(':').unwrap();
        (name.trim().to_string(), value.trim().to_string())
    });
    fields.collect()
}

/// The options of writes, reads, iterators and counts in core.
fn calls() -> [(&'static str, Vec<(String, String)>); 4] {
    [
        ("Write", fields(WriteOptions::new())),
        ("Read", fields(ReadOptions::new())),
        ("Iter", fields(IterOptions::new())),
        ("Count", fields(CountOptions::new())),
    ]
}

/// The last word of each member of the structure that ends with `end`, without comments.
fn c_members<'header>(header: &'header str, end: &str) -> Vec<&'header str> {
    let before = header.split(end).next().unwrap();
    let members = before.rsplit("typedef struct {").next().unwrap();
    let members = members.lines().filter_map(|line| line.strip_suffix(';'));
    members
        .filter_map(|line| line.rsplit([' ', '*']).next())
        .collect()
}

#[test]
fn c_has_the_options_of_each_call_with_the_same_defaults() {
    let header = read("include/aidb.h");
    for (call, fields) in calls() {
        let lower = call.to_lowercase();
        let members = c_members(&header, &format!("}} aidb_{lower}_options;"));
        let init = format!("define AIDB_{}_OPTIONS_INIT", call.to_uppercase());
        let init = header.split(&init).nth(1).unwrap();
        let values = init.split(['{', '}']).nth(1).unwrap();
        let values: Vec<&str> = values.split(',').map(str::trim).collect();
        assert_eq!(members.len(), values.len(), "AIDB_{call}_OPTIONS_INIT");
        let mut found = Vec::new();
        for (member, value) in members.into_iter().zip(values) {
            match member {
                "struct_size" => assert_eq!(value, format!("sizeof(aidb_{lower}_options)")),
                // A result, and a member that goes with others.
                "sequence_out" => assert_eq!(value, "NULL"),
                "reserved" | "lower_bound_len" | "upper_bound_len" | "prefix_len" => {
                    assert_eq!(value, "0", "{member}");
                }
                _ => found.push((member.to_string(), value.to_string())),
            }
        }
        let expected = fields.into_iter().map(|(name, value)| {
            let value = match value.as_str() {
                "None" => "NULL",
                "false" => "0",
                "true" => "1",
                _ => panic!("{name}: {value}"),
            };
            (name, value.to_string())
        });
        assert_eq!(found, expected.collect::<Vec<_>>(), "aidb_{lower}_options");
    }
}

#[test]
fn cpp_has_the_options_of_each_call_with_the_same_defaults() {
    let header = read("include/aidb.hpp");
    for (call, fields) in calls() {
        let members = header
            .split(&format!("struct {call}Options {{\n"))
            .nth(1)
            .unwrap();
        let members = members.split("\n};").next().unwrap();
        let members = members.lines().filter_map(|line| line.strip_suffix(';'));
        let found = members.map(|member| {
            let (member, value) = match member.split_once(" = ") {
                Some(("  const Snapshot* snapshot", "nullptr")) => ("snapshot", "None"),
                Some((member, value)) => (member, value),
                // An empty optional.
                None => (member.strip_suffix("{}").unwrap(), "None"),
            };
            (
                member.rsplit(' ').next().unwrap().to_string(),
                value.to_string(),
            )
        });
        assert_eq!(found.collect::<Vec<_>>(), fields, "{call}Options");
    }
}

/// The types' own options of calls, without those of abstract-level.
#[test]
fn node_has_the_options_of_each_call_with_the_same_defaults() {
    let types = read(TYPES);
    let [(_, write), (_, read), ..] = calls();
    for (call, fields) in [("Write", write), ("Read", read)] {
        let interface = format!("export interface {call}Options {{\n");
        let inside = types.split(&interface).nth(1).unwrap();
        let inside = inside.split("\n}\n").next().unwrap();
        let mut members = inside.split("?: boolean | undefined");
        for (name, default) in fields.iter().filter(|(_, default)| default != "None") {
            let member = members.next().unwrap();
            assert_eq!(
                member.rsplit(' ').next(),
                Some(camel_case(name).as_str()),
                "{call}Options"
            );
            let said = format!("Default: `{default}`");
            assert!(member.contains(&said), "{call}Options, {name}: {said}");
        }
        assert_eq!(members.collect::<String>().trim(), "", "{call}Options");
    }
}

/// Python's names of the options of calls; the snapshot is an object with methods of its own.
const IN_PYTHON: [(&str, &str); 4] = [
    ("lower_bound", "start"),
    ("upper_bound", "stop"),
    ("keys", "include_key"),
    ("values", "include_value"),
];

/// A default of Rust's as Python writes it.
fn python(default: &str) -> &str {
    match default {
        "true" => "True",
        "false" => "False",
        _ => default,
    }
}

#[test]
fn python_has_the_options_of_each_call_with_the_same_defaults() {
    let stubs = read(STUBS) + &read(AIO);
    let [(_, write), (_, read), (_, iter), (_, count)] = calls();
    for (methods, options) in [
        (["put", "delete", "write_batch"].as_slice(), write),
        (&["get", "get_many", "get_view", "raw_iterator"], read),
        (&["iterator"], iter),
        (&["count"], count),
    ] {
        for method in methods {
            // The methods of a database. Those of a batch take no options.
            let definition = format!("def {method}(");
            let calls = stubs.split(definition.as_str()).skip(1);
            let calls = calls.map(|call| call.split(") ->").next().unwrap());
            let calls: Vec<&str> = calls.filter(|call| call.contains('=')).collect();
            assert!(!calls.is_empty(), "{STUBS}: {method}");
            for (name, default) in options.iter().filter(|(name, _)| name != "snapshot") {
                let renamed = IN_PYTHON.iter().find(|(known, _)| known == name);
                let name = renamed.map_or(name.as_str(), |(_, name)| name);
                let parameter = calls.iter().filter_map(|call| {
                    call.split([',', '\n']).find_map(|parameter| {
                        let (known, rest) = parameter.trim().split_once(':')?;
                        (known == name).then_some(rest)
                    })
                });
                // An overload with another result type needs the other value, and has no default.
                let defaults: Vec<_> = parameter
                    .filter_map(|rest| rest.split_once(" = "))
                    .collect();
                assert!(!defaults.is_empty(), "{STUBS}: {method}, {name}");
                for (_, value) in defaults {
                    assert_eq!(value, python(default), "{STUBS}: {method}, {name}");
                }
            }
        }
    }
}
