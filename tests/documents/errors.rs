//! docs/errors.md is one table in four languages; this test takes each `ErrorKind` and checks that its row is complete.

use aidb::ErrorKind;

use crate::{files, read};

struct Row {
    kind: String,
    number: i32,
    c: String,
    python: String,
    node: String,
    retryable: String,
}

/// The rows of the table whose first cell is a kind.
fn rows() -> Vec<Row> {
    let text = read("docs/errors.md");
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<String> = line
            .trim()
            .strip_prefix('|')?
            .split('|')
            .map(|cell| cell.replace('`', "").trim().to_string())
            .collect();
        let number = cells.get(1)?.parse().ok()?;
        Some(Row {
            kind: cells[0].clone(),
            number,
            c: cells[2].clone(),
            python: cells[3].clone(),
            node: cells[4].clone(),
            retryable: cells[5].clone(),
        })
    });
    rows.collect()
}

fn row(kind: ErrorKind) -> Row {
    let mut rows: Vec<Row> = rows()
        .into_iter()
        .filter(|row| row.kind == kind.name())
        .collect();
    assert_eq!(rows.len(), 1, "docs/errors.md: rows of {}", kind.name());
    rows.remove(0)
}

#[test]
fn the_table_has_exactly_the_kinds_of_core_with_their_numbers() {
    for kind in ErrorKind::ALL {
        assert_eq!(row(kind).number, kind.code(), "{}", kind.name());
    }
    // NotFound, 9, is a status of C, not an error.
    let mut names: Vec<String> = rows().into_iter().map(|row| row.kind).collect();
    names.retain(|name| name != "NotFound");
    let kinds: Vec<_> = ErrorKind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(names, kinds);
}

#[test]
fn the_c_header_has_every_status_with_its_number() {
    let header = read("include/aidb.h");
    for row in rows() {
        let found = header.lines().any(|line| {
            let line = line.trim().trim_start_matches("#define ");
            line.strip_prefix(&row.c).is_some_and(|rest| {
                let rest = rest.trim().trim_start_matches('=').trim();
                let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
                digits == Some(row.number.to_string().as_str())
            })
        });
        assert!(found, "aidb.h: {} = {}", row.c, row.number);
        let expected = row.kind.chars().fold(String::from("AIDB"), |mut name, c| {
            if c.is_ascii_uppercase() {
                name.push('_');
            }
            name.push(c.to_ascii_uppercase());
            name
        });
        assert_eq!(row.c, expected);
    }
}

#[test]
fn python_defines_every_class_of_the_table() {
    let mut sources = String::new();
    for path in files("bindings/python", "py")
        .into_iter()
        .chain(files("bindings/python", "rs"))
    {
        sources.push_str(&std::fs::read_to_string(path).unwrap());
    }
    for row in rows() {
        if row.python == "-" {
            continue;
        }
        let class = row.python.trim_start_matches("aidb.");
        assert!(
            sources.contains(&format!("class {class}(")),
            "bindings/python: no class {class}"
        );
    }
}

#[test]
fn node_gives_every_code_of_the_table() {
    let mut sources = String::new();
    for extension in ["rs", "js", "ts"] {
        for path in files("bindings/node", extension) {
            let name = path.to_string_lossy().into_owned();
            if !name.contains("/test") {
                sources.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    for row in rows() {
        if row.node == "-" {
            continue;
        }
        assert!(
            sources.contains(&row.node),
            "bindings/node: no code {}",
            row.node
        );
    }
}

#[test]
fn the_table_says_what_may_be_retried() {
    for kind in ErrorKind::ALL {
        let always = aidb::Error::new(kind, "x").is_retryable();
        let said = row(kind).retryable;
        let expected = match kind {
            ErrorKind::Io => "sometimes",
            _ if always => "yes",
            _ => "no",
        };
        assert_eq!(said, expected, "{}", kind.name());
    }
}
