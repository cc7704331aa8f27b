//! Finds, in the text of a source file, the parts of a directory of `core/src` that the file names.
//!
//! An arrow is a path in code, in a `use` or not, that begins with `crate::`, `super::`, `self::` or, in a `mod.rs`,
//! with the name of a child. A name that a `mod.rs` re-exports counts as the child that it comes from: a file that
//! imports `super::Block` names `memory` if the directory says `pub use memory::Block`.
//!
//! A type's methods may be spread over files. So `self.name(` and `Self::name(` are arrows too, to the file beside this
//! one that has the method `name` of the type ([`Methods`]). A call through another variable is not seen.

use std::collections::{BTreeMap, BTreeSet};
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

/// What the `impl` blocks of one file say of a type's methods.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Methods {
    pub defined: BTreeSet<String>,
    /// The methods called on `self` or `Self`, each with its line.
    pub called: Vec<(usize, String)>,
}

/// The type that an `impl` block is of, by the block's first lines.
fn type_of(header: &str) -> Option<String> {
    let mut rest = header.strip_prefix("impl")?;
    if rest.starts_with('<') {
        let mut depth = 0;
        let end = rest.char_indices().find_map(|(at, c)| {
            depth += i32::from(c == '<') - i32::from(c == '>' && !rest[..at].ends_with('-'));
            (depth == 0).then_some(at + 1)
        })?;
        rest = &rest[end..];
    }
    let (of, _) = rest.split_once('{').unwrap_or((rest, ""));
    let (of, _) = of.split_once(" where").unwrap_or((of, ""));
    let of = of.rsplit_once(" for ").map_or(of, |(_, of)| of);
    let of = of.split(['<', '\n']).next()?.trim();
    let name = of.rsplit("::").next()?;
    name.chars().all(is_part_of_name).then(|| name.to_string())
}

/// The methods that `code` calls on `self` or `Self`, and where.
fn calls(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (root, joint) in [("self", "."), ("Self", "::")] {
        for (at, _) in code.match_indices(root) {
            if code[..at].ends_with(is_part_of_name) {
                continue;
            }
            let Some(rest) = code[at + root.len()..].trim_start().strip_prefix(joint) else {
                continue;
            };
            let end = rest.find(|c| !is_part_of_name(c)).unwrap_or(rest.len());
            if rest[end..].starts_with('(') || rest[end..].starts_with("::<") {
                found.push((at, rest[..end].to_string()));
            }
        }
    }
    found
}

/// The methods of each type that has an `impl` block in this text.
pub fn methods(text: &str) -> BTreeMap<String, Methods> {
    let code = code_of(text);
    let mut found: BTreeMap<String, Methods> = BTreeMap::new();
    let mut line = 1;
    // A block ends with the first brace that is not indented.
    for block in code.split_inclusive("\n}\n") {
        let start = match block.starts_with("impl") {
            true => Some(0),
            false => block.find("\nimpl").map(|before| before + 1),
        };
        let of = start.and_then(|start| Some((start, type_of(&block[start..])?)));
        if let Some((start, name)) = of {
            let methods = found.entry(name).or_default();
            let first = line + block[..start].matches('\n').count();
            let block = &block[start..];
            methods.defined.extend(block.lines().filter_map(|line| {
                let (before, after) = line.split_once("fn ")?;
                // Functions within functions are indented further.
                let is_method = before.starts_with("    ") && !before.starts_with("     ");
                let end = after.find(|c| !is_part_of_name(c))?;
                is_method.then(|| after[..end].to_string())
            }));
            let called = calls(block).into_iter();
            let called = called.map(|(at, name)| (first + block[..at].matches('\n').count(), name));
            methods.called.extend(called);
        }
        line += block.matches('\n').count();
    }
    found
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
    fn what_a_mod_file_holds_itself_is_distinguished_from_what_it_passes_on() {
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
    #[test]
    fn a_types_methods_and_what_it_calls_on_itself_are_read_off_every_block() {
        let text = "use a::B;\nstruct Pip<'a>(&'a u8);\nimpl<'a, F: Fn() -> u8> crate::Pip<'a, F> {\n    \
            pub(super) fn peel(&self) {\n        self\n            .cut();\n        myself.eat();\n    }\n}\n\n\
            impl Drop for Pip<'_> {\n    fn drop(&mut self) {\n        Self::grow::<u8>(self.0.fall(), self.field)\n        \
            // self.rot()\n    }\n}\nimpl Core {\n    fn own() {\n        fn inner() {}\n    }\n}\n\
            #[cfg(test)]\nmod tests {\n";
        let found = methods(text);
        let pip = &found["Pip"];
        let names: Vec<_> = pip.defined.iter().map(|name| &name[..]).collect();
        assert_eq!(names, ["drop", "peel"]);
        let called = [(5, "cut"), (13, "grow")].map(|(line, name)| (line, name.to_string()));
        assert_eq!(pip.called, called);
        assert!(found["Core"].defined.contains("own") && found["Core"].defined.len() == 1);
        assert_eq!(found.len(), 2);
    }
}
