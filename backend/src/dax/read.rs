//! Reading: copy, then ask whether anything moved meanwhile; only then judge what was read. Readers wait for nobody.

use std::time::Duration;

use super::known;
use crate::error::Result;
use crate::extent_map::Tree;
use crate::format::inode::at;
use crate::inode::Inode;
use crate::iomap::{read_end, read_mapping};
use crate::journal::Store;
use crate::units::{BLOCK_SIZE, FileBlock};

/// Tries without the lock before it is taken.
const TRIES: u32 = 64;
/// Tries for a piece to be read as one state of the file.
const PIECE_TRIES: u32 = 16;
/// Tries for a block to be read as one state of the block.
const BLOCK_TRIES: u64 = 16;
/// How often a reader begins anew because blocks have moved.
const MOVES_MAX: u32 = 8;
/// Bytes of one piece at most.
const PIECE: u64 = 256 * BLOCK_SIZE;

/// Runs `look`, which reads and changes nothing, against one unmoving state of the inode: without the lock while nobody
/// changes it, otherwise under the lock. Errors count only if nothing moved.
pub(crate) fn stable<T>(store: &Store, inode: &Inode, mut look: impl FnMut() -> Result<T>) -> Result<T> {
    if let Some(seen) = undisturbed(store, inode, TRIES, &mut look)? {
        return Ok(seen);
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

/// Reads up to `into.len()` bytes at `offset`; fewer only at the end of the file. Takes no lock.
///
/// Each piece is of one state of the file if there is a moment, in some tries, in which nobody changes it. Otherwise each block is
/// a state of that block; and of one that is overwritten in place all the time, or by a writer that was stopped in the
/// middle, some bytes may be the old ones and some the new.
pub(crate) fn read(store: &Store, inode: &Inode, offset: u64, into: &mut [u8]) -> Result<usize> {
    if let Some(read) = known::read(store, inode, offset, into) {
        return Ok(read);
    }
    let mut done = 0;
    while done < into.len() {
        let at = offset + done as u64;
        let piece = (into.len() - done).min(index(PIECE));
        let to = &mut into[done..done + piece];
        let copied = match undisturbed(store, inode, PIECE_TRIES, || piece_at(store, inode, at, to))? {
            Some(copied) => copied,
            None => block_by_block(store, inode, at, &mut into[done..done + piece])?,
        };
        if copied == 0 {
            break;
        }
        done += copied;
    }
    if done > 0 {
        known::looked_up(store, inode, FileBlock::of(offset).0);
    }
    Ok(done)
}

/// What `look` finds while nobody changes the file; nothing where there was no such time.
#[inline]
fn undisturbed<T>(
    store: &Store,
    inode: &Inode,
    tries: u32,
    mut look: impl FnMut() -> Result<T>,
) -> Result<Option<T>> {
    for _ in 0..MOVES_MAX {
        let noting_moves = || -> Result<_> { Ok((store.runtime.moves()?, look())) };
        let Some(looked) = store.runtime.look_up_to(tries, inode.place, noting_moves)? else { break };
        let (moves, seen) = looked?;
        if store.runtime.moves()? == moves {
            inode.expect_unmoved(store)?;
            return seen.map(Some);
        }
    }
    Ok(None)
}

/// Makes the counter even that a writer left odd who died in the middle, and has been recovered. Waits for nobody.
fn mend_sequence(store: &Store, inode: &Inode) -> Result<()> {
    let abandoned = store.runtime.sequence(inode.place)?.is_none()
        && store.runtime.holder(inode.field(at::LOCK))?.is_none();
    if abandoned && let Ok(_held) = store.runtime.lock_within(inode.field(at::LOCK), Duration::ZERO) {
        drop(store.runtime.begin_in_place(inode.place)?);
    }
    Ok(())
}

fn block_by_block(store: &Store, inode: &Inode, offset: u64, into: &mut [u8]) -> Result<usize> {
    mend_sequence(store, inode)?;
    let mut done = 0;
    while done < into.len() {
        let at = offset + done as u64;
        let end = into.len().min(done + index(BLOCK_SIZE - at % BLOCK_SIZE));
        let copied = block_at(store, inode, at, &mut into[done..end])?;
        done += copied;
        if done < end {
            break;
        }
    }
    Ok(done)
}

/// Copies bytes of one block, which was the file's from the first byte to the last.
fn block_at(store: &Store, inode: &Inode, offset: u64, into: &mut [u8]) -> Result<usize> {
    let naming = || Tree::of(&store.space, inode.place)?.naming(&store.space, FileBlock::of(offset));
    let mut failures = 0;
    for tries in 0_u64.. {
        let moves = store.runtime.moves()?;
        let (remaps, sequence) = (store.runtime.remaps(inode.place)?, store.runtime.sequence(inode.place)?);
        let before = naming();
        let seen = before.as_ref().ok().map(|_| piece_at(store, inode, offset, into));
        let after = naming();
        let steady = store.runtime.remapped_once(inode.place, remaps)? && store.runtime.moves()? == moves;
        match (before, seen, after) {
            (Ok(before), Some(Ok(copied)), Ok(after)) if steady && before == after => {
                let whole = match sequence {
                    Some(sequence) => store.runtime.unchanged_since(inode.place, sequence)?,
                    None => false,
                };
                if whole || tries >= BLOCK_TRIES {
                    inode.expect_unmoved(store)?;
                    return Ok(copied);
                }
            }
            // Damage is damage only if nothing moved; who looks for it so long may wait.
            (Err(_), _, _) | (_, Some(Err(_)), _) | (_, _, Err(_)) => {
                failures += 1;
                if failures > TRIES {
                    return stable(store, inode, || piece_at(store, inode, offset, into));
                }
            }
            _ => {}
        }
        std::hint::spin_loop();
    }
    Ok(0)
}

#[inline]
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
