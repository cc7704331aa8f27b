//! Finds, in the text of a source file, the parts of a directory of `core/src` that the file names.
//!
//! An arrow is a path in code, in a `use` or not, that begins with `crate::`, `super::`, `self::` or, in a `mod.rs`,
//! with the name of a child. A name that a `mod.rs` re-exports counts as the child that it comes from: a file that
//! imports `super::Block` names `memory` if the directory says `pub use memory::Block`.

use std::collections::BTreeMap;
use std::path::Path;

/// A path in the code of a file, from the root of the crate, and its line.
#[derive(Debug, PartialEq, Eq)]
pub struct Arrow {
    pub line: usize,
    pub path: Vec<String>,
}

/// The code above a file's tests, with every comment blanked, so that lines keep their numbers.
fn code_of(text: &str) -> String {
    let text = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default();
    let lines = text.lines().map(|line| match line.trim_start() {
        comment if comment.starts_with("//") => "",
        _ => line,
    });
    // A `pub(in path)` limits a name's visibility; it does not use the path.
    let text = lines.collect::<Vec<_>>().join("\n");
    text.replace("pub(in crate::", "pub(in ")
        .replace("pub(in super::", "pub(in ")
}

fn is_part_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The module of a file, from the root of the crate: `["sstable", "block"]` for `sstable/block.rs`, and for
/// `sstable/block/mod.rs`.
pub fn module_of(inside: &Path) -> Vec<String> {
    let whole = inside.with_extension("");
    let mut parts: Vec<_> = whole
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    parts
}

/// Reads a path, with all its branches in braces, from the beginning of `text`: `a::{b, c::D}` is `a::b` and `a::c::D`.
/// Returns the rest of the text.
fn tree<'a>(mut text: &'a str, stem: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    let mut path = stem.to_vec();
    loop {
        text = text.trim_start();
        if let Some(mut rest) = text.strip_prefix('{') {
            loop {
                rest = tree(rest, &path, found).trim_start();
                match rest.strip_prefix(',') {
                    Some(more) if !more.trim_start().starts_with('}') => rest = more,
                    Some(more) => return more.trim_start().strip_prefix('}').unwrap_or_default(),
                    None => return rest.strip_prefix('}').unwrap_or_default(),
                }
            }
        }
        let end = text.find(|c| !is_part_of_name(c)).unwrap_or(text.len());
        path.push(text[..end].to_string());
        text = &text[end..];
        match text.strip_prefix("::") {
            // A name inside a type, or the type's parameters.
            Some(rest) if rest.starts_with(['<', '*']) => {
                found.push(path);
                return &rest[1..];
            }
            Some(rest) => text = rest,
            None => {
                found.push(path);
                return text;
            }
        }
    }
}

/// The paths in `code` that begin with one of `roots`, each with its position.
fn paths(code: &str, roots: &[&str]) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    for root in roots {
        for (at, _) in code.match_indices(&format!("{root}::")) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| is_part_of_name(c) || c == ':') {
                continue;
            }
            let mut branches = Vec::new();
            tree(&code[at..], &[], &mut branches);
            found.extend(branches.into_iter().map(|path| (at, path)));
        }
    }
    found.sort();
    found
}

/// `path` of the file `module`, from the root of the crate.
fn absolute(module: &[String], path: &[String]) -> Vec<String> {
    let mut stem = module.to_vec();
    let mut rest = path;
    while let [first, more @ ..] = rest {
        match &first[..] {
            "crate" => stem.clear(),
            "super" => drop(stem.pop()),
            "self" => {}
            _ => break,
        }
        rest = more;
    }
    stem.extend_from_slice(rest);
    stem
}

/// The children that a `mod.rs` declares.
fn children(code: &str) -> Vec<&str> {
    let declared = code.lines().filter_map(|line| {
        let (_, after) = line.split_once("mod ")?;
        after.strip_suffix(';')
    });
    declared.collect()
}

/// Whether a `pub use` takes the path at `at`.
fn is_re_exported(code: &str, at: usize) -> bool {
    let start = code[..at].rfind([';', '}']).map_or(0, |end| end + 1);
    let statement = code[start..at].trim_start();
    let line = statement.lines().last().unwrap_or_default();
    line.starts_with("pub") && line.contains("use ")
}

/// A directory: its module, and the child of each name that its `mod.rs` re-exports.
pub struct Directory {
    pub module: Vec<String>,
    names: BTreeMap<String, String>,
    children: Vec<String>,
}

impl Directory {
    /// The directory whose `mod.rs` has this text.
    pub fn new(module: Vec<String>, text: &str) -> Directory {
        let code = code_of(text);
        let children: Vec<String> = children(&code).into_iter().map(str::to_string).collect();
        let mut roots: Vec<&str> = children.iter().map(|child| &child[..]).collect();
        roots.push("self");
        let mut names = BTreeMap::new();
        for (at, path) in paths(&code, &roots) {
            let path = absolute(&[], &path);
            if let [child, .., name] = &path[..]
                && is_re_exported(&code, at)
            {
                names.insert(name.clone(), child.clone());
            }
        }
        Directory {
            module,
            names,
            children,
        }
    }

    /// The child of this directory to which a path from the root leads; `mod` if `mod.rs` itself defines the name,
    /// `None` if the path leads out of the directory.
    pub fn child(&self, path: &[String]) -> Option<&str> {
        let [name, ..] = path.strip_prefix(&self.module[..])? else {
            return None;
        };
        match self.children.iter().find(|child| *child == name) {
            Some(child) => Some(child),
            None => Some(self.names.get(name).map_or("mod", |child| child)),
        }
    }

    /// The arrows of the file `module` of this directory, which has this text.
    pub fn arrows(&self, module: &[String], text: &str) -> Vec<Arrow> {
        let code = code_of(text);
        let is_mod = module == self.module;
        let mut roots = vec!["crate", "super", "self"];
        if is_mod {
            roots.extend(self.children.iter().map(|child| &child[..]));
        }
        let arrows = paths(&code, &roots).into_iter().filter_map(|(at, path)| {
            let line = code[..at].matches('\n').count() + 1;
            let path = absolute(module, &path);
            (!is_mod || !is_re_exported(&code, at)).then_some(Arrow { line, path })
        });
        arrows.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(path: &str) -> Vec<String> {
        path.split("::").map(str::to_string).collect()
    }

    #[test]
    fn an_arrow_is_found_in_an_import_and_in_code_and_not_in_a_comment_or_behind_the_tests() {
        let directory = Directory::new(
            path("fruit"),
            "mod apple;\n#[cfg(test)]\nmod tests;\nmod pear;\npub use pear::Pip;\n",
        );
        let text = "//! super::pear\nuse super::{apple::Core,\n    Pip, pear::{Stalk, Skin}};\n\
            pub(in super::super) fn f() { crate::fruit::pear::peel::<u8>() }\n\
            #[cfg(test)]\nmod tests { use super::*; }\n";
        let arrows = directory.arrows(&path("fruit::apple"), text);
        let mut found: Vec<_> = arrows
            .iter()
            .map(|arrow| (arrow.line, arrow.path.join("::")))
            .collect();
        found.sort();
        let expected = [
            (2, "fruit::Pip"),
            (2, "fruit::apple::Core"),
            (2, "fruit::pear::Skin"),
            (2, "fruit::pear::Stalk"),
            (4, "fruit::pear::peel"),
        ];
        assert_eq!(found, expected.map(|(line, path)| (line, path.to_string())));
        let children: Vec<_> = arrows
            .iter()
            .filter_map(|arrow| directory.child(&arrow.path))
            .collect();
        assert_eq!(children.iter().filter(|child| **child == "pear").count(), 4);
        assert!(!children.contains(&"mod"));
    }

    #[test]
    fn what_a_mod_file_holds_itself_is_told_from_what_it_passes_on() {
        let text = "mod apple;\npub(crate) use self::apple::Core;\nuse apple::Seed;\n\
            fn f() { apple::grow() }\n";
        let directory = Directory::new(path("fruit"), text);
        assert_eq!(directory.child(&path("fruit::Core")), Some("apple"));
        assert_eq!(directory.child(&path("fruit::Basket")), Some("mod"));
        assert_eq!(directory.child(&path("tree::Basket")), None);
        let lines: Vec<_> = directory
            .arrows(&path("fruit"), text)
            .iter()
            .map(|arrow| (arrow.line, arrow.path.join("::")))
            .collect();
        // A `mod.rs` names its own children without a root.
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!((lines[0].0, lines[1].0), (3, 4));
    }
}
