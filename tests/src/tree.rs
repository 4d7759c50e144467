//! Everything there is to know about a directory of a pool, for comparing the same tree in two pools.

use std::collections::BTreeMap;
use std::time::SystemTime;

use daxcow::{ExtentKind, FileKind, Pool};

use crate::compare::read_sparse;
use crate::content::Content;
use crate::fixture::readable;

/// What is known of a file or directory.
#[derive(Clone, Debug)]
pub struct Known {
    /// The bytes; nothing for a directory.
    pub contents: Option<Content>,
    /// Offset and length of runs, and whether they are data: adjacent ones of a kind are one.
    pub runs: Vec<(u64, u64, bool)>,
    /// The first of its names.
    pub first_name: String,
    /// Times of creation and of the last change.
    pub times: (SystemTime, SystemTime),
}

/// Everything below `top` by its path there; the top itself is left out.
///
/// # Panics
/// If something cannot be read.
#[must_use]
pub fn tree(pool: &Pool, top: &str) -> BTreeMap<String, Known> {
    let mut found = BTreeMap::new();
    collect(pool, top, "", &mut BTreeMap::new(), &mut found);
    found
}

fn collect(
    pool: &Pool,
    top: &str,
    below: &str,
    names: &mut BTreeMap<u64, String>,
    found: &mut BTreeMap<String, Known>,
) {
    let entries =
        pool.read_dir(format!("{top}{below}")).unwrap_or_else(|error| panic!("{top}{below}: {error}"));
    for entry in entries {
        let path = format!("{below}/{}", entry.name.to_string_lossy());
        let full = format!("{top}{path}");
        let metadata = pool.metadata(&full).unwrap_or_else(|error| panic!("{full}: {error}"));
        let is_file = metadata.kind == FileKind::File;
        let known = Known {
            contents: is_file.then(|| {
                let read = read_sparse(&readable(pool, &full));
                read.unwrap_or_else(|error| panic!("{full}: {error}"))
            }),
            runs: if is_file { runs(pool, &full) } else { Vec::new() },
            first_name: names.entry(metadata.inode).or_insert_with(|| path.clone()).clone(),
            times: (metadata.created, metadata.modified),
        };
        found.insert(path.clone(), known);
        if !is_file {
            collect(pool, top, &path, names, found);
        }
    }
}

fn runs(pool: &Pool, path: &str) -> Vec<(u64, u64, bool)> {
    let mut runs: Vec<(u64, u64, bool)> = Vec::new();
    for extent in readable(pool, path).extents().unwrap_or_else(|error| panic!("{path}: {error}")) {
        let is_data = extent.kind == ExtentKind::Data;
        match runs.last_mut() {
            Some((offset, len, data)) if *offset + *len == extent.offset && *data == is_data => {
                *len += extent.len;
            }
            _ => runs.push((extent.offset, extent.len, is_data)),
        }
    }
    runs
}

/// Fails where two trees differ, saying where first.
///
/// # Panics
/// If they do.
pub fn assert_same(one: &BTreeMap<String, Known>, other: &BTreeMap<String, Known>, what: &str) {
    let names = |tree: &BTreeMap<String, Known>| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(one), names(other), "{what}: names");
    for (path, known) in one {
        let found = &other[path];
        match (&known.contents, &found.contents) {
            (Some(one), Some(other)) => assert_eq!(one.difference(other), None, "{what}: {path}"),
            (one, other) => assert_eq!(one.is_some(), other.is_some(), "{what}: {path} is of another kind"),
        }
        assert_eq!(known.runs, found.runs, "{what}: {path} is mapped otherwise");
        assert_eq!(known.first_name, found.first_name, "{what}: {path} is another file's name");
        assert_eq!(known.times, found.times, "{what}: {path} has other times");
    }
}
