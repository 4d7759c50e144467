//! A chunk of a file in one chunk of the pool, so that it can be mapped as one where nothing smaller can be.
//!
//! ```text
//!   srcmap  |aa|..|b|...|cccc|      anywhere, shared or not, with holes
//!   mapping |aa00b000cccc0000|      2 MiB, aligned, the file's alone, all of it written
//! ```
//!
//! Blocks that are the file's alone move too. Nobody stores to them through a mapping meanwhile: all members have the pages taken
//! away first, and they come back under the inode's lock.

use super::events::{self, Intent, Outcome, Piece};
use super::{Action, Mapping, MappingKind};
use crate::error::Result;
use crate::extent_map::stage::stage;
use crate::extent_map::{Change, Content, Found, Mapped, Tree};
use crate::inode::Inode;
use crate::journal::Store;
use crate::pmem::Flushed;
use crate::space::Purpose;
use crate::units::{BLOCK_SIZE, BlockNumber, CHUNK_BLOCKS, FileBlock};

/// Whether what was found at the beginning of a chunk of a file is all of it, written, in one chunk of the pool.
pub(crate) fn is_whole(found: &Found) -> bool {
    let in_one = |mapped: Mapped| !mapped.unwritten && mapped.block.0.is_multiple_of(CHUNK_BLOCKS);
    found.blocks == CHUNK_BLOCKS && found.mapped.is_some_and(in_one)
}

/// Copies the chunk of a file that begins at `start` to a chunk of its own, durably. The inode is locked.
///
/// # Errors
/// `NoSpace` where no chunk of the pool is free as a whole.
pub(crate) fn gather(store: &Store, inode: &Inode, start: FileBlock) -> Result<()> {
    let mut reservation = store.space.reserve(CHUNK_BLOCKS, Purpose::Store)?;
    let first = store.space.allocate_contiguous(&mut reservation, CHUNK_BLOCKS)?.first;
    drop(reservation);
    let piece = Piece { inode: inode.number, intent: Intent::Write, start, blocks: CHUNK_BLOCKS };
    let mapping = Mapping { kind: MappingKind::Written, first };
    events::begin(piece, mapping, Mapping::HOLE, Some(Action::Copy));
    let fresh: Vec<BlockNumber> = (0..CHUNK_BLOCKS).map(|block| first.add(block)).collect();
    let staged = inode.withdraw_mapped(store, start.0..start.0 + CHUNK_BLOCKS).and_then(|()| {
        let tree = Tree::of(&store.space, inode.place)?;
        let data = copy(store, &tree, start, first)?;
        let content = Content::Blocks { first, unwritten: false };
        let change = Change { start, blocks: CHUNK_BLOCKS, content };
        Ok((stage(&store.space, &tree, &[change], usize::MAX, Purpose::Store)?, data))
    });
    match staged {
        Ok((staged, data)) => {
            let _change = store.runtime.begin_change(inode.place)?;
            staged.with_fresh(fresh).commit(store, data)?;
            events::end(piece, Outcome::Done);
            Ok(())
        }
        Err(error) => {
            store.space.give_back(&fresh);
            events::end(piece, Outcome::Cancelled);
            Err(error)
        }
    }
}

fn copy(store: &Store, tree: &Tree, start: FileBlock, to: BlockNumber) -> Result<Flushed> {
    let region = &store.runtime.region;
    let mut data = Flushed::none();
    let mut done = 0;
    while done < CHUNK_BLOCKS {
        let found = tree.find(&store.space, FileBlock(start.0 + done), CHUNK_BLOCKS - done, false)?;
        let (place, bytes) = (to.add(done).offset(), found.blocks * BLOCK_SIZE);
        let stored = match found.mapped {
            Some(Mapped { block, unwritten: false, .. }) => region.copy(block.offset(), place, bytes)?,
            _ => region.zero(place, bytes)?,
        };
        // What the file held may have been synced in its old place.
        data = data.join(region.flush(stored));
        done += found.blocks;
    }
    Ok(data)
}
