//! Checks that the generator of test data knows every integer constant of `core`, or that a list says it changes no
//! path.
//!
//! A constant at which code takes another way needs data on both sides of it, or no test takes the other way: so values
//! of more than 64 KiB once vanished. Each `const NAME: <integer type>` outside of tests is therefore a row of
//! `THRESHOLDS` in `tests/data/src/thresholds.rs`, with its value, or a line of `constants.txt` beside this file, with
//! the reason why the code compares no size or number of entries with it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use aidb_test_data::{Fill, THRESHOLDS, Unit, edges_up_to};

use crate::{files, read, root};

const NO_PATH: &str = "tests/documents/constants.txt";
/// The sizes at the edges of thresholds, for tests in other languages.
const EDGES: &str = "tests/data/edges.txt";
const MAX_EDGE: usize = (16 << 20) + 1;
/// The files of those tests that make data of these sizes, of the same kinds of bytes.
const GENERATORS: [&str; 2] = [
    "bindings/python/tests/data.py",
    "bindings/node/test/data.js",
];
const INTEGERS: [&str; 12] = [
    "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize",
];

/// The file below `core/src`, and the name.
type Place = (String, String);

/// The constants of `core` with their expressions in the source.
fn constants() -> BTreeMap<Place, String> {
    let mut found = BTreeMap::new();
    for path in files("core/src", "rs") {
        let inside = path.strip_prefix(root().join("core/src")).unwrap();
        if is_test(inside) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let file = inside.display().to_string();
        for (name, value) in declared(&without_test_modules(&text)) {
            let twice = found.insert((file.clone(), name.clone()), value);
            assert!(
                twice.is_none(),
                "core/src/{file} has two constants {name}: rename one"
            );
        }
    }
    found
}

/// Whether a file is compiled only for tests and models.
pub fn is_test(path: &Path) -> bool {
    path.iter().any(|part| {
        let part = part.to_string_lossy();
        matches!(
            part.trim_end_matches(".rs"),
            "tests" | "edges" | "models" | "test_dir"
        )
    })
}

/// `text` without the modules that are compiled only for tests; these begin and end at the beginning of a line.
pub fn without_test_modules(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("#[cfg(test)]\n") {
        let (before, from) = rest.split_at(at);
        kept.push_str(before);
        let (attribute, behind) = from.split_at("#[cfg(test)]\n".len());
        let first = behind.lines().next().unwrap_or("");
        rest = match first.contains("mod ") && first.ends_with('{') {
            true => behind.split_once("\n}").map_or("", |(_, rest)| rest),
            false => {
                kept.push_str(attribute);
                behind
            }
        };
    }
    kept + rest
}

/// The integer constants that a source declares, at any indentation, with their expressions.
fn declared(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let begin = at;
        at += line.len();
        let line = line.trim_start();
        let declaration = match line.strip_prefix("pub") {
            Some(public) => match public.strip_prefix('(') {
                Some(scope) => scope.split_once(')').map_or("", |(_, rest)| rest),
                None => public,
            }
            .trim_start(),
            None => line,
        };
        let Some((name, _)) = declaration
            .strip_prefix("const ")
            .and_then(|rest| rest.split_once(':'))
        else {
            continue;
        };
        let whole = &text[begin..];
        let (Some(equals), Some(end)) = (whole.find(" ="), whole.find(';')) else {
            continue;
        };
        if equals > end {
            continue;
        }
        let typed = whole[..equals].rsplit(':').next().unwrap_or("").trim();
        if INTEGERS.contains(&typed) {
            found.push((name.trim().to_string(), whole[equals + 2..end].to_string()));
        }
    }
    found
}

/// Computes the simple expressions of constants; `None` for any other expression.
struct Calculator<'a> {
    constants: &'a BTreeMap<Place, String>,
    file: &'a str,
    tokens: Vec<String>,
    at: usize,
}

impl<'a> Calculator<'a> {
    fn value(constants: &'a BTreeMap<Place, String>, place: &'a Place) -> Option<i128> {
        let expression = &constants[place];
        // The model checker's build has its own, smaller, value.
        let expression = match expression.trim().strip_prefix("if cfg!(shuttle)") {
            Some(choice) => choice
                .split_once("else {")?
                .1
                .trim_end()
                .strip_suffix('}')?,
            None => expression,
        };
        let mut calculator = Calculator {
            constants,
            file: &place.0,
            tokens: tokens(expression),
            at: 0,
        };
        let value = calculator.binary(0)?;
        (calculator.at == calculator.tokens.len()).then_some(value)
    }

    fn peek(&self) -> &str {
        self.tokens.get(self.at).map_or("", String::as_str)
    }

    /// Operators of one level of precedence, and all with a higher one.
    fn binary(&mut self, level: usize) -> Option<i128> {
        const LEVELS: [&[&str]; 5] = [&["|"], &["&"], &["<<", ">>"], &["+", "-"], &["*", "/", "%"]];
        let Some(operators) = LEVELS.get(level) else {
            return self.cast();
        };
        let mut left = self.binary(level + 1)?;
        while operators.contains(&self.peek()) {
            let operator = self.peek().to_string();
            self.at += 1;
            let right = self.binary(level + 1)?;
            left = match operator.as_str() {
                "|" => left | right,
                "&" => left & right,
                "<<" => left.checked_shl(right.try_into().ok()?)?,
                ">>" => left.checked_shr(right.try_into().ok()?)?,
                "+" => left.checked_add(right)?,
                "-" => left.checked_sub(right)?,
                "*" => left.checked_mul(right)?,
                "/" => left.checked_div(right)?,
                _ => left.checked_rem(right)?,
            };
        }
        Some(left)
    }

    fn cast(&mut self) -> Option<i128> {
        let value = self.single()?;
        while self.peek() == "as" {
            self.at += 2;
        }
        Some(value)
    }

    fn single(&mut self) -> Option<i128> {
        let token = self.peek().to_string();
        self.at += 1;
        match token.as_str() {
            "(" => {
                let value = self.binary(0)?;
                self.at += 1;
                (self.tokens.get(self.at - 1)? == ")").then_some(value)
            }
            "-" => Some(-self.single()?),
            "u8::MAX" => Some(i128::from(u8::MAX)),
            "u16::MAX" => Some(i128::from(u16::MAX)),
            "u32::MAX" => Some(i128::from(u32::MAX)),
            "u64::MAX" | "usize::MAX" => Some(i128::from(u64::MAX)),
            number if number.starts_with(|c: char| c.is_ascii_digit()) => literal(number),
            path => self.constant(path.rsplit("::").next()?),
        }
    }

    /// Another constant: of the same file, or else the only one of that name, first in the same module.
    fn constant(&self, name: &str) -> Option<i128> {
        let module = self.file.split('/').next().unwrap_or(self.file);
        let only = |is_near: &dyn Fn(&str) -> bool| {
            let mut found = self
                .constants
                .keys()
                .filter(|(file, other)| other == name && is_near(file));
            let first = found.next()?;
            found.next().is_none().then_some(first)
        };
        let place = only(&|file| file == self.file)
            .or_else(|| only(&|file| file.split('/').next() == Some(module)))
            .or_else(|| only(&|_| true))?;
        Calculator::value(self.constants, place)
    }
}

fn literal(number: &str) -> Option<i128> {
    let digits = number.replace('_', "");
    let digits = INTEGERS
        .iter()
        .find_map(|suffix| digits.strip_suffix(suffix))
        .unwrap_or(&digits);
    match digits.strip_prefix("0x") {
        Some(hex) => i128::from_str_radix(hex, 16).ok(),
        None => digits.parse().ok(),
    }
}

/// Names with their paths, numbers, and operators.
fn tokens(expression: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut rest = expression.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let length = match is_word(first) {
            true => rest.find(|c: char| !is_word(c)).unwrap_or(rest.len()),
            false if rest.starts_with("<<") || rest.starts_with(">>") => 2,
            false => first.len_utf8(),
        };
        found.push(rest[..length].to_string());
        rest = rest[length..].trim_start();
    }
    found
}

/// The lines of `constants.txt`: file, name, reason.
fn without_a_path() -> BTreeMap<Place, String> {
    let mut found = BTreeMap::new();
    for line in read(NO_PATH).lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (file, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (name, reason) = rest.trim_start().split_once(' ').unwrap_or((rest, ""));
        let place = (file.to_string(), name.trim().to_string());
        let twice = found.insert(place, reason.trim().to_string());
        assert!(twice.is_none(), "{NO_PATH} has {file} {name} twice");
    }
    found
}

/// DATA-2.
#[test]
fn every_integer_constant_of_core_is_a_threshold_or_changes_no_path() {
    let constants = constants();
    let without_a_path = without_a_path();
    let mut wrong = Vec::new();
    let mut thresholds = BTreeSet::new();
    for threshold in THRESHOLDS.iter().filter(|one| !one.file.is_empty()) {
        let place = (threshold.file.to_string(), threshold.name.to_string());
        let shown = format!("core/src/{}: {}", threshold.file, threshold.name);
        if !constants.contains_key(&place) {
            wrong.push(format!(
                "{shown} is gone or has moved, and THRESHOLDS still has a row for it"
            ));
        } else if without_a_path.contains_key(&place) {
            wrong.push(format!("{shown} is in THRESHOLDS and in {NO_PATH}"));
        } else {
            match Calculator::value(&constants, &place) {
                Some(value) if value == i128::from(threshold.value) => {}
                Some(value) => wrong.push(format!(
                    "{shown} is {value}; its row in THRESHOLDS says {}",
                    threshold.value
                )),
                None => wrong.push(format!(
                    "{shown} = {}: this test cannot compute that; write it as a sum, product or shift of numbers and constants",
                    constants[&place].trim()
                )),
            }
        }
        if !thresholds.insert(place) {
            wrong.push(format!("{shown} is in THRESHOLDS twice"));
        }
    }
    for ((file, name), reason) in &without_a_path {
        let place = (file.clone(), name.clone());
        if !constants.contains_key(&place) {
            wrong.push(format!(
                "core/src/{file}: {name} is gone or has moved, and {NO_PATH} still has a line for it"
            ));
        } else if reason.is_empty() {
            wrong.push(format!("{NO_PATH}: {file} {name} gives no reason"));
        }
    }
    for (place, expression) in &constants {
        if !thresholds.contains(place) && !without_a_path.contains_key(place) {
            wrong.push(format!(
                "core/src/{}: {} ={expression} is in no list",
                place.0, place.1
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "\n{}\n\nIf code takes another way for data on the two sides of a constant, it needs a row in THRESHOLDS in \
         tests/data/src/thresholds.rs, so that random tests draw sizes or counts around it. If none does, it needs a line \
         in {NO_PATH}: file, name, and why. Both are compared with the code: change or remove them with it.\n",
        wrong.join("\n")
    );
    assert!(
        constants.len() > 100,
        "only {} constants were found",
        constants.len()
    );
}

#[test]
fn the_sizes_that_tests_in_other_languages_draw_are_those_of_the_generator() {
    // A comma after each, for `#include` in C.
    let edges = edges_up_to(MAX_EDGE, Unit::Bytes).into_iter();
    let expected: String = edges.map(|edge| format!("{edge},\n")).collect();
    if std::env::var_os("AIDB_UPDATE_EDGES").is_some() {
        std::fs::write(root().join(EDGES), &expected).unwrap();
    }
    assert!(
        read(EDGES) == expected,
        "{EDGES} does not match THRESHOLDS: AIDB_UPDATE_EDGES=1 cargo test -p aidb-tests --test documents sizes"
    );
    for generator in GENERATORS {
        let text = read(generator);
        for fill in Fill::ALL {
            let name = format!("{fill:?}").to_lowercase();
            let makes = [
                format!("def {name}("),
                format!("  {name}: ("),
                format!("  {name} ("),
            ];
            let is_there = makes.iter().any(|begin| text.contains(begin));
            assert!(is_there, "{generator} makes no {name}");
        }
    }
}

#[test]
fn a_constant_is_found_with_its_value_wherever_it_is_declared() {
    let text = "\
        const A: usize = 64 << 10;\n\
        pub(crate) const B: u64 = A as u64 * 2\n    + 0x10;\n\
        impl X {\n    pub const C: u32 = Self::A - 1_000u32;\n    const fn of(self) -> u8 { 0 }\n}\n\
        const D: [u8; 2] = [1, 2];\n\
        const E: usize = if cfg!(shuttle) { 4 } else { 64 };\n\
        const F: usize = size_of::<u8>();\n\
        #[cfg(test)]\nmod tests {\n    const G: usize = 1;\n}\n\
        const H: u64 = (1 + 2) * 3 % 5;\n";
    let file = "x.rs".to_string();
    let found = declared(&without_test_modules(text));
    let constants: BTreeMap<Place, String> = found
        .into_iter()
        .map(|(name, value)| ((file.clone(), name), value))
        .collect();
    let values: Vec<_> = constants
        .keys()
        .map(|place| (place.1.as_str(), Calculator::value(&constants, place)))
        .collect();
    assert_eq!(
        values,
        [
            ("A", Some(65_536)),
            ("B", Some(131_088)),
            ("C", Some(64_536)),
            ("E", Some(64)),
            ("F", None),
            ("H", Some(4)),
        ]
    );
}
