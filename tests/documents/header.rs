//! Checks that include/aidb.h is what cbindgen generates from `ffi/`.
//!
//! `AIDB_UPDATE_HEADER=1 cargo test -p aidb-tests --test documents header` writes it again.

use std::fs;

use cbindgen::{Braces, Config, DocumentationStyle, EnumConfig, Language, Style};

use crate::{files, read, root, shown};

const HEADER: &str = "include/aidb.h";

fn generated() -> String {
    let macros = read("ffi/header/macros.h")
        .replace("@MAJOR@", env!("CARGO_PKG_VERSION_MAJOR"))
        .replace("@MINOR@", env!("CARGO_PKG_VERSION_MINOR"))
        .replace("@PATCH@", env!("CARGO_PKG_VERSION_PATCH"))
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"));
    let config = Config {
        language: Language::C,
        cpp_compat: true,
        style: Style::Type,
        braces: Braces::SameLine,
        header: Some(read("ffi/header/preamble.h").trim_end().to_string()),
        include_guard: Some("AIDB_H".to_string()),
        no_includes: true,
        sys_includes: ["stdbool.h", "stddef.h", "stdint.h"]
            .map(String::from)
            .to_vec(),
        after_includes: Some(macros),
        usize_is_size_t: true,
        documentation_style: DocumentationStyle::Doxy,
        line_length: 100,
        tab_width: 4,
        enumeration: EnumConfig {
            prefix_with_name: false,
            ..EnumConfig::default()
        },
        ..Config::default()
    };
    let bindings = cbindgen::Builder::new()
        .with_crate(root().join("ffi"))
        .with_config(config)
        .generate()
        .expect("cbindgen reads these sources");
    let mut header = Vec::new();
    bindings.write(&mut header);
    String::from_utf8(header).expect("a header is text")
}

#[test]
fn header_is_what_the_sources_say() {
    let new = generated();
    if std::env::var_os("AIDB_UPDATE_HEADER").is_some() {
        fs::write(root().join(HEADER), &new).expect("include/aidb.h can be written");
        return;
    }
    let hint = "run: AIDB_UPDATE_HEADER=1 cargo test -p aidb-tests --test documents header";
    let old = read(HEADER);
    for (number, (old, new)) in old.lines().zip(new.lines()).enumerate() {
        assert_eq!(old, new, "include/aidb.h, line {}; {hint}", number + 1);
    }
    assert_eq!(old.len(), new.len(), "{hint}");
}

#[test]
fn header_names_every_exported_function() {
    let header = read(HEADER);
    let mut functions = 0;
    for source in files("ffi/src", "rs") {
        for line in read(&source).lines() {
            let exported = ["extern \"C\" fn aidb_", "extern \"C-unwind\" fn aidb_"];
            let Some((_, name)) = exported.iter().find_map(|words| line.split_once(words)) else {
                continue;
            };
            let name = format!("aidb_{}(", name.split('(').next().unwrap_or_default());
            assert!(
                header.contains(&name),
                "{name}) of {} is not in {HEADER}",
                shown(&source)
            );
            functions += 1;
        }
    }
    assert!(functions > 50, "only {functions} functions found");
}
