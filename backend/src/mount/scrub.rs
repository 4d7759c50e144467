//! Scrubbing: every byte of every file and every map is read once, to find memory that is lost.
//!
//! Names are walked from the root, snapshots included, and nothing waits for it: what changes meanwhile may be read as it
//! was. A block is read once however many share it, and a subtree that was found whole is not walked again; where one is
//! lost, every path that leads to it is named with the range of the file that is gone.

use std::collections::HashSet;

use super::check::Problem;
use crate::error::{Error, ErrorKind, Result};
use crate::extent_map::Tree;
use crate::format::dirent::Dirent;
use crate::format::entry::{Entry, span};
use crate::format::inode::Kind;
use crate::inode::Inode;
use crate::inode::table::Table;
use crate::journal::Store;
use crate::namespace::directory::{self, Directory, Lock};
use crate::space::counts::read_node;
use crate::units::{BLOCK_BYTES, BLOCK_SIZE, BlockNumber};

struct Scrub<'a> {
    store: &'a Store,
    /// Nodes that were read, with all below them.
    sound: HashSet<BlockNumber>,
    lost: HashSet<BlockNumber>,
    problems: Vec<Problem>,
}

/// A part of a file that cannot be read, in file blocks, and what was lost of the pool.
struct Gap {
    from: u64,
    to: u64,
    block: BlockNumber,
}

/// What cannot be read, by every path that leads to it.
///
/// # Errors
/// None for lost memory, unless not even the root directory can be found.
pub(crate) fn scrub(store: &Store) -> Result<Vec<Problem>> {
    let (sound, lost) = (HashSet::new(), HashSet::new());
    let mut scrub = Scrub { store, sound, lost, problems: Vec::new() };
    let mut seen = HashSet::new();
    let mut waiting = vec![(Directory::root(store)?, String::from("/"))];
    while let Some((directory, path)) = waiting.pop() {
        scrub.map(&directory.inode, "directory", &path, None);
        let entries = match directory::list(store, &directory, Lock::Free) {
            Ok(entries) => entries,
            Err(error) => {
                scrub.failed("directory", &path, &error);
                continue;
            }
        };
        for entry in entries {
            let path = format!("{path}{}", String::from_utf8_lossy(&entry.name));
            match scrub.inode(&entry) {
                Ok((inode, Some(size))) => scrub.map(&inode, "file", &path, Some(size)),
                Ok((inode, None)) => {
                    let directory = Directory { inode, generation: entry.generation };
                    // One that has a second name is the check's.
                    if seen.insert((entry.inode, entry.generation)) {
                        waiting.push((directory, path + "/"));
                    }
                }
                Err(error) => scrub.failed("inode", &path, &error),
            }
        }
    }
    Ok(scrub.problems)
}

impl Scrub<'_> {
    /// Notes an error if it is about lost memory: others are the check's, or come from what changes meanwhile.
    fn failed(&mut self, structure: &str, path: &str, error: &Error) {
        if error.kind() == ErrorKind::MediaError {
            self.problems.push(Problem::of(structure, path, error));
        }
    }

    /// The inode of an entry, and its size if it is a file.
    fn inode(&self, entry: &Dirent) -> Result<(Inode, Option<u64>)> {
        let inode = Table::get(self.store, entry.inode)?;
        let size = inode.size(self.store)?;
        inode.birth(self.store)?;
        Ok((inode, (entry.kind == Kind::File).then_some(size)))
    }

    /// Reads a map and what it names.
    fn map(&mut self, inode: &Inode, structure: &str, path: &str, size: Option<u64>) {
        let root = match Tree::of(&self.store.space, inode.place) {
            Ok(tree) => tree.root,
            Err(error) => return self.failed(structure, path, &error),
        };
        let mut gaps = Vec::new();
        if let Some(root) = root {
            self.below(root.entry, root.height, 0, &mut gaps);
        }
        for Gap { from, to, block } in gaps {
            let end = size.unwrap_or(u64::MAX).min(to.saturating_mul(BLOCK_SIZE));
            let start = from.saturating_mul(BLOCK_SIZE);
            if start < end {
                let place = format!("{path} bytes {start}..{end}");
                let found = format!("lost memory in {block}");
                self.problems.push(Problem::new(structure, place, "bytes that can be read", found));
            }
        }
    }

    /// Reads what stands at `base` and `level` of a map; whether nothing of it is lost.
    fn below(&mut self, entry: Entry, level: u8, base: u64, gaps: &mut Vec<Gap>) -> bool {
        if self.sound.contains(&entry.block) || entry.unwritten {
            return true;
        }
        let children = if self.lost.contains(&entry.block) { None } else { self.read(entry.block, level) };
        let Some(children) = children else {
            self.lost.insert(entry.block);
            note(gaps, Gap { from: base, to: base + span(level), block: entry.block });
            return false;
        };
        let mut whole = true;
        for (slot, child) in children {
            whole &= self.below(child, level - 1, base + slot * span(level - 1), gaps);
        }
        if whole && level > 0 {
            self.sound.insert(entry.block);
        }
        whole
    }

    /// Reads a block whole: the entries that a node has; nothing where it is lost.
    fn read(&self, block: BlockNumber, level: u8) -> Option<Vec<(u64, Entry)>> {
        if self.store.space.check_block(block, "map entry").is_err() {
            return Some(vec![]);
        }
        let region = &self.store.runtime.region;
        if level == 0 {
            return region.read(block.offset(), &mut [0; BLOCK_BYTES]).is_ok().then(Vec::new);
        }
        let words = read_node(region, block).ok()?;
        let entry = |(slot, &word)| Some((slot, Entry::decode(word, level - 1, slot).ok()??));
        Some((0..).zip(words.iter()).filter_map(entry).collect())
    }
}

/// Adds a gap, joined with the one before where it goes on there.
fn note(gaps: &mut Vec<Gap>, gap: Gap) {
    match gaps.last_mut() {
        Some(last) if last.to == gap.from && last.block.add(last.to - last.from) == gap.block => {
            last.to = gap.to;
        }
        _ => gaps.push(gap),
    }
}
