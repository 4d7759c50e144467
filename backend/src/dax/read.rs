//! Reading: copy, then ask whether anything moved meanwhile; only then judge what was read.

use crate::error::Result;
use crate::extent_map::Tree;
use crate::inode::Inode;
use crate::iomap::{read_end, read_mapping};
use crate::journal::Store;
use crate::units::BLOCK_SIZE;

/// How often a reader begins anew because blocks have moved, before it takes the lock.
const MOVES_MAX: u32 = 8;
/// Bytes that one validated piece has at most: larger reads go piece by piece, so that a busy writer cannot starve them.
const PIECE: u64 = 256 * BLOCK_SIZE;

/// Runs `look`, which reads and changes nothing, against one unmoving state of the inode: without the lock while nobody
/// changes it, otherwise under the lock. Errors count only if nothing moved.
pub(crate) fn stable<T>(store: &Store, inode: &Inode, mut look: impl FnMut() -> Result<T>) -> Result<T> {
    for _ in 0..MOVES_MAX {
        let mut noting_moves = || -> Result<_> { Ok((store.runtime.moves()?, look())) };
        match store.runtime.look_unlocked(inode.place, &mut noting_moves)? {
            Some(looked) => {
                let (moves, seen) = looked?;
                if store.runtime.moves()? == moves {
                    inode.expect_unmoved(store)?;
                    return seen;
                }
            }
            None => break,
        }
    }
    let _held = inode.lock(store)?;
    // A writer that died in the middle left the counter odd: with the lock held it can be made even.
    drop(store.runtime.begin_change(inode.place)?);
    loop {
        // Blocks move without the lock, but seldom: the gate is closed for each time.
        let moves = store.runtime.moves()?;
        let seen = look();
        store.runtime.region.fence_acquire();
        if store.runtime.moves()? == moves {
            return seen;
        }
    }
}

/// Reads up to `into.len()` bytes at `offset`; fewer only at the end of the file. Each piece is of one state of the file.
pub(crate) fn read(store: &Store, inode: &Inode, offset: u64, into: &mut [u8]) -> Result<usize> {
    let mut done = 0;
    while done < into.len() {
        let piece = into.len() - done;
        let at = offset + done as u64;
        let rest = &mut into[done..];
        let copied = stable(store, inode, || piece_at(store, inode, at, &mut rest[..piece]))?;
        if copied == 0 {
            break;
        }
        done += copied;
    }
    Ok(done)
}

fn piece_at(store: &Store, inode: &Inode, offset: u64, into: &mut [u8]) -> Result<usize> {
    let size = inode.size(store)?;
    let wanted = (into.len() as u64).min(size.saturating_sub(offset)).min(PIECE);
    if wanted == 0 {
        return Ok(0);
    }
    let tree = Tree::of(&store.space, inode.place)?;
    let mut done = 0;
    while done < wanted {
        let (place, bytes) = read_mapping(store, inode.number, &tree, offset + done, wanted - done)?;
        let to = &mut into[index(done)..index(done + bytes)];
        match place {
            Some(place) => store.runtime.region.read(place, to)?,
            None => to.fill(0),
        }
        read_end(inode.number, offset + done, bytes);
        done += bytes;
    }
    Ok(index(done))
}

/// A length that came from a slice, as an index again.
pub(super) fn index(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
