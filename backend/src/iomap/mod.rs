//! iomap: the one way from a range of a file to blocks of the pool.
//!
//! ```text
//!   begin(range, intent) -> mapping, srcmap      what to write to, where the old bytes are
//!     actor                                      copies data, flushes it
//!   end(outcome)                                 publishes, or takes everything back
//! ```
//!
//! [`Write::begin`] answers for one contiguous piece at a time: in place, copy, or allocate. New blocks are reachable for
//! nobody before [`Write::end`], which fences their data, publishes the entries and only then lowers the counts of what was
//! replaced. A write that fails or is short publishes nothing and gives back what it took. The two mappings are two
//! fields: where the old data lies is never squeezed into where the new data goes.
//!
//! | module | what |
//! |---|---|
//! | here | reads and writes |
//! | [`share`] | two files side by side: compare, then share |
//! | [`gather`] | a chunk of a file into one chunk of the pool |
//! | [`events`] | begin and end, as `tracing` events |

pub(crate) mod events;
pub(crate) mod gather;
pub(crate) mod share;

use std::fmt;

use crate::error::{Error, ErrorKind, Result};
use crate::extent_map::stage::stage;
use crate::extent_map::{Change, Content, Found, Mapped, Tree};
use crate::inode::Inode;
use crate::journal::Store;
use crate::pmem::Flushed;
use crate::space::Purpose;
use crate::units::{BLOCK_SIZE, BlockNumber, FileBlock, InodeNumber, PoolOffset};
use events::{Intent, Outcome, Piece};

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

    #[inline]
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

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            MappingKind::Hole => f.write_str("hole"),
            MappingKind::Unwritten => write!(f, "unwritten {}", self.first.0),
            MappingKind::Written => write!(f, "written {}", self.first.0),
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

/// Where a write may go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Placement {
    /// Wherever that is right: in place where the blocks are the file's alone.
    Any,
    /// Into new blocks: memory under the old ones is lost.
    Elsewhere,
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
        placement: Placement,
    ) -> Result<Write<'a>> {
        let tree = Tree::of(&store.space, inode.place)?;
        let Found { mapped, blocks } = tree.find(&store.space, start, blocks, true)?;
        let srcmap = Mapping::of(mapped);
        let (action, mapping, blocks) = match mapped {
            Some(Mapped { exclusive: true, unwritten, .. }) if placement == Placement::Any => {
                (if unwritten { Action::Convert } else { Action::InPlace }, srcmap, blocks)
            }
            shared => {
                let blocks = blocks.min(crate::units::CHUNK_BLOCKS);
                if placement == Placement::Elsewhere {
                    // Blocks that are not shared may be stored to through a mapping while they are copied.
                    inode.protect_mapped(store, start.0..start.0 + blocks)?;
                }
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
        events::begin(Piece::of_write(inode.number, &iomap), mapping, srcmap, Some(action));
        Ok(Write { store, inode: *inode, tree, iomap })
    }

    /// Takes back what begin made, after the data could not be stored; says where to try again. Blocks whose memory is lost are
    /// put out of use, so that each try meets other ones.
    ///
    /// # Errors
    /// The same error where another try would fail too: it was not the place of the new data that failed.
    pub(crate) fn failed(self, error: Error) -> Result<Placement> {
        let region = &self.store.runtime.region;
        let Iomap { mapping, blocks, action, .. } = self.iomap;
        if error.kind() != ErrorKind::MediaError {
            self.cancel();
            return Err(error);
        }
        match action {
            Action::InPlace | Action::Convert => Ok(Placement::Elsewhere),
            Action::Copy | Action::Allocate => {
                let bad = (0..blocks).filter(|&block| !region.is_sound(mapping.first.add(block))).count();
                self.cancel();
                if bad > 0 { Ok(Placement::Elsewhere) } else { Err(error) }
            }
        }
    }

    /// Makes the piece part of the file, after the data that `data` covers. What was overwritten in place is part of it
    /// already, and durable once what this answers has been fenced: one fence will do for many such pieces.
    pub(crate) fn end(self, data: Flushed) -> Result<Flushed> {
        let piece = Piece::of_write(self.inode.number, &self.iomap);
        let unfenced = match self.iomap.action {
            Action::InPlace => data,
            Action::Convert | Action::Copy | Action::Allocate => {
                self.publish(data)?;
                Flushed::none()
            }
        };
        events::end(piece, Outcome::Done);
        Ok(unfenced)
    }

    fn publish(self, data: Flushed) -> Result<()> {
        let Write { store, inode, tree, iomap } = &self;
        if let Err(error) = inode.withdraw_mapped(store, iomap.start.0..iomap.start.0 + iomap.blocks) {
            self.cancel();
            return Err(error);
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
        let fresh = matches!(iomap.action, Action::Copy | Action::Allocate);
        let taken = (0..iomap.blocks).filter(|_| fresh).map(|block| iomap.mapping.first.add(block));
        let _change = store.runtime.begin_change(inode.place)?;
        staged.with_fresh(taken).commit(store, data)
    }

    /// Takes back what begin made.
    pub(crate) fn cancel(self) {
        let Write { store, iomap, .. } = self;
        events::end(Piece::of_write(self.inode.number, &iomap), Outcome::Cancelled);
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

/// What a read finds at byte `offset` of a tree, the one of `inode`: where it lies, if anywhere, and for how many bytes, up
/// to `len`.
#[inline]
pub(crate) fn read_mapping(
    store: &Store,
    inode: InodeNumber,
    tree: &Tree,
    offset: u64,
    len: u64,
) -> Result<(Option<PoolOffset>, u64)> {
    let within = offset % BLOCK_SIZE;
    let blocks = (within + len).div_ceil(BLOCK_SIZE);
    let start = FileBlock::of(offset);
    let found = tree.find(&store.space, start, blocks, false)?;
    let bytes = (found.blocks * BLOCK_SIZE - within).min(len);
    let mapping = Mapping::of(found.mapped);
    let piece = Piece { inode, intent: Intent::Read, start, blocks: found.blocks };
    events::begin(piece, mapping, mapping, None);
    let place = match mapping {
        Mapping { kind: MappingKind::Written, first } => Some(first.offset().add(within)),
        _ => None,
    };
    Ok((place, bytes))
}

/// A read of what [`read_mapping`] found has ended.
#[inline]
pub(crate) fn read_end(inode: InodeNumber, offset: u64, bytes: u64) {
    let start = FileBlock::of(offset);
    let blocks = (offset + bytes).div_ceil(BLOCK_SIZE) - start.0;
    events::end(Piece { inode, intent: Intent::Read, start, blocks }, Outcome::Done);
}
