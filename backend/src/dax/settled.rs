//! Reads of a file that has stopped changing: where its bytes lie is looked up once.
//!
//! The places stand on a pin: they hold what they held for as long as it lives. Whether that is what the file holds, its
//! sequence counter tells before each read, so that a read is of the state the file had at that moment.

use std::sync::Arc;

use super::read::index;
use super::view::Pinned;
use crate::error::Result;
use crate::inode::Inode;
use crate::units::PoolOffset;

/// More pieces are not worth the memory, nor the walk.
const PIECES_MAX: usize = 512;

/// The places of a pinned state.
pub(crate) struct Settled {
    pinned: Arc<Pinned>,
    version: u64,
    /// In order, with gaps where nothing was written.
    pieces: Vec<Piece>,
}

struct Piece {
    start: u64,
    end: u64,
    place: PoolOffset,
}

impl Settled {
    /// The places of a state that the file had when its sequence counter was `version`; nothing where they are many.
    pub(crate) fn of(pinned: Arc<Pinned>, version: u64) -> Result<Option<Settled>> {
        let mut pieces = Vec::new();
        let mut at = 0;
        while at < pinned.size {
            let (place, bytes) = pinned.run(at, pinned.size - at)?;
            if let Some(place) = place {
                if pieces.len() == PIECES_MAX {
                    return Ok(None);
                }
                pieces.push(Piece { start: at, end: at + bytes, place });
            }
            at += bytes;
        }
        Ok(Some(Settled { pinned, version, pieces }))
    }

    /// Fills `into` from byte `offset` of `inode`, the file this was made of; nothing where the file has changed since, or does
    /// not have all of that in one piece.
    #[inline]
    pub(crate) fn read(&self, inode: &Inode, offset: u64, into: &mut [u8]) -> Result<Option<usize>> {
        let after = self.pieces.partition_point(|piece| piece.start <= offset);
        let Some(piece) = after.checked_sub(1).and_then(|found| self.pieces.get(found)) else {
            return Ok(None);
        };
        let (len, runtime) = (into.len() as u64, &self.pinned.core.store.runtime);
        let fits = offset.checked_add(len).is_some_and(|end| end <= piece.end);
        if !fits || runtime.sequence(inode.place)? != Some(self.version) {
            return Ok(None);
        }
        runtime.region.read(piece.place.add(offset - piece.start), into)?;
        Ok(Some(index(len)))
    }
}
