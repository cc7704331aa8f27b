//! Calls have the same name in every language: `delete_range` in Rust, C (`aidb_delete_range`), C++ and Python is
//! `deleteRange` in Node.

use crate::read;

/// Where a language declares the methods of a class: the file, and how the class begins and ends there.
struct Class {
    file: &'static str,
    begin: &'static str,
    end: &'static str,
}

impl Class {
    fn text(&self) -> String {
        let text = read(self.file);
        let (_, text) = text
            .split_once(self.begin)
            .unwrap_or_else(|| panic!("{} has no {}", self.file, self.begin));
        let end = text.find(self.end).unwrap_or(text.len());
        text[..end].to_owned()
    }
}

const fn class(file: &'static str, begin: &'static str, end: &'static str) -> Class {
    Class { file, begin, end }
}

/// What a program calls a method of.
struct Noun {
    rust: Class,
    /// How the names of C's functions begin.
    c: &'static str,
    cpp: Class,
    python: Class,
    /// `None`: in Node it is no class.
    node: Option<Class>,
    /// Its calls besides [`WRITES`].
    calls: &'static [&'static str],
}

/// What adds a write, to all of them.
const WRITES: [&str; 4] = ["put", "delete", "delete_range", "delete_prefix"];
const CPP: &str = "include/aidb.hpp";
const PYTHON: &str = "bindings/python/python/aidb/_aidb.pyi";
const NODE: &str = "bindings/node/index.d.ts";

const NOUNS: [Noun; 3] = [
    Noun {
        rust: class("core/src/db/mod.rs", "impl DB {", "\n}"),
        c: "aidb_",
        cpp: class(CPP, "class DB {", "\n};"),
        python: class(PYTHON, "class Writer(Reader):", "\n@disjoint_base"),
        node: Some(class(NODE, "export class AidbLevel", "\n}")),
        calls: &[
            "compare_and_set",
            "put_if_absent",
            "get_and_put",
            "get_and_delete",
        ],
    },
    Noun {
        rust: class("core/src/batch.rs", "impl WriteBatch {", "\n}"),
        c: "aidb_batch_",
        cpp: class(CPP, "class WriteBatch {", "\n};"),
        python: class(PYTHON, "class WriteBatch:", "\n@final"),
        node: None,
        calls: &["append", "clear"],
    },
    Noun {
        rust: class(
            "core/src/db/transactions/transaction.rs",
            "impl Transaction {",
            "\n}",
        ),
        c: "aidb_transaction_",
        cpp: class(CPP, "class Transaction {", "\n};"),
        python: class(PYTHON, "class Transaction(Reader):", "\n@final"),
        node: Some(class(NODE, "export interface Transaction<", "\n}")),
        calls: &["savepoint", "rollback_to", "commit", "rollback"],
    },
];

/// Whether the text declares a function `name`, after `before`.
fn declares(text: &str, before: &str, name: &str) -> bool {
    let name = format!("{before}{name}");
    text.match_indices(&name).any(|(at, _)| {
        let is_whole = !text[..at].ends_with(|last: char| last == '_' || last.is_alphanumeric());
        let rest = text[at + name.len()..].trim_start();
        is_whole && rest.starts_with(['(', '<'])
    })
}

/// `deleteRange` for `delete_range`; abstract-level has a word of its own for `delete`.
fn in_node(name: &str) -> String {
    if name == "delete" {
        return "del".to_owned();
    }
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        camel += &word[..1].to_uppercase();
        camel += &word[1..];
    }
    camel
}

/// `delete` is a word of C++ itself.
fn in_cpp(name: &str) -> &str {
    if name == "delete" { "erase" } else { name }
}

#[test]
fn calls_have_the_same_name_in_every_language() {
    let header = read("include/aidb.h");
    let mut missing = Vec::new();
    for noun in NOUNS {
        let (rust, cpp, python) = (noun.rust.text(), noun.cpp.text(), noun.python.text());
        let node = noun.node.map(|class| class.text());
        for name in WRITES.iter().chain(noun.calls) {
            let mut check = |language, is_there: bool| {
                if !is_there {
                    missing.push(format!("{language}: {}{name}", noun.c));
                }
            };
            check("Rust", declares(&rust, "pub fn ", name));
            check("C", declares(&header, noun.c, name));
            check("C++", declares(&cpp, "", in_cpp(name)));
            check("Python", declares(&python, "def ", name));
            if let Some(node) = &node {
                check("Node", declares(node, "", &in_node(name)));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// A batch of Node is a list: its operations are named by their types.
#[test]
fn the_operations_of_a_batch_of_node_have_the_names_of_its_calls() {
    let types = read(NODE);
    for name in ["delete_range", "delete_prefix"] {
        let operation = format!("type: '{}'", in_node(name));
        assert!(types.contains(&operation), "no {operation}");
    }
}
