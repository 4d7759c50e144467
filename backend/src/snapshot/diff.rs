//! What differs between two trees: names, and ranges of files.
//!
//! Subtrees of extent maps that are the same node are skipped, and so are blocks that both files share; only what is left
//! is compared by content, block by block. So the time follows what was written and not how large the files are.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::dax::read::stable;
use crate::error::Result;
use crate::extent_map::{Mapped, Tree};
use crate::format::dirent::Dirent;
use crate::format::entry::{HEIGHT_MAX, span};
use crate::format::inode::{Kind, SNAPSHOT_DIRECTORY};
use crate::inode::table::Table;
use crate::inode::{Core, Inode};
use crate::journal::Store;
use crate::namespace::check_depth;
use crate::namespace::directory::{self, Directory, Lock};
use crate::namespace::resolve::resolve;
use crate::namespace::visited::Visited;
use crate::units::{BLOCK_SIZE, FileBlock, PoolOffset, blocks_for};

/// What happened to a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Only the second tree has it.
    Added,
    /// Only the first tree has it.
    Removed,
    /// Both have it as a file, and these ranges of bytes differ.
    Modified {
        /// In order, each as wide as the blocks that hold a difference.
        ranges: Vec<Range<u64>>,
    },
    /// It is a file in one and a directory in the other.
    KindChanged,
}

/// One difference.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiffEntry {
    /// Relative to the two paths compared; empty if they are files.
    pub path: PathBuf,
    /// What is different.
    pub change: Change,
}

/// The differences from `from` to `to`, sorted by path.
pub(crate) fn diff(core: &Core, from: &Path, to: &Path) -> Result<Vec<DiffEntry>> {
    let store = &core.store;
    let (a, b) = (resolve(store, from)?, resolve(store, to)?);
    let mut entries = Vec::new();
    let a = Side { inode: a.inode, generation: a.generation, kind: a.kind };
    let b = Side { inode: b.inode, generation: b.generation, kind: b.kind };
    let (from, to) = (Path::new("/").join(from), Path::new("/").join(to));
    Walk { store, entries: &mut entries, old: (from, Visited::default()), new: (to, Visited::default()) }
        .compare(&a, &b, Path::new(""), 0)?;
    entries.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(entries)
}

struct Side {
    inode: Inode,
    generation: u32,
    kind: Kind,
}

impl Side {
    fn of(store: &Store, entry: &Dirent) -> Result<Side> {
        Ok(Side { inode: Table::get(store, entry.inode)?, generation: entry.generation, kind: entry.kind })
    }

    /// The entries of the directory, which lies at `path` of the tree that `visited` says where the walk has been in.
    fn children(
        &self,
        store: &Store,
        (top, visited): &mut (PathBuf, Visited),
        path: &Path,
    ) -> Result<BTreeMap<Vec<u8>, Dirent>> {
        let directory = Directory { inode: self.inode, generation: self.generation };
        visited.enter(store, &directory, &top.join(path), Lock::Free)?;
        let entries = directory::list(store, &directory, Lock::Free)?.into_iter();
        Ok(entries
            .filter(|entry| entry.inode != SNAPSHOT_DIRECTORY)
            .map(|entry| (entry.name.clone(), entry))
            .collect())
    }
}

/// Walks two trees at once.
struct Walk<'a> {
    store: &'a Store,
    entries: &'a mut Vec<DiffEntry>,
    /// Where each tree begins, and where the walk has been in it.
    old: (PathBuf, Visited),
    new: (PathBuf, Visited),
}

impl Walk<'_> {
    fn note(&mut self, path: &Path, change: Change) {
        self.entries.push(DiffEntry { path: path.to_owned(), change });
    }

    /// Compares what lies `depth` levels down at `path`.
    fn compare(&mut self, a: &Side, b: &Side, path: &Path, depth: usize) -> Result<()> {
        if a.inode == b.inode {
            return Ok(());
        }
        match (a.kind, b.kind) {
            (Kind::Directory, Kind::Directory) => return self.directories(a, b, path, depth),
            (Kind::File, Kind::File) => {
                let ranges = self.files(&a.inode, &b.inode)?;
                if !ranges.is_empty() {
                    self.note(path, Change::Modified { ranges });
                }
            }
            _ => self.note(path, Change::KindChanged),
        }
        Ok(())
    }

    /// Should it come to locks, they are taken in the order of the inodes' numbers.
    fn files(&self, a: &Inode, b: &Inode) -> Result<Vec<Range<u64>>> {
        let (first, second) = if a.number < b.number { (a, b) } else { (b, a) };
        stable(self.store, first, || stable(self.store, second, || changed_ranges(self.store, a, b)))
    }

    fn directories(&mut self, a: &Side, b: &Side, path: &Path, depth: usize) -> Result<()> {
        check_depth(depth)?;
        let store = self.store;
        let mut old = a.children(store, &mut self.old, path)?;
        let new = b.children(store, &mut self.new, path)?;
        for (name, entry) in new {
            let below = path.join(OsStr::from_bytes(&name));
            match old.remove(&name) {
                Some(before) => {
                    self.compare(&Side::of(store, &before)?, &Side::of(store, &entry)?, &below, depth + 1)?
                }
                None => self.one_sided(&entry, &below, &Change::Added, depth + 1)?,
            }
        }
        for (name, entry) in old {
            self.one_sided(&entry, &path.join(OsStr::from_bytes(&name)), &Change::Removed, depth + 1)?;
        }
        Ok(())
    }

    fn one_sided(&mut self, entry: &Dirent, path: &Path, change: &Change, depth: usize) -> Result<()> {
        self.note(path, change.clone());
        if entry.kind == Kind::Directory {
            check_depth(depth)?;
            let tree = if *change == Change::Added { &mut self.new } else { &mut self.old };
            for (name, below) in (Side::of(self.store, entry)?).children(self.store, tree, path)? {
                self.one_sided(&below, &path.join(OsStr::from_bytes(&name)), change, depth + 1)?;
            }
        }
        Ok(())
    }
}

/// The ranges in which two files differ, and what only the longer one has.
fn changed_ranges(store: &Store, a: &Inode, b: &Inode) -> Result<Vec<Range<u64>>> {
    let (size_a, size_b) = (a.size(store)?, b.size(store)?);
    let (tree_a, tree_b) = (Tree::of(&store.space, a.place)?, Tree::of(&store.space, b.place)?);
    let common = size_a.min(size_b);
    let mut ranges: Vec<Range<u64>> = Vec::new();
    let mut at = FileBlock(0);
    while at.offset() < common {
        if let Some(same) = same_subtree(store, &tree_a, &tree_b, at)? {
            at = FileBlock(at.0 + same);
            continue;
        }
        let limit = blocks_for(common) - at.0;
        let in_a = tree_a.find(&store.space, at, limit, false)?;
        let in_b = tree_b.find(&store.space, at, limit, false)?;
        let blocks = in_a.blocks.min(in_b.blocks);
        if in_a.mapped != in_b.mapped {
            for block in 0..blocks {
                let start = (at.0 + block) * BLOCK_SIZE;
                let end = (start + BLOCK_SIZE).min(common);
                if !same_bytes(
                    store,
                    place_of(in_a.mapped, block),
                    place_of(in_b.mapped, block),
                    end - start,
                )? {
                    add(&mut ranges, start..end);
                }
            }
        }
        at = FileBlock(at.0 + blocks);
    }
    if size_a != size_b {
        add(&mut ranges, common..size_a.max(size_b));
    }
    Ok(ranges)
}

/// Where the data of a block of a mapped run lies; nothing where it reads as zeros.
fn place_of(mapped: Option<Mapped>, block: u64) -> Option<PoolOffset> {
    mapped.filter(|mapped| !mapped.unwritten).map(|mapped| mapped.block.add(block).offset())
}

fn same_bytes(store: &Store, a: Option<PoolOffset>, b: Option<PoolOffset>, len: u64) -> Result<bool> {
    let region = &store.runtime.region;
    match (a, b) {
        (Some(a), Some(b)) => region.equal(a, b, len),
        (Some(data), None) | (None, Some(data)) => region.is_zero(data, len),
        (None, None) => Ok(true),
    }
}

/// How many blocks from `at` on lie below one node that both trees have there.
pub(super) fn same_subtree(store: &Store, a: &Tree, b: &Tree, at: FileBlock) -> Result<Option<u64>> {
    for level in (1..=HEIGHT_MAX).rev().filter(|&level| at.0.is_multiple_of(span(level))) {
        let node = a.node_at(&store.space, at, level)?;
        if node.is_some() && node == b.node_at(&store.space, at, level)? {
            return Ok(Some(span(level)));
        }
    }
    Ok(None)
}

fn add(ranges: &mut Vec<Range<u64>>, next: Range<u64>) {
    match ranges.last_mut() {
        Some(last) if last.end == next.start => last.end = next.end,
        _ => ranges.push(next),
    }
}
