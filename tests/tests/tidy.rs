//! The project keeps its own rules: headers, sizes, layers, where unsafe code may be, and docs that follow the code.

use std::collections::BTreeSet;
use std::fs;

use daxcow_tests::source::{FORMAT_HASH_LABEL, Source, files, format_hash, root};

/// The backend's modules from the bottom up; a module uses only what stands before it. Those in one group are one layer.
const LAYERS: [&[&str]; 19] = [
    &["error", "events"],
    &["units"],
    &["format"],
    &["os"],
    &["pmem"],
    &["runtime"],
    &["space"],
    &["journal"],
    &["extent_map"],
    &["inode"],
    &["iomap"],
    &["dax"],
    &["namespace"],
    &["snapshot"],
    &["relocate"],
    &["mount"],
    &["stat", "path"],
    &["pool", "file"],
    &["place"],
];
/// The backend's modules that may contain unsafe code.
const UNSAFE_LAYERS: [&str; 2] = ["os", "pmem"];
const LINES_MAX: usize = 600;

/// All Rust sources of the project.
fn sources() -> Vec<Source> {
    let found = files("", "rs");
    assert!(
        found.iter().any(|source| source.path == "backend/src/lib.rs"),
        "the sources are not where they should be"
    );
    found
}

/// Fails with the list of what breaks a rule.
fn none(rule: &str, broken: Vec<String>) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent = sources().into_iter().filter(|source| !source.text.starts_with("//! "));
    none("these files do not open with a `//!` line", silent.map(|source| source.path).collect());
}

#[test]
fn no_file_is_too_long() {
    let long = sources().into_iter().filter(|source| source.text.lines().count() > LINES_MAX);
    none(&format!("these files have more than {LINES_MAX} lines"), long.map(|source| source.path).collect());
}

#[test]
fn nothing_is_left_for_later() {
    let marks = ["to\u{64}o!", "TO\u{44}O", "FIX\u{4d}E", "XX\u{58}", "unimplemente\u{64}!", "HAC\u{4b}"];
    let mut broken = Vec::new();
    for source in sources() {
        for (index, line) in source.text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                broken.push(format!("{}:{}: {}", source.path, index + 1, line.trim()));
            }
        }
    }
    none("these lines put something off", broken);
}

/// The layer a backend source belongs to: its first component below `src`.
fn layer_of(path: &str) -> Option<&str> {
    let below = path.strip_prefix("backend/src/")?;
    let name = below.split('/').next()?.trim_end_matches(".rs");
    (name != "lib").then_some(name)
}

fn rank(layer: &str) -> Option<usize> {
    LAYERS.iter().position(|group| group.contains(&layer))
}

/// The modules of the crate that a text names: `crate::a::b` and `crate::{a, b::c}`.
fn modules_named(text: &str) -> BTreeSet<String> {
    let code: String =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut named = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        match after.strip_prefix('{') {
            Some(group) => named.extend(group_heads(group)),
            None => drop(named.insert(identifier(after))),
        }
    }
    named
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

/// The first identifiers of the members of a `use` group, up to its closing brace.
fn group_heads(group: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                heads.push(identifier(group[start..at].trim_start()));
                start = at + 1;
                if letter == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    heads.retain(|head| !head.is_empty());
    heads
}

/// What breaks the order of the layers in these sources.
fn broken_edges(sources: &[Source]) -> Vec<String> {
    let mut broken = Vec::new();
    let is_test = |path: &str| path.contains("/tests/") || path.ends_with("/tests.rs");
    for source in sources.iter().filter(|source| !is_test(&source.path)) {
        let Some(layer) = layer_of(&source.path) else { continue };
        let Some(own) = rank(layer) else {
            broken.push(format!("{}: `{layer}` has no place in the order of layers", source.path));
            continue;
        };
        for named in modules_named(source.without_tests()) {
            // What lib.rs gives a shorter name starts with a capital letter: it is named by its home instead.
            let above = rank(&named).is_none_or(|other| other > own);
            if above && named != layer {
                broken.push(format!("{} ({layer}) uses crate::{named}", source.path));
            }
        }
    }
    broken
}

#[test]
fn layers_use_only_what_is_below_them() {
    none("these uses go up", broken_edges(&files("backend/src", "rs")));
}

#[test]
fn the_layer_rule_sees_each_way_of_naming_a_module() {
    let source = |text: &str| Source { path: "backend/src/space/free.rs".into(), text: text.into() };
    let seen = |text: &str| broken_edges(&[source(text)]).len();
    assert_eq!(seen("use crate::{format::entry, pmem::Region, space::x};"), 0);
    assert_eq!(seen("use crate::{error::Result, iomap::{begin, end}, dax::read};"), 2);
    assert_eq!(seen("fn f() { crate::pool::open() }"), 1);
    assert_eq!(seen("//! [`crate::pool`] is above.\n#[cfg(test)]\nmod tests { use crate::pool::Pool; }"), 0);
}

#[test]
fn only_the_lowest_layers_contain_assembly_and_unsafe_code() {
    let mut broken = Vec::new();
    // A test may read through the pointers that a view or shared memory hands out.
    for source in files("backend/src", "rs").into_iter().filter(|source| !source.path.contains("/tests/")) {
        let layer = layer_of(&source.path).unwrap_or_default();
        let code = source
            .text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect::<Vec<_>>()
            .join("\n");
        if code.contains("asm!(") && layer != "pmem" {
            broken.push(format!("{}: assembly outside pmem", source.path));
        }
        let unsafe_code =
            ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"].iter().any(|form| code.contains(form));
        if unsafe_code && !UNSAFE_LAYERS.contains(&layer) {
            broken.push(format!("{}: unsafe code outside {UNSAFE_LAYERS:?}", source.path));
        }
    }
    none("these files do what only the lowest layers may", broken);
}

#[test]
fn the_format_document_follows_the_format_sources() {
    let path = root().join("docs/format.md");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let hash = format_hash();
    assert!(
        text.contains(&format!("{FORMAT_HASH_LABEL}{hash}")),
        "backend/src/format has changed since docs/format.md was last looked at: bring the document up to date, then \
         run `cargo xtask format-hash` (the hash is now {hash})"
    );
}

/// The tests that a document names, as `path/of/file.rs::name_of_test` in backquotes.
fn tests_named(text: &str) -> Vec<(&str, &str)> {
    text.split('`')
        .filter_map(|quoted| quoted.split_once(".rs::").map(|_| quoted.split_once("::")))
        .flatten()
        .collect()
}

/// Whether a source file has a test of this name.
fn has_test(source: &str, name: &str) -> bool {
    let head = format!("fn {name}(");
    source.split("#[test]").skip(1).any(|after| {
        let line = after.lines().map(str::trim).find(|line| line.starts_with("fn "));
        line.is_some_and(|line| line.starts_with(&head))
    })
}

#[test]
fn the_source_thread_document_names_tests_that_exist() {
    let path = root().join("docs/source-thread.md");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let rows: Vec<&str> =
        text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| from")).collect();
    assert!(rows.len() > 20, "the table of {} has {} rows", path.display(), rows.len());
    let bare = rows.iter().filter(|row| tests_named(row).is_empty()).map(|row| (*row).to_owned());
    none("these rows name no test", bare.collect());
    let mut broken = Vec::new();
    for (file, name) in tests_named(&text) {
        match fs::read_to_string(root().join(file)) {
            Ok(source) if has_test(&source, name) => {}
            Ok(_) => broken.push(format!("{file} has no test `{name}`")),
            Err(error) => broken.push(format!("{file}: {error}")),
        }
    }
    none("docs/source-thread.md names what is not there", broken);
}

#[test]
fn a_test_is_found_by_its_name_only_where_it_is_one() {
    let source = "#[test]\nfn one() {}\nfn two() {}\n#[test]\n#[ignore = \"long\"]\nfn three() {}\n";
    let found = ["one", "two", "three", "thre"].map(|name| has_test(source, name));
    assert_eq!(found, [true, false, true, false]);
    assert_eq!(tests_named("see `a/b.rs::c`, `d.rs` and `e::f`"), [("a/b.rs", "c")]);
}
