//! Comparing two ranges and sharing their blocks where they are the same, as FIDEDUPERANGE does.

use super::share::undo;
use crate::error::{Error, ErrorKind, Result};
use crate::extent_map::stage::stage;
use crate::extent_map::{Change, Content, Tree};
use crate::format::lane::RECORDS_MAX;
use crate::inode::Inode;
use crate::iomap::share::{Mapped, Share};
use crate::journal::Store;
use crate::pmem::Flushed;
use crate::space::Purpose;
use crate::units::{BLOCK_SIZE, FileBlock, blocks_for};

/// Bytes that one call compares at most, so that it does not hold others up for long.
pub(crate) const DEDUPE_MAX: u64 = 1 << 30;

/// What a dedupe found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dedupe {
    /// Both ranges hold the same bytes, as far as they were compared, and take no more space than one of them.
    Same {
        /// Bytes compared, from the beginning of the range: all of it, or 1 GiB.
        bytes: u64,
    },
    /// They differ. Nothing was changed.
    Differs,
}

/// Makes `[to, to + len)` of `target` share the blocks of `[from, from + len)` of `source` if both hold the same bytes. Both
/// are locked; they may be the same file if the ranges do not overlap. All or nothing, at a crash too.
pub(crate) fn dedupe_range(
    store: &Store,
    source: &Inode,
    from: u64,
    target: &Inode,
    to: u64,
    len: u64,
) -> Result<Dedupe> {
    check_ranges(store, source, from, target, to, len)?;
    let len = len.min(DEDUPE_MAX);
    let blocks = |at: u64| at / BLOCK_SIZE..blocks_for(at + len);
    source.protect_mapped(store, blocks(from))?;
    target.withdraw_mapped(store, blocks(to))?;
    let (theirs, ours) = (Tree::of(&store.space, source.place)?, Tree::of(&store.space, target.place)?);
    let (theirs, ours) = (Mapped { inode: source, tree: &theirs }, Mapped { inode: target, tree: &ours });
    let mut changes = Vec::new();
    let mut done = 0;
    while done < blocks_for(len) {
        let (from, to) = (FileBlock(from / BLOCK_SIZE + done), FileBlock(to / BLOCK_SIZE + done));
        let piece = Share::begin(store, theirs, from, ours, to, blocks_for(len) - done)?;
        if !piece.is_same(len - done * BLOCK_SIZE)? {
            return Ok(Dedupe::Differs);
        }
        changes.extend(piece.change());
        done += piece.blocks();
    }
    if !changes.is_empty() {
        raise(store, &changes)?;
        publish(store, target, ours.tree, &changes)?;
    }
    Ok(Dedupe::Same { bytes: len })
}

fn check_ranges(store: &Store, source: &Inode, from: u64, target: &Inode, to: u64, len: u64) -> Result<()> {
    let invalid = |message: String| Err(Error::new(ErrorKind::InvalidInput, message));
    let (source_size, target_size) = (source.size(store)?, target.size(store)?);
    let (from_end, to_end) = (from.saturating_add(len), to.saturating_add(len));
    if from_end > source_size || to_end > target_size {
        return invalid(format!(
            "{from}..{from_end} of {source_size} bytes is to be compared with {to}..{to_end} of {target_size}: one ends \
             beyond its file"
        ));
    }
    if !from.is_multiple_of(BLOCK_SIZE) || !to.is_multiple_of(BLOCK_SIZE) {
        return invalid(format!("offsets {from} and {to} are not multiples of the block size {BLOCK_SIZE}"));
    }
    if !len.is_multiple_of(BLOCK_SIZE) && (from_end != source_size || to_end != target_size) {
        return invalid(format!("a length of {len} is not whole blocks and does not end both files"));
    }
    if source.number == target.number && from < to_end && to < from_end {
        return invalid(format!("ranges {from}..{from_end} and {to}..{to_end} of one file overlap"));
    }
    Ok(())
}

/// Raises every block that the target is to share.
fn raise(store: &Store, changes: &[Change]) -> Result<()> {
    for (index, change) in changes.iter().enumerate() {
        let Content::Blocks { first, unwritten } = change.content else { continue };
        for block in 0..change.blocks {
            if let Err(error) = store.space.raise(first.add(block)) {
                undo(store, &changes[..index])?;
                let part = Change { blocks: block, content: Content::Blocks { first, unwritten }, ..*change };
                undo(store, &[part])?;
                return Err(error);
            }
        }
    }
    Ok(())
}

fn publish(store: &Store, target: &Inode, tree: &Tree, changes: &[Change]) -> Result<()> {
    // What the target held was durable; the source's data may not be yet where a write is not.
    let staged = store
        .runtime
        .region
        .barrier()
        .and_then(|_| stage(&store.space, tree, changes, RECORDS_MAX, Purpose::Store));
    let staged = match staged {
        Ok(staged) => staged,
        Err(error) => {
            undo(store, changes)?;
            return Err(error);
        }
    };
    let _change = store.runtime.begin_change(target.place)?;
    staged.commit_atomic(store, Flushed::none(), &[])
}
