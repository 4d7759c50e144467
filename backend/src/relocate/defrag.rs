//! The blocks of a file come to lie next to each other, for all who share them.
//!
//! Leaf by leaf, that is chunk by chunk of the file: where the blocks of one lie scattered, a run of free blocks is taken
//! (an aligned chunk of 2 MiB for a whole one) and the blocks move there together with all words that name them. Files of
//! snapshots move too: their bytes do not change. What cannot be moved now (pinned, or no run of free blocks is long
//! enough) stays where it is.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::sites::{self, Site, Sites};
use super::swing::{Place, Swing, perform};
use crate::dax::read::stable;
use crate::error::{ErrorKind, Result};
use crate::extent_map::Tree;
use crate::format::entry::Entry;
use crate::inode::Inode;
use crate::journal::Store;
use crate::space::Purpose;
use crate::units::{BLOCK_SIZE, BlockNumber, CHUNK_BLOCKS, FileBlock};

/// Leaves whose shared blocks are looked for in one walk over all files: 4 GiB of the file.
const LEAVES: usize = 2048;

/// What a defragmentation did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DefragReport {
    /// Runs of blocks next to each other before, over the whole file.
    pub extents_before: u64,
    /// The same after.
    pub extents_after: u64,
    /// Bytes that were moved.
    pub bytes_moved: u64,
    /// Bytes that should have been moved and were not.
    pub bytes_left: u64,
}

/// The mapped blocks of one leaf, in order.
type Leaf = Vec<(FileBlock, Entry)>;

/// Moves the blocks of file blocks `range` of a file, as far as they do not lie next to each other.
pub(crate) fn defragment(store: &Store, inode: &Inode, range: Range<u64>) -> Result<DefragReport> {
    let generation = inode.kind(store)?.generation;
    let mut report = DefragReport { extents_before: extents(store, inode)?, ..DefragReport::default() };
    let mut mover = Mover { store, inode: *inode, generation, after: None };
    let mut at = range.start;
    // On page media, what was replaced before keeps its blocks counted until that is durable.
    store.space.settle()?;
    while at < range.end {
        let mut leaves = Vec::new();
        while at < range.end && leaves.len() < LEAVES {
            let Some((leaf, next)) = next_leaf(store, inode, at, range.end)? else {
                at = range.end;
                break;
            };
            leaves.push(leaf);
            at = next;
        }
        mover.move_leaves(&leaves, &mut report)?;
    }
    report.extents_after = extents(store, inode)?;
    Ok(report)
}

/// What is mapped in the first leaf from `at` on where anything is, and where the next leaf begins.
fn next_leaf(store: &Store, inode: &Inode, at: u64, end: u64) -> Result<Option<(Leaf, u64)>> {
    stable(store, inode, || {
        let tree = Tree::of(&store.space, inode.place)?;
        let Some((first, _)) = tree.next_mapped(&store.space, FileBlock(at), FileBlock(end))? else {
            return Ok(None);
        };
        let next = (first.0 / CHUNK_BLOCKS + 1) * CHUNK_BLOCKS;
        let mut leaf = Leaf::new();
        for block in first.0..next.min(end) {
            let naming = tree.naming(&store.space, FileBlock(block))?;
            leaf.extend(naming.map(|naming| (FileBlock(block), naming.entry)));
        }
        Ok(Some((leaf, next)))
    })
}

fn extents(store: &Store, inode: &Inode) -> Result<u64> {
    let mut extents = 0;
    let mut last: Option<(FileBlock, Entry)> = None;
    Tree::of(&store.space, inode.place)?.walk(&store.space, &mut |_, _, _| true, &mut |at, entry| {
        extents += u64::from(!last.is_some_and(|last| follows(last, (at, entry))));
        last = Some((at, entry));
        Ok(())
    })?;
    Ok(extents)
}

/// Whether two blocks of a file are one extent.
fn follows(one: (FileBlock, Entry), other: (FileBlock, Entry)) -> bool {
    one.0.0 + 1 == other.0.0 && one.1.block.0 + 1 == other.1.block.0 && one.1.unwritten == other.1.unwritten
}

/// Whether moving a leaf to one run would leave fewer extents, or a whole one in a chunk of its own.
fn is_worth_moving(leaf: &Leaf) -> bool {
    let next_in_pool = |pair: &[(FileBlock, Entry)]| pair[0].1.block.0 + 1 == pair[1].1.block.0;
    let in_one_run = leaf.windows(2).all(next_in_pool);
    let is_whole = leaf.len() as u64 == CHUNK_BLOCKS;
    let is_aligned = leaf.first().is_some_and(|(_, entry)| entry.block.0.is_multiple_of(CHUNK_BLOCKS));
    let gaps_only = || leaf.windows(2).all(|pair| pair[0].0.0 + 1 != pair[1].0.0 || next_in_pool(pair));
    if is_whole { !in_one_run || !is_aligned } else { !in_one_run && !gaps_only() }
}

struct Mover<'a> {
    store: &'a Store,
    inode: Inode,
    generation: u32,
    /// The block after what was moved last: where the next leaf goes if it can.
    after: Option<BlockNumber>,
}

impl Mover<'_> {
    fn move_leaves(&mut self, leaves: &[Leaf], report: &mut DefragReport) -> Result<()> {
        let scattered = || leaves.iter().filter(|leaf| is_worth_moving(leaf)).flatten();
        let mut shared = HashSet::new();
        for (_, entry) in scattered() {
            if self.store.space.count(entry.block)? > 1 {
                shared.insert(entry.block);
            }
        }
        let mut found = sites::find(self.store, &shared)?;
        for leaf in leaves {
            if is_worth_moving(leaf) {
                self.move_leaf(leaf, &mut found, report)?;
            } else {
                self.after = leaf.last().map(|(_, entry)| entry.block.add(1));
            }
        }
        Ok(())
    }

    fn move_leaf(&mut self, leaf: &Leaf, found: &mut Sites, report: &mut DefragReport) -> Result<()> {
        let bytes = leaf.len() as u64 * BLOCK_SIZE;
        // A block may stand in one leaf twice: it moves once.
        let mut places: HashMap<BlockNumber, usize> = HashMap::new();
        let mut swings: Vec<Swing> = Vec::with_capacity(leaf.len());
        for &(at, entry) in leaf {
            if places.insert(entry.block, swings.len()).is_none() {
                let here = Site { inode: self.inode, generation: self.generation, at };
                let sites = found.remove(&entry.block).unwrap_or_else(|| vec![here]);
                swings.push(Swing { from: entry.block, to: Place::Fresh(BlockNumber(0)), sites });
            }
        }
        let Some(first) = self.take_run(swings.len() as u64)? else {
            report.bytes_left += bytes;
            return Ok(());
        };
        for (index, swing) in (0..).zip(&mut swings) {
            swing.to = Place::Fresh(first.add(index));
        }
        self.after = Some(first.add(swings.len() as u64));
        let done = perform(self.store, &swings)?;
        let moved = done.iter().filter(|&&done| done).count() as u64 * BLOCK_SIZE;
        report.bytes_moved += moved;
        report.bytes_left += swings.len() as u64 * BLOCK_SIZE - moved;
        Ok(())
    }

    /// Takes a run of free blocks, behind the last one if there is room; nothing where there is none.
    fn take_run(&self, blocks: u64) -> Result<Option<BlockNumber>> {
        let space = &self.store.space;
        if let Some(after) = self.after.filter(|_| blocks < CHUNK_BLOCKS)
            && let Ok(mut reservation) = space.reserve(blocks, Purpose::Store)
            && let Some(run) = space.take_free(&mut reservation, after, blocks)?
        {
            if run.blocks == blocks {
                return Ok(Some(run.first));
            }
            space.give_back(&(0..run.blocks).map(|block| run.first.add(block)).collect::<Vec<_>>());
        }
        self.take_anywhere(blocks)
    }

    fn take_anywhere(&self, blocks: u64) -> Result<Option<BlockNumber>> {
        let space = &self.store.space;
        let taken = space
            .reserve(blocks, Purpose::Store)
            .and_then(|mut reservation| space.allocate_contiguous(&mut reservation, blocks));
        match taken {
            Ok(run) => Ok(Some(run.first)),
            Err(error) if error.kind() == ErrorKind::NoSpace => Ok(None),
            Err(error) => Err(error),
        }
    }
}
