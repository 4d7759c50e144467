//! Two files side by side: what each has at a place, whether that is the same, and what the one becomes if it is.
//!
//! ```text
//!   mapping   the target: what is to give way          both found under both files' locks
//!   srcmap    the source, perhaps another file: what stays
//! ```

use super::events::{self, Intent, Outcome, Piece};
use super::{Mapping, MappingKind};
use crate::error::Result;
use crate::extent_map::{Change, Content, Tree};
use crate::inode::Inode;
use crate::journal::Store;
use crate::units::{BLOCK_SIZE, FileBlock};

/// A file and its map.
#[derive(Clone, Copy)]
pub(crate) struct Mapped<'a> {
    pub(crate) inode: &'a Inode,
    pub(crate) tree: &'a Tree,
}

/// One piece of two ranges that may come to share blocks: each of the two is one run there. Both inodes are locked.
#[must_use]
pub(crate) struct Share<'a> {
    store: &'a Store,
    piece: Piece,
    mapping: Mapping,
    srcmap: Mapping,
}

impl<'a> Share<'a> {
    /// Finds what lies at both places, for up to `blocks` blocks.
    pub(crate) fn begin(
        store: &'a Store,
        source: Mapped<'_>,
        from: FileBlock,
        target: Mapped<'_>,
        to: FileBlock,
        blocks: u64,
    ) -> Result<Share<'a>> {
        let theirs = source.tree.find(&store.space, from, blocks, false)?;
        let ours = target.tree.find(&store.space, to, theirs.blocks.min(blocks), false)?;
        let (mapping, srcmap) = (Mapping::of(ours.mapped), Mapping::of(theirs.mapped));
        let blocks = ours.blocks.min(theirs.blocks).min(blocks);
        let piece = Piece { inode: target.inode.number, intent: Intent::Share, start: to, blocks };
        events::begin(piece, mapping, srcmap, None);
        Ok(Share { store, piece, mapping, srcmap })
    }

    /// Blocks of this piece.
    pub(crate) fn blocks(&self) -> u64 {
        self.piece.blocks
    }

    /// Whether the first `bytes` bytes of both are the same. What is not written reads as zeros; what is one block already
    /// is not read.
    pub(crate) fn is_same(&self, bytes: u64) -> Result<bool> {
        use MappingKind::Written;
        let region = &self.store.runtime.region;
        let bytes = bytes.min(self.piece.blocks * BLOCK_SIZE);
        let same = match (self.mapping, self.srcmap) {
            (ours, theirs) if ours == theirs => true,
            (Mapping { kind: Written, first: ours }, Mapping { kind: Written, first: theirs }) => {
                region.equal(ours.offset(), theirs.offset(), bytes)?
            }
            (Mapping { kind: Written, first }, _) | (_, Mapping { kind: Written, first }) => {
                region.is_zero(first.offset(), bytes)?
            }
            _ => true,
        };
        events::end(self.piece, if same { Outcome::Done } else { Outcome::Differs });
        Ok(same)
    }

    /// What the target is to become, after [`Share::is_same`]: the source's blocks instead of its own, or a hole where it
    /// stores zeros that the source does not. Nothing where no block would come free.
    pub(crate) fn change(&self) -> Option<Change> {
        if self.mapping.kind != MappingKind::Written || self.mapping == self.srcmap {
            return None;
        }
        let content = match self.srcmap {
            Mapping { kind: MappingKind::Written, first } => Content::Blocks { first, unwritten: false },
            _ => Content::Hole,
        };
        Some(Change { start: self.piece.start, blocks: self.piece.blocks, content })
    }
}
