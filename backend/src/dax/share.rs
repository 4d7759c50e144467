//! Sharing: ranges and whole contents that two files have in common.

use super::range::zero_beyond_end;
use super::write::{SizeChange, grow_to};
use crate::error::{Error, ErrorKind, Result};
use crate::extent_map::stage::stage;
use crate::extent_map::{Change, Content, Tree};
use crate::format::inode::{FILE_SIZE_MAX, at, encode_size};
use crate::format::lane::Record;
use crate::inode::Inode;
use crate::journal::Store;
use crate::pmem::{Flushed, Mistake, mistake};
use crate::space::{Purpose, Reference};
use crate::units::{BLOCK_SIZE, BlockNumber, CHUNK_BLOCKS, FileBlock, blocks_for};

/// Makes `[to, to + len)` of `target` share the blocks of `[from, from + len)` of `source`. Both are locked; they may be
/// the same file if the ranges do not overlap. Offsets are whole blocks, and so is `len` unless it ends at the end of
/// `source` and at or past the end of `target` (ioctl_ficlonerange(2)).
pub(crate) fn clone_range(
    store: &Store,
    source: &Inode,
    from: u64,
    target: &Inode,
    to: u64,
    len: u64,
) -> Result<()> {
    let target_size = target.size(store)?;
    check_ranges(store, source, from, target, to, len, target_size)?;
    if to > target_size {
        zero_beyond_end(store, target, target_size, to)?;
    }
    let blocks = blocks_for(len);
    source.protect_mapped(store, from / BLOCK_SIZE..from / BLOCK_SIZE + blocks)?;
    target.withdraw_mapped(store, to / BLOCK_SIZE..to / BLOCK_SIZE + blocks)?;
    let mut done = 0;
    while done < blocks {
        let source_at = FileBlock(from / BLOCK_SIZE + done);
        let target_at = FileBlock(to / BLOCK_SIZE + done);
        let piece = (blocks - done).min(CHUNK_BLOCKS - target_at.0 % CHUNK_BLOCKS);
        let changes = raise_range(store, source, source_at, target, target_at, piece)?;
        if !changes.is_empty() {
            publish(store, target, &changes)?;
        }
        done += piece;
    }
    if to + len > target_size {
        grow_to(store, target, to + len, SizeChange::Durable)?;
    }
    target.touch(store)
}

fn check_ranges(
    store: &Store,
    source: &Inode,
    from: u64,
    target: &Inode,
    to: u64,
    len: u64,
    target_size: u64,
) -> Result<()> {
    let invalid = |message: String| Err(Error::new(ErrorKind::InvalidInput, message));
    let (Some(from_end), Some(to_end)) = (from.checked_add(len), to.checked_add(len)) else {
        return invalid(format!("a range of {len} bytes at {from} or {to} has no end"));
    };
    let source_size = source.size(store)?;
    if len == 0 || from_end > source_size {
        return invalid(format!(
            "the source range {from}..{from_end} is empty or beyond the end, {source_size}"
        ));
    }
    if to_end > FILE_SIZE_MAX {
        return Err(Error::new(ErrorKind::TooLarge, format!("{to_end} bytes are more than a file can have")));
    }
    if !from.is_multiple_of(BLOCK_SIZE) || !to.is_multiple_of(BLOCK_SIZE) {
        return invalid(format!("offsets {from} and {to} are not multiples of the block size {BLOCK_SIZE}"));
    }
    if !len.is_multiple_of(BLOCK_SIZE) && (from_end != source_size || to_end < target_size) {
        return invalid(format!("a length of {len} is not whole blocks and does not end both files"));
    }
    if source.number == target.number && from < to_end && to < from_end {
        return invalid(format!("ranges {from}..{from_end} and {to}..{to_end} of one file overlap"));
    }
    Ok(())
}

/// Raises what lies in a range of `source` and says what the same range of the target becomes. What the target shares
/// already is left out.
fn raise_range(
    store: &Store,
    source: &Inode,
    source_at: FileBlock,
    target: &Inode,
    target_at: FileBlock,
    blocks: u64,
) -> Result<Vec<Change>> {
    let tree = Tree::of(&store.space, source.place)?;
    let into = Tree::of(&store.space, target.place)?;
    if blocks == CHUNK_BLOCKS
        && source_at.0.is_multiple_of(CHUNK_BLOCKS)
        && let Some(node) = tree.node_at(&store.space, source_at, 1)?
    {
        return raise_node(store, node, into.node_at(&store.space, target_at, 1)?, target_at);
    }
    let mut changes = Vec::new();
    let mut done = 0;
    while done < blocks {
        let start = FileBlock(target_at.0 + done);
        let both = tree
            .find(&store.space, FileBlock(source_at.0 + done), blocks - done, false)
            .and_then(|found| Ok((found, into.find(&store.space, start, blocks - done, false)?)));
        let (found, there) = match both {
            Ok(both) => both,
            Err(error) => {
                undo(store, &changes)?;
                return Err(error);
            }
        };
        let piece = found.blocks.min(there.blocks).min(blocks - done);
        if there.mapped == found.mapped && found.mapped.is_some() {
            // Shared from an earlier clone: one more reference would have no owner.
            done += piece;
            continue;
        }
        let content = match found.mapped {
            None => Content::Hole,
            Some(mapped) => {
                let raised = if mistake(Mistake::ClonedRangeNotRaised) { 0 } else { piece };
                for block in 0..raised {
                    if let Err(error) = store.space.raise(mapped.block.add(block)) {
                        changes.push(Change {
                            start,
                            blocks: block,
                            content: blocks_of(mapped.block, mapped.unwritten),
                        });
                        undo(store, &changes)?;
                        return Err(error);
                    }
                }
                blocks_of(mapped.block, mapped.unwritten)
            }
        };
        changes.push(Change { start, blocks: piece, content });
        done += piece;
    }
    Ok(changes)
}

/// A whole chunk of the file at the same place in both trees: they share the node, and its blocks are not touched.
fn raise_node(
    store: &Store,
    node: BlockNumber,
    there: Option<BlockNumber>,
    start: FileBlock,
) -> Result<Vec<Change>> {
    if there == Some(node) {
        return Ok(Vec::new());
    }
    store.space.raise(node)?;
    Ok(vec![Change { start, blocks: CHUNK_BLOCKS, content: Content::Node { node, level: 1 } }])
}

const fn blocks_of(first: BlockNumber, unwritten: bool) -> Content {
    Content::Blocks { first, unwritten }
}

/// Takes back what was raised for changes that are not to be.
pub(super) fn undo(store: &Store, changes: &[Change]) -> Result<()> {
    let mut raised = Vec::new();
    for change in changes {
        match change.content {
            Content::Hole => {}
            Content::Blocks { first, .. } => {
                raised.extend((0..change.blocks).map(|block| Reference::deep(first.add(block), 0)));
            }
            Content::Node { node, level } => raised.push(Reference::deep(node, level)),
        }
    }
    store.space.lower_all(&raised)
}

fn publish(store: &Store, target: &Inode, changes: &[Change]) -> Result<()> {
    let tree = Tree::of(&store.space, target.place)?;
    let staged = match stage(&store.space, &tree, changes, usize::MAX, Purpose::Store) {
        Ok(staged) => staged,
        Err(error) => {
            undo(store, changes)?;
            return Err(error);
        }
    };
    let _change = store.runtime.begin_change(target.place)?;
    staged.commit(store, Flushed::none())
}

/// Makes the contents of `target` those of `source`, shared, in one durable transaction. Both are locked.
pub(crate) fn replace_contents(store: &Store, target: &Inode, source: &Inode) -> Result<()> {
    let old = Tree::of(&store.space, target.place)?;
    let new = Tree::of(&store.space, source.place)?;
    let size = source.size(store)?;
    source.protect_mapped(store, 0..u64::MAX)?;
    target.withdraw_mapped(store, 0..u64::MAX)?;
    if let Some(root) = new.root
        && !mistake(Mistake::ReplacedContentsNotRaised)
    {
        store.space.raise(root.entry.block)?;
    }
    let word = store.runtime.region.load(source.field(at::ROOT))?;
    let records = [
        Record { place: target.field(at::ROOT), value: word },
        Record { place: target.field(at::SIZE), value: encode_size(size, target.number) },
    ];
    // The data of the source may not be durable yet where a write is not.
    store.runtime.region.barrier()?;
    let _change = store.runtime.begin_change(target.place)?;
    store.journal.commit(&records, Flushed::none())?;
    target.touch(store)?;
    old.root.map_or(Ok(()), |root| store.space.lower_all(&[Reference::of_root(root)]))
}
