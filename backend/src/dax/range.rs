//! Ranges: truncate, preallocate, zero, punch, seek, and the list of extents.

use super::read::stable;
use super::write::{SizeChange, Source, grow_to, store_range};
use crate::error::{Error, ErrorKind, Result};
use crate::extent_map::stage::{Staged, stage};
use crate::extent_map::{Change, Content, Mapped, Tree};
use crate::format::entry::{HEIGHT_MAX, span};
use crate::format::inode::FILE_SIZE_MAX;
use crate::inode::Inode;
use crate::iomap::after_previous;
use crate::journal::Store;
use crate::pmem::{Flushed, Mistake, mistake};
use crate::space::Purpose;
use crate::units::{BLOCK_SIZE, BlockNumber, CHUNK_BLOCKS, FileBlock, blocks_for};

/// One more than the last file block there can be.
const FILE_BLOCKS_MAX: u64 = span(HEIGHT_MAX);

/// Sets the size. What is cut off is given back; what is added reads as zeros.
pub(crate) fn set_len(store: &Store, inode: &Inode, len: u64) -> Result<()> {
    check_end(len)?;
    let old = inode.size(store)?;
    if len > old {
        zero_beyond_end(store, inode, old, len)?;
        grow_to(store, inode, len, SizeChange::Durable)?;
    } else {
        // Also what reads as zeros, and with that what lies beyond the last block that there is.
        inode.withdraw_mapped(store, blocks_for(len)..FILE_BLOCKS_MAX)?;
        let beyond = stage_hole(store, inode, blocks_for(len), FILE_BLOCKS_MAX)?;
        let _change = store.runtime.begin_change(inode.place)?;
        if len < old {
            let ready = store.runtime.region.fence(Flushed::none())?;
            inode.publish_size(store, len, &ready)?;
        }
        if let Some(beyond) = beyond {
            beyond.commit(store, Flushed::none())?;
        }
    }
    inode.touch(store)
}

fn check_end(end: u64) -> Result<()> {
    if end > FILE_SIZE_MAX {
        let message = format!("{end} bytes are more than the largest file has, {FILE_SIZE_MAX}");
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    Ok(())
}

/// The end of a range given by a caller.
fn range_end(offset: u64, len: u64) -> Result<u64> {
    if len == 0 {
        return Err(Error::new(ErrorKind::InvalidInput, "the range is empty"));
    }
    let end = offset.saturating_add(len);
    check_end(end).map(|()| end)
}

/// Makes `[old_size, start)` read as zeros before the size passes it: what lies beyond the end of a file is undefined.
/// Preallocated blocks stay.
pub(super) fn zero_beyond_end(store: &Store, inode: &Inode, old_size: u64, start: u64) -> Result<()> {
    if mistake(Mistake::TailNotZeroed) {
        return Ok(());
    }
    let end = FileBlock(blocks_for(start));
    let mut from = FileBlock::of(old_size);
    // The map changes with each run that is zeroed.
    while let Some((at, found)) = Tree::of(&store.space, inode.place)?.next_mapped(&store.space, from, end)? {
        from = FileBlock(at.0 + found.blocks);
        if found.mapped.is_some_and(|mapped| !mapped.unwritten) {
            zero_bytes(store, inode, at.offset().max(old_size), from.offset().min(start))?;
        }
    }
    Ok(())
}

/// Makes a range read as zeros without changing the size. Whole blocks become holes and give back their space.
pub(crate) fn zero_range(store: &Store, inode: &Inode, offset: u64, len: u64) -> Result<()> {
    let end = range_end(offset, len)?.min(inode.size(store)?);
    if offset < end {
        zero_bytes(store, inode, offset, end)?;
    }
    inode.touch(store)
}

/// Makes whole blocks of a range holes and zeros its edges, also beyond the end of the file.
pub(crate) fn punch_hole(store: &Store, inode: &Inode, offset: u64, len: u64) -> Result<()> {
    let end = range_end(offset, len)?;
    zero_bytes(store, inode, offset, end)?;
    inode.touch(store)
}

/// Zeros `[start, end)`: both edges by copy-on-write, what lies between by taking the blocks away. A full pool is found out
/// before any of it.
fn zero_bytes(store: &Store, inode: &Inode, start: u64, end: u64) -> Result<()> {
    let (first_whole, end_whole) = (blocks_for(start), end / BLOCK_SIZE);
    if first_whole > end_whole {
        return zero_edge(store, inode, start, end);
    }
    let edges = u64::from(!start.is_multiple_of(BLOCK_SIZE)) + u64::from(!end.is_multiple_of(BLOCK_SIZE));
    let height = Tree::of(&store.space, inode.place)?.root.map_or(0, |root| u64::from(root.height));
    // Each edge takes a block and a path of nodes, the hole between a path for each of its ends.
    let most = edges * (height + 2) + 2 * height + 1;
    let _pledge =
        if edges > 0 && height > 0 { Some(store.space.pledge(most, Purpose::Store)?) } else { None };
    zero_edge(store, inode, start, first_whole * BLOCK_SIZE)?;
    zero_edge(store, inode, end_whole * BLOCK_SIZE, end)?;
    punch_blocks(store, inode, first_whole, end_whole)
}

fn zero_edge(store: &Store, inode: &Inode, start: u64, end: u64) -> Result<()> {
    if start >= end {
        return Ok(());
    }
    let tree = Tree::of(&store.space, inode.place)?;
    match tree.find(&store.space, FileBlock::of(start), 1, false)?.mapped {
        Some(Mapped { unwritten: false, .. }) => store_range(store, inode, start, Source::Zeros(end - start)),
        _ => Ok(()),
    }
}

pub(super) fn punch_blocks(store: &Store, inode: &Inode, first: u64, end: u64) -> Result<()> {
    let Some(staged) = stage_hole(store, inode, first, end)? else { return Ok(()) };
    let _change = store.runtime.begin_change(inode.place)?;
    staged.commit(store, Flushed::none())
}

/// Stages a hole from file block `first` to `end`; nothing where nothing is mapped.
fn stage_hole(store: &Store, inode: &Inode, first: u64, end: u64) -> Result<Option<Staged>> {
    let tree = Tree::of(&store.space, inode.place)?;
    let end = end.min(tree.span());
    if first >= end || tree.next_mapped(&store.space, FileBlock(first), FileBlock(end))?.is_none() {
        return Ok(None);
    }
    inode.withdraw_mapped(store, first..end)?;
    let change = Change { start: FileBlock(first), blocks: end - first, content: Content::Hole };
    stage(&store.space, &tree, &[change], usize::MAX, Purpose::Release).map(Some)
}

/// Makes sure that writes to a range need no new blocks: holes get blocks that read as zeros. What
/// is shared stays shared until it is written. With `keep_size` the size stays, otherwise it grows to the end of the range.
/// A failure gives back what it took: all holes are filled or none.
pub(crate) fn allocate(store: &Store, inode: &Inode, offset: u64, len: u64, keep_size: bool) -> Result<()> {
    let end = range_end(offset, len)?;
    let old = inode.size(store)?;
    let grows = !keep_size && end > old;
    if grows {
        // Before blocks are counted: stale ones beyond the end become holes.
        zero_beyond_end(store, inode, old, end)?;
    }
    let (start, end_block) = (FileBlock::of(offset), blocks_for(end));
    // Most often a full pool is found out before the first block is taken.
    drop(store.space.reserve(missing_blocks(store, inode, start, end_block)?, Purpose::Store)?);
    let mut filled = Vec::new();
    if let Err(error) = fill_holes(store, inode, start, end_block, &mut filled) {
        for (first, blocks) in filled {
            if let Err(kept) = punch_blocks(store, inode, first, first + blocks) {
                tracing::error!(error = %kept, "an allocation that failed keeps blocks");
            }
        }
        return Err(error);
    }
    if grows {
        grow_to(store, inode, end, SizeChange::Durable)?;
    }
    inode.touch(store)
}

/// Fills the holes of a range with unwritten blocks; `filled` gets what was a hole: first file block and blocks.
fn fill_holes(
    store: &Store,
    inode: &Inode,
    start: FileBlock,
    end: u64,
    filled: &mut Vec<(u64, u64)>,
) -> Result<()> {
    let mut at = start;
    let mut goal: Option<BlockNumber> = None;
    while at.0 < end {
        let tree = Tree::of(&store.space, inode.place)?;
        let found = tree.find(&store.space, at, (end - at.0).min(CHUNK_BLOCKS), false)?;
        let mut blocks = found.blocks;
        match found.mapped {
            None => {
                if goal.is_none() {
                    goal = after_previous(store, &tree, at)?;
                }
                let mut reservation = store.space.reserve(blocks, Purpose::Store)?;
                let run = store.space.allocate(&mut reservation, blocks, goal)?;
                blocks = run.blocks;
                let taken = (0..run.blocks).map(|block| run.first.add(block));
                let content = Content::Blocks { first: run.first, unwritten: true };
                let change = Change { start: at, blocks, content };
                let staged = stage(&store.space, &tree, &[change], usize::MAX, Purpose::Store);
                let staged = staged.inspect_err(|_| {
                    store.space.give_back(&taken.clone().collect::<Vec<_>>());
                })?;
                let _change = store.runtime.begin_change(inode.place)?;
                staged.with_fresh(taken).commit(store, Flushed::none())?;
                filled.push((at.0, blocks));
                goal = Some(run.first.add(run.blocks));
            }
            Some(mapped) => goal = Some(mapped.block.add(blocks)),
        }
        at = FileBlock(at.0 + blocks);
    }
    Ok(())
}

fn missing_blocks(store: &Store, inode: &Inode, from: FileBlock, end: u64) -> Result<u64> {
    let tree = Tree::of(&store.space, inode.place)?;
    let (mut at, mut mapped) = (from, 0);
    while let Some((place, found)) = tree.next_mapped(&store.space, at, FileBlock(end))? {
        mapped += found.blocks.min(end - place.0);
        at = FileBlock(place.0 + found.blocks);
    }
    Ok(end - from.0 - mapped)
}

/// The first byte at or after `offset` that is data; nothing where there is none before the end.
pub(crate) fn seek_data(store: &Store, inode: &Inode, offset: u64) -> Result<Option<u64>> {
    stable(store, inode, || {
        let size = inode.size(store)?;
        let tree = Tree::of(&store.space, inode.place)?;
        let mut at = FileBlock::of(offset);
        while let Some((place, found)) = tree.next_mapped(&store.space, at, FileBlock(blocks_for(size)))? {
            if found.mapped.is_some_and(|mapped| !mapped.unwritten) {
                return Ok(Some(place.offset().max(offset)).filter(|&at| at < size));
            }
            at = FileBlock(place.0 + found.blocks);
        }
        Ok(None)
    })
}

/// The first byte at or after `offset` that is a hole or was never written; the end of the file where there is none.
pub(crate) fn seek_hole(store: &Store, inode: &Inode, offset: u64) -> Result<u64> {
    stable(store, inode, || {
        let size = inode.size(store)?;
        let tree = Tree::of(&store.space, inode.place)?;
        let mut at = FileBlock::of(offset);
        while at.offset() < size {
            let found = tree.find(&store.space, at, blocks_for(size) - at.0, false)?;
            if found.mapped.is_none_or(|mapped| mapped.unwritten) {
                return Ok(at.offset().max(offset));
            }
            at = FileBlock(at.0 + found.blocks);
        }
        Ok(size)
    })
}

/// A mapped run of a file, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    /// Where it begins in the file.
    pub offset: u64,
    /// Its length, whole blocks.
    pub len: u64,
    /// Written or only reserved.
    pub kind: ExtentKind,
    /// Another file, snapshot or pin refers to the same blocks.
    pub shared: bool,
    /// The number of its first block in the pool.
    pub block: u64,
}

/// Whether an extent holds data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExtentKind {
    /// It has been written.
    Data,
    /// It is reserved and reads as zeros.
    Unwritten,
}

/// All mapped runs of a file in order, also beyond its end. Adjacent runs that continue each other are one.
pub(crate) fn extents(store: &Store, inode: &Inode) -> Result<Vec<Extent>> {
    stable(store, inode, || {
        let tree = Tree::of(&store.space, inode.place)?;
        let mut extents: Vec<Extent> = Vec::new();
        let mut at = FileBlock(0);
        while at.0 < tree.span() {
            let found = tree.find(&store.space, at, tree.span() - at.0, true)?;
            if let Some(Mapped { block, unwritten, exclusive }) = found.mapped {
                let kind = if unwritten { ExtentKind::Unwritten } else { ExtentKind::Data };
                let next = Extent {
                    offset: at.offset(),
                    len: found.blocks * BLOCK_SIZE,
                    kind,
                    shared: !exclusive,
                    block: block.0,
                };
                match extents.last_mut() {
                    Some(last) if continues(last, &next) => last.len += next.len,
                    _ => extents.push(next),
                }
            }
            at = FileBlock(at.0 + found.blocks);
        }
        Ok(extents)
    })
}

fn continues(last: &Extent, next: &Extent) -> bool {
    last.offset + last.len == next.offset
        && last.block + last.len / BLOCK_SIZE == next.block
        && last.kind == next.kind
        && last.shared == next.shared
}
