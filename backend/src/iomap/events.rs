//! What iomap did, for whoever listens: one event at begin and one at end, with all that was decided.
//!
//! The target of all of them is `daxcow::iomap`, their level TRACE. Where nobody listens an event is one load and one
//! branch.

use tracing::level_filters::LevelFilter;

use super::{Action, Iomap, Mapping};
use crate::units::{FileBlock, InodeNumber};

/// What a range is wanted for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Intent {
    /// To be read.
    Read,
    /// To be overwritten, by caller's bytes or by zeros.
    Write,
    /// To be compared with another file and then shared.
    Share,
    /// To be moved for all who share it.
    Move,
}

/// How an operation on a piece ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// What was done is part of the file, or was copied out of it.
    Done,
    /// The two files hold different bytes there: nothing was changed.
    Differs,
    /// Nothing was changed.
    Cancelled,
}

/// A piece of a file in an event.
#[derive(Clone, Copy)]
pub(crate) struct Piece {
    pub(crate) inode: InodeNumber,
    pub(crate) intent: Intent,
    pub(crate) start: FileBlock,
    pub(crate) blocks: u64,
}

impl Piece {
    /// The piece that a write is at.
    pub(crate) const fn of_write(inode: InodeNumber, iomap: &Iomap) -> Piece {
        Piece { inode, intent: Intent::Write, start: iomap.start, blocks: iomap.blocks }
    }
}

/// A piece begins.
#[inline]
pub(crate) fn begin(piece: Piece, mapping: Mapping, srcmap: Mapping, action: Option<Action>) {
    if somebody_may_listen() {
        emit_begin(piece, mapping, srcmap, action);
    }
}

/// A piece has ended.
#[inline]
pub(crate) fn end(piece: Piece, outcome: Outcome) {
    if somebody_may_listen() {
        emit_end(piece, outcome);
    }
}

/// What the macros ask first; here it keeps the making of an event out of every read and write.
#[inline]
pub(crate) fn somebody_may_listen() -> bool {
    LevelFilter::current() >= LevelFilter::TRACE
}

#[cold]
fn emit_begin(piece: Piece, mapping: Mapping, srcmap: Mapping, action: Option<Action>) {
    tracing::trace!(
        target: "daxcow::iomap",
        inode = piece.inode.0,
        intent = ?piece.intent,
        offset = piece.start.offset(),
        blocks = piece.blocks,
        mapping = %mapping,
        srcmap = %srcmap,
        action = action.map(tracing::field::debug),
        "iomap_begin"
    );
}

#[cold]
fn emit_end(piece: Piece, outcome: Outcome) {
    tracing::trace!(
        target: "daxcow::iomap",
        inode = piece.inode.0,
        intent = ?piece.intent,
        offset = piece.start.offset(),
        blocks = piece.blocks,
        outcome = ?outcome,
        "iomap_end"
    );
}
