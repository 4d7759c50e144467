//! Judging what a pool gave against what the model expects.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use daxcow::units::BLOCK_SIZE;
use daxcow::{Change, DiffEntry, ExtentKind, File, FileKind, FileOptions, Metadata, Pool};

use crate::content::Content;
use crate::model::apply::Expected;
use crate::model::{Model, NodeId, SNAPSHOTS, is_within};
use crate::op::{Found, Op, Value};

/// What `metadata` says, as the model puts it.
#[must_use]
pub fn stat(metadata: &Metadata) -> Value {
    match metadata.kind {
        FileKind::File => Value::File { len: metadata.len, links: u64::from(metadata.links) },
        FileKind::Directory => Value::Directory,
    }
}

/// Judges one result; the error says what was expected and what was found.
///
/// # Errors
/// A sentence, if `found` is not what `expected` allows.
pub fn judge(model: &Model, op: &Op, expected: &Expected, found: &Found) -> Result<(), String> {
    let content = || match op {
        Op::SeekData { slot, .. } | Op::SeekHole { slot, .. } => model.content(*slot),
        _ => None,
    };
    let right = match (expected, found) {
        (Expected::Refused(kinds), Err(kind)) => kinds.contains(kind),
        (Expected::Value(Value::Names(names)), Ok(Value::Names(listed))) => {
            let visible = names.iter().filter(|name| !is_within(name, SNAPSHOTS));
            visible.eq(listed.iter())
        }
        (Expected::Value(value), Ok(found)) => value == found,
        (Expected::View(bytes), Ok(Value::Bytes(seen))) => bytes == seen,
        (Expected::View(_), Ok(Value::Position(None))) => true,
        (Expected::DataFrom(from), Ok(Value::Position(place))) => {
            content().is_some_and(|content| data_is_right(content, *from, *place))
        }
        (Expected::HoleFrom(from), Ok(Value::Number(place))) => {
            content().is_some_and(|content| hole_is_right(content, *from, *place))
        }
        (Expected::Extents | Expected::Difference, Ok(_)) => true,
        _ => false,
    };
    if right { Ok(()) } else { Err(format!("{}, found {}", brief(expected), brief(found))) }
}

/// A debug text, cut where it would fill the screen.
fn brief(value: &dyn std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    match text.char_indices().nth(400) {
        Some((cut, _)) => format!("{} ...", &text[..cut]),
        None => text,
    }
}

/// Whether `place` may be the first data at or after `from`: no byte before it is set, and it is not a hole.
fn data_is_right(content: &Content, from: u64, place: Option<u64>) -> bool {
    match place {
        None => content.is_zero(from, content.len()),
        Some(at) => {
            at >= from
                && at < content.len()
                && (at == from || at.is_multiple_of(BLOCK_SIZE))
                && content.is_zero(from, at)
                && content.may_be_data(at / BLOCK_SIZE)
        }
    }
}

/// Whether `place` may be the first hole at or after `from`: all blocks before it may be data, and it reads as zeros
/// to the end of its block or is the end of the file.
fn hole_is_right(content: &Content, from: u64, place: u64) -> bool {
    if from >= content.len() {
        return place == content.len() || place == from;
    }
    if place >= content.len() {
        let last = content.len().div_ceil(BLOCK_SIZE);
        return place == content.len() && (from / BLOCK_SIZE..last).all(|block| content.may_be_data(block));
    }
    let block = place / BLOCK_SIZE;
    place >= from
        && (place == from || place.is_multiple_of(BLOCK_SIZE))
        && content.is_zero(place, (block + 1) * BLOCK_SIZE)
        && (from / BLOCK_SIZE..block).all(|before| content.may_be_data(before))
}

/// Judges the extents of a file: in order, apart, every byte that is set covered by data, no hole called data.
///
/// # Errors
/// What the pool said; a wrong list is an error of kind `Corrupt`, which the model never expects.
pub fn extents(file: &File, content: Option<&Content>) -> daxcow::Result<Value> {
    let Some(content) = content else { return Ok(Value::Done) };
    let wrong = |what: String| daxcow::Error::new(daxcow::ErrorKind::Corrupt, what);
    let mut end = 0;
    let mut data = BTreeSet::new();
    for extent in file.extents()? {
        if extent.offset < end || extent.len == 0 || !extent.offset.is_multiple_of(BLOCK_SIZE) {
            return Err(wrong(format!("{extent:?} follows an extent that ends at {end}")));
        }
        end = extent.offset + extent.len;
        if extent.kind == ExtentKind::Data {
            data.extend(extent.offset / BLOCK_SIZE..end.div_ceil(BLOCK_SIZE));
        }
    }
    if let Some(block) = data.iter().find(|&&block| !content.may_be_data(block)) {
        return Err(wrong(format!("block {block} is a hole or unwritten and is listed as data")));
    }
    let missing = content.data_blocks().find(|&block| {
        !data.contains(&block) && !content.is_zero(block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE)
    });
    match missing {
        Some(block) => Err(wrong(format!("block {block} holds data and is not listed"))),
        None => Ok(Value::Done),
    }
}

/// Compares all that lies under the root and in the snapshots with the model.
///
/// # Errors
/// The first difference, as a sentence naming the path.
pub fn whole(model: &Model, pool: &Pool, real: impl Fn(&str) -> String) -> Result<(), String> {
    let mut inodes: BTreeMap<NodeId, u64> = BTreeMap::new();
    let mut owners: BTreeMap<u64, NodeId> = BTreeMap::new();
    let mut pending = vec![(String::from("/"), model.root())];
    while let Some((path, id)) = pending.pop() {
        let place = real(&path);
        let metadata = pool.metadata(&place).map_err(|error| format!("{place}: {error}"))?;
        if stat(&metadata) != model.stat_node(id) {
            return Err(format!("{place}: expected {:?}, found {:?}", model.stat_node(id), stat(&metadata)));
        }
        let same = *inodes.entry(id).or_insert(metadata.inode) == metadata.inode
            && *owners.entry(metadata.inode).or_insert(id) == id;
        if !same {
            return Err(format!("{place}: inode {} is not the one of its other names", metadata.inode));
        }
        match model.file(id) {
            Some(file) => contents(pool, &place, &file.content).map_err(|what| format!("{place}: {what}"))?,
            None => pending.extend(children(model, pool, &path, &place, id)?),
        }
    }
    snapshots(model, pool, real)
}

/// Compares the names in a directory and gives its children.
fn children(
    model: &Model,
    pool: &Pool,
    path: &str,
    place: &str,
    id: NodeId,
) -> Result<Vec<(String, NodeId)>, String> {
    let listed = pool.read_dir(place).map_err(|error| format!("{place}: {error}"))?;
    let listed: Vec<String> = listed.iter().map(|entry| entry.name.to_string_lossy().into_owned()).collect();
    let hidden = |name: &str| path == "/" && is_within(name, SNAPSHOTS);
    let expected: Vec<(&str, NodeId)> =
        model.names(id).into_iter().filter(|(name, _)| !hidden(name)).collect();
    let found: Vec<&String> = listed.iter().filter(|name| !hidden(name)).collect();
    if !found.iter().map(|name| name.as_str()).eq(expected.iter().map(|(name, _)| *name)) {
        return Err(format!("{place}: expected the names {expected:?}, found {found:?}"));
    }
    let top = path.trim_end_matches('/');
    Ok(expected.into_iter().map(|(name, child)| (format!("{top}/{name}"), child)).collect())
}

/// Compares the trees of all snapshots.
///
/// # Errors
/// The first difference, as a sentence naming the path.
pub fn snapshots(model: &Model, pool: &Pool, real: impl Fn(&str) -> String) -> Result<(), String> {
    for name in model.snapshots().keys() {
        let top = format!("{SNAPSHOTS}/{name}");
        let id = model.lookup(&top).map_err(|_| format!("the model has lost {top}"))?;
        let mut failed = None;
        model.walk(id, &top, &mut |path, id| {
            let place = real(path);
            let result = match model.file(id) {
                Some(file) => {
                    contents(pool, &place, &file.content).and_then(|()| links(pool, &place, file.links))
                }
                None => children(model, pool, path, &place, id).map(drop),
            };
            if let Err(what) = result {
                failed.get_or_insert(format!("{place}: {what}"));
            }
        });
        if let Some(what) = failed {
            return Err(what);
        }
    }
    Ok(())
}

fn links(pool: &Pool, place: &str, links: u64) -> Result<(), String> {
    let metadata = pool.metadata(place).map_err(|error| error.to_string())?;
    if u64::from(metadata.links) == links {
        Ok(())
    } else {
        Err(format!("expected {links} links, found {}", metadata.links))
    }
}

/// Compares a file with contents.
///
/// # Errors
/// The first difference, as a sentence.
pub fn contents(pool: &Pool, path: &str, expected: &Content) -> Result<(), String> {
    let file = pool.open_file(path, &FileOptions::new().read(true)).map_err(|error| error.to_string())?;
    let found = read_sparse(&file).map_err(|error| error.to_string())?;
    expected.difference(&found).map_or(Ok(()), Err)
}

/// The contents of a file, its holes skipped.
///
/// # Errors
/// What the pool said.
pub fn read_sparse(file: &File) -> daxcow::Result<Content> {
    let mut content = Content::default();
    let len = file.len()?;
    let mut at = 0;
    while let Some(start) = file.seek_data(at)? {
        let end = file.seek_hole(start)?.min(len);
        if end <= start {
            return Err(daxcow::Error::new(
                daxcow::ErrorKind::Corrupt,
                format!("data at {start} of {len} bytes, and a hole at {end}"),
            ));
        }
        let size = usize::try_from(end - start).expect("a test file fits memory");
        let mut bytes = vec![0xa5; size];
        file.read_exact_at(&mut bytes, start)?;
        content.write(start, &bytes);
        at = end;
    }
    content.set_len(len);
    Ok(content)
}

/// Judges the result of a diff: it names exactly the files and directories that differ, and its ranges cover every
/// byte that does.
///
/// # Errors
/// What is missing or too much.
pub fn difference(model: &Model, op: &Op, entries: &[DiffEntry]) -> Result<(), String> {
    let Op::Diff { from, to, .. } = op else { return Ok(()) };
    let (Ok(old), Ok(new)) = (model.lookup(from), model.lookup(to)) else {
        return Err("a diff of what does not exist succeeded".into());
    };
    let (old, new) = (tree(model, old), tree(model, new));
    let mut reported: BTreeMap<String, &Change> = BTreeMap::new();
    for entry in entries {
        let path = normal(&entry.path);
        if reported.insert(path.clone(), &entry.change).is_some() {
            return Err(format!("diff names {path} twice"));
        }
    }
    for path in old.keys().chain(new.keys()) {
        let change = reported.get(path.as_str());
        let right = match (old.get(path), new.get(path), change) {
            (Some(_), None, Some(Change::Removed)) | (None, Some(_), Some(Change::Added)) => true,
            (Some(_), None, None) | (None, Some(_), None) => covered_by_parent(path, &reported),
            (Some(Some(one)), Some(Some(other)), None) => one.difference(other).is_none(),
            (Some(Some(one)), Some(Some(other)), Some(Change::Modified { ranges })) => {
                covers(one, other, ranges)
            }
            (Some(None), Some(None), None) => true,
            (Some(one), Some(other), Some(Change::KindChanged)) => one.is_some() != other.is_some(),
            _ => false,
        };
        if !right {
            return Err(format!("diff of {from} and {to} says {change:?} of {path:?}: {entries:?}"));
        }
    }
    match reported.keys().find(|path| !old.contains_key(*path) && !new.contains_key(*path)) {
        Some(path) => Err(format!("diff names {path:?}, which is in neither tree")),
        None => Ok(()),
    }
}

/// A path without its leading slash and dots.
fn normal(path: &Path) -> String {
    let text = path.to_string_lossy();
    text.trim_start_matches('.').trim_matches('/').to_owned()
}

/// Whether an ancestor of `path` is reported as added, removed or of another kind.
fn covered_by_parent(path: &str, reported: &BTreeMap<String, &Change>) -> bool {
    let mut at = path;
    while let Some((parent, _)) = at.rsplit_once('/') {
        if reported.get(parent).is_some_and(|change| !matches!(change, Change::Modified { .. })) {
            return true;
        }
        at = parent;
    }
    !path.is_empty() && reported.get("").is_some_and(|change| !matches!(change, Change::Modified { .. }))
}

/// A node, under the empty path, and all below it by path; `None` for directories.
fn tree(model: &Model, id: NodeId) -> BTreeMap<String, Option<Content>> {
    let mut found = BTreeMap::new();
    let content = |id| model.file(id).map(|file| file.content.clone());
    found.insert(String::new(), content(id));
    model.walk(id, "", &mut |path, child| {
        if !is_within(path, SNAPSHOTS) {
            found.insert(path[1..].to_owned(), content(child));
        }
    });
    found
}

/// Whether the ranges cover all bytes that differ; what only one of the files has differs.
fn covers(one: &Content, other: &Content, ranges: &[std::ops::Range<u64>]) -> bool {
    let covered = |at: u64| ranges.iter().any(|range| range.contains(&at));
    let blocks: BTreeSet<u64> = one.data_blocks().chain(other.data_blocks()).collect();
    blocks.into_iter().all(|block| {
        let base = block * BLOCK_SIZE;
        let (a, b) = (one.read(base, 4096), other.read(base, 4096));
        (0..BLOCK_SIZE).all(|at| {
            let index = usize::try_from(at).unwrap_or(0);
            let same = a.get(index).copied().unwrap_or(0) == b.get(index).copied().unwrap_or(0);
            same || covered(base + at)
        })
    })
}
