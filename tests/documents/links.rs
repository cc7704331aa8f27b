//! Checks that every relative link in a Markdown document leads to a file, and its anchor to a heading.

use std::path::Path;

use crate::{files, root, shown};

/// The targets of `[text](target)` outside fenced code, with their lines.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        // Text between backticks is code, where brackets make no link.
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        for part in prose.split("](").skip(1) {
            if let Some(end) = part.find(')') {
                found.push((number + 1, part[..end].to_string()));
            }
        }
    }
    found
}

/// The anchor of a heading: lower case, spaces as hyphens, other punctuation dropped.
fn anchor(heading: &str) -> String {
    heading
        .trim_start_matches('#')
        .trim()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            c if c.is_alphanumeric() => Some(c.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}

fn has_anchor(text: &str, wanted: &str) -> bool {
    text.lines()
        .filter(|line| line.starts_with('#'))
        .any(|line| anchor(line) == wanted)
        || text.contains(&format!("id=\"{wanted}\""))
}

#[test]
fn every_link_in_the_documents_leads_somewhere() {
    let mut broken = Vec::new();
    for path in files("", "md") {
        let text = std::fs::read_to_string(&path).unwrap();
        for (line, target) in links(&text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, fragment) = match target.split_once('#') {
                Some((file, fragment)) => (file, Some(fragment)),
                None => (target.as_str(), None),
            };
            let leads_to = match file {
                "" => path.clone(),
                file => path.parent().unwrap_or(root()).join(file),
            };
            let whole = leads_to.exists()
                && fragment.is_none_or(|fragment| anchor_exists(&leads_to, fragment));
            if !whole {
                broken.push(format!("{}:{line}: {target}", shown(&path)));
            }
        }
    }
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
}

fn anchor_exists(file: &Path, fragment: &str) -> bool {
    match file.extension().is_some_and(|extension| extension == "md") {
        true => std::fs::read_to_string(file).is_ok_and(|text| has_anchor(&text, fragment)),
        // A line in a source file: #L12.
        false => fragment.starts_with('L'),
    }
}

#[test]
fn the_documents_that_a_reader_expects_exist() {
    for name in [
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "docs/guide.md",
        "docs/architecture.md",
        "docs/format.md",
        "docs/durability.md",
        "docs/errors.md",
        "docs/glossary.md",
        "docs/testing.md",
    ] {
        assert!(root().join(name).is_file(), "{name} is missing");
    }
}
