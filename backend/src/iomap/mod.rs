//! iomap: the one way from a range of a file to blocks of the pool.
//!
//! ```text
//!   begin(range, intent) -> mapping, srcmap      what to write to, where the old bytes are
//!     actor                                      copies data, flushes it
//!   end(outcome)                                 publishes, or takes everything back
//! ```
//!
//! [`Write::begin`] answers for one contiguous piece at a time: in place, copy, or allocate. New blocks are reachable for
//! nobody before [`Write::end`], which fences the data, publishes the entries and only then lowers the counts of what was
//! replaced. A write that fails or is short publishes nothing and gives back what it took. The two mappings are two
//! fields: where the old data lies is never squeezed into where the new data goes.

use crate::error::Result;
use crate::extent_map::stage::stage;
use crate::extent_map::{Change, Content, Found, Mapped, Tree};
use crate::inode::Inode;
use crate::journal::Store;
use crate::pmem::Flushed;
use crate::space::Purpose;
use crate::units::{BLOCK_SIZE, BlockNumber, FileBlock, PoolOffset};

/// What lies at a piece of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MappingKind {
    /// Nothing; reads as zeros.
    Hole,
    /// Blocks that were never written; reads as zeros.
    Unwritten,
    /// Data.
    Written,
}

/// Where the blocks of a piece lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mapping {
    pub(crate) kind: MappingKind,
    /// The first block; block 0 for a hole.
    pub(crate) first: BlockNumber,
}

impl Mapping {
    const HOLE: Mapping = Mapping { kind: MappingKind::Hole, first: BlockNumber(0) };

    fn of(mapped: Option<Mapped>) -> Mapping {
        match mapped {
            None => Mapping::HOLE,
            Some(Mapped { block, unwritten, .. }) => {
                let kind = if unwritten { MappingKind::Unwritten } else { MappingKind::Written };
                Mapping { kind, first: block }
            }
        }
    }
}

/// How a write goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// The blocks are this file's alone: overwrite them.
    InPlace,
    /// This file's alone and never written: fill them, then say so.
    Convert,
    /// Shared with another file, a snapshot or a pin: copy, then swing the entry.
    Copy,
    /// Nothing is there: allocate.
    Allocate,
}

/// One contiguous piece of a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Iomap {
    pub(crate) start: FileBlock,
    pub(crate) blocks: u64,
    /// Where the new data goes.
    pub(crate) mapping: Mapping,
    /// Where the old data is, for the parts of the edge blocks that are not overwritten.
    pub(crate) srcmap: Mapping,
    pub(crate) action: Action,
}

impl Iomap {
    /// The place in the pool of byte `offset` of the file, which lies in this piece.
    pub(crate) fn place(&self, offset: u64) -> PoolOffset {
        PoolOffset(self.mapping.first.offset().0 + (offset - self.start.offset()))
    }

    /// The old place of byte `offset` of the file, where there is data.
    pub(crate) fn source(&self, offset: u64) -> Option<PoolOffset> {
        let written = self.srcmap.kind == MappingKind::Written;
        written.then(|| PoolOffset(self.srcmap.first.offset().0 + (offset - self.start.offset())))
    }
}

/// A piece of a write between begin and end. The inode is locked.
#[must_use]
pub(crate) struct Write<'a> {
    store: &'a Store,
    inode: Inode,
    tree: Tree,
    pub(crate) iomap: Iomap,
}

impl<'a> Write<'a> {
    /// Finds or makes the blocks for the piece of a write that begins at `start`, of up to `blocks` blocks. `goal` is
    /// where new blocks should lie if they can; without one a hole is filled next to what lies before it in the file.
    pub(crate) fn begin(
        store: &'a Store,
        inode: &Inode,
        start: FileBlock,
        blocks: u64,
        goal: Option<BlockNumber>,
    ) -> Result<Write<'a>> {
        let tree = Tree::of(&store.space, inode.place)?;
        let Found { mapped, blocks } = tree.find(&store.space, start, blocks, true)?;
        let srcmap = Mapping::of(mapped);
        let (action, mapping, blocks) = match mapped {
            Some(Mapped { exclusive: true, unwritten, .. }) => {
                (if unwritten { Action::Convert } else { Action::InPlace }, srcmap, blocks)
            }
            shared => {
                let blocks = blocks.min(crate::units::CHUNK_BLOCKS);
                let goal = match goal {
                    None if shared.is_none() => after_previous(store, &tree, start)?,
                    goal => goal,
                };
                let mut reservation = store.space.reserve(blocks, Purpose::Store)?;
                let run = store.space.allocate(&mut reservation, blocks, goal)?;
                let action = if shared.is_some() { Action::Copy } else { Action::Allocate };
                (action, Mapping { kind: MappingKind::Written, first: run.first }, run.blocks)
            }
        };
        let iomap = Iomap { start, blocks, mapping, srcmap, action };
        tracing::trace!(inode = inode.number.0, ?iomap, "iomap_begin");
        Ok(Write { store, inode: *inode, tree, iomap })
    }

    /// Makes the piece part of the file, after the data that `data` covers.
    pub(crate) fn end(self, data: Flushed) -> Result<()> {
        let Write { store, inode, tree, iomap } = &self;
        if iomap.action == Action::InPlace {
            return store.runtime.region.fence(data).map(|_| ());
        }
        let content = Content::Blocks { first: iomap.mapping.first, unwritten: false };
        let change = Change { start: iomap.start, blocks: iomap.blocks, content };
        let staged = match stage(&store.space, tree, &[change], usize::MAX, Purpose::Store) {
            Ok(staged) => staged,
            Err(error) => {
                self.cancel();
                return Err(error);
            }
        };
        let _change = store.runtime.begin_change(inode.place)?;
        staged.commit(store, data)
    }

    /// Takes back what begin made.
    pub(crate) fn cancel(self) {
        let Write { store, iomap, .. } = self;
        if matches!(iomap.action, Action::Copy | Action::Allocate) {
            let blocks: Vec<BlockNumber> = (0..iomap.blocks).map(|n| iomap.mapping.first.add(n)).collect();
            store.space.give_back(&blocks);
        }
    }
}

/// The block after the one that holds the file block before `start`.
pub(crate) fn after_previous(store: &Store, tree: &Tree, start: FileBlock) -> Result<Option<BlockNumber>> {
    let Some(before) = start.0.checked_sub(1) else { return Ok(None) };
    let found = tree.find(&store.space, FileBlock(before), 1, false)?;
    Ok(found.mapped.map(|mapped| mapped.block.add(1)))
}

/// What a read finds at byte `offset` of a tree: where it lies, if anywhere, and for how many bytes, up to `len`.
pub(crate) fn read_mapping(
    store: &Store,
    tree: &Tree,
    offset: u64,
    len: u64,
) -> Result<(Option<PoolOffset>, u64)> {
    let within = offset % BLOCK_SIZE;
    let blocks = (within + len).div_ceil(BLOCK_SIZE);
    let found = tree.find(&store.space, FileBlock::of(offset), blocks, false)?;
    let bytes = (found.blocks * BLOCK_SIZE - within).min(len);
    let place = match Mapping::of(found.mapped) {
        Mapping { kind: MappingKind::Written, first } => Some(first.offset().add(within)),
        _ => None,
    };
    Ok((place, bytes))
}
