//! Numbered locks and shared memory of an open inode, for databases.
//!
//! | module | what |
//! |---|---|
//! | [`locks`] | sixteen locks, shared or exclusive, between handles of all processes |
//! | [`held`] | what the handles of this process hold of them |
//! | [`shared_memory`] | volatile memory of an inode, one for all who have it open |
//!
//! What members see of each other lies in the inode's extension, a block that the inode's volatile extension word names.
//! It is made when it is first needed and freed when the last member closes the inode:
//!
//! ```text
//!    0  16 locks, 64 bytes each
//!         0  owner u32    the member that holds it alone; top bit: it is still looking for sharers
//!         8  sharers      4 words, a bit for each member slot
//! 1024  users             4 words, a bit for each member slot: who has the shared memory attached
//! 1056  more              block that continues the table of regions, 0 for none
//! 1064  regions           first block 40 bits, blocks 24 bits; 0: not made
//! ```
//!
//! Locks, in this order: a handle's process by [`Local`], the cut gate's mark, the inode. An open inode's extension stays
//! where it is: only who finds that no member has the inode open may free it. Whoever dies leaves bits and owner words
//! behind, which [`release_member`] clears before the dead member's open mark falls.

mod held;
pub(crate) mod locks;
pub(crate) mod shared_memory;
#[cfg(test)]
mod tests;

pub(crate) use held::Holder;
pub use locks::{LockMode, LockState, LockStep};
pub(crate) use locks::{change, lock_state, release_all, try_lock, unlock};
pub use shared_memory::SharedMemory;

use super::Inode;
use super::open::{OpenInode, mask_bit};
use crate::error::Result;
use crate::format::inode::at;
use crate::journal::Store;
use crate::runtime::Runtime;
use crate::runtime::member::Member;
use crate::space::Purpose;
use crate::units::{BLOCK_SIZE, BlockNumber, PoolOffset};

const LOCK_LINE: u64 = 64;
const OWNER: u64 = 0;
const SHARERS: u64 = 8;
const USERS: u64 = 1024;
const REGIONS: u64 = 1056;
/// Words of a mask with a bit for each member slot.
const MASK_WORDS: u32 = 4;

/// What handles of this process hold of an inode's locks and shared memory.
#[derive(Default)]
pub(crate) struct Local {
    extension: Option<Extension>,
    locks: held::Held,
    /// Handles that have the shared memory attached.
    users: u32,
    /// Regions of the shared memory that pointers were given out for.
    regions: Vec<shared_memory::Watched>,
}

/// The block that an inode's extension word names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Extension(BlockNumber);

impl Extension {
    /// The extension of `inode`, if it has one.
    fn find(store: &Store, inode: &Inode) -> Result<Option<Extension>> {
        let block = BlockNumber(store.runtime.region.load(inode.field(at::EXTENSION))?);
        if block.0 == 0 {
            return Ok(None);
        }
        store.space.check_block(block, "extension of an inode")?;
        Ok(Some(Extension(block)))
    }

    /// The extension of an inode that this process has open, found again without looking.
    fn known(store: &Store, open: &OpenInode, local: &mut Local) -> Result<Option<Extension>> {
        if local.extension.is_none() {
            local.extension = Extension::find(store, &open.inode)?;
        }
        Ok(local.extension)
    }

    /// The same, made if there is none.
    fn obtain(store: &Store, open: &OpenInode, local: &mut Local) -> Result<Extension> {
        if let Some(extension) = Extension::known(store, open, local)? {
            return Ok(extension);
        }
        let _mark = store.runtime.enter()?;
        let _held = open.inode.lock(store)?;
        if let Some(extension) = Extension::known(store, open, local)? {
            return Ok(extension);
        }
        let block = volatile_block(store)?;
        store.runtime.region.store_u64(open.inode.field(at::EXTENSION), block.0)?;
        local.extension = Some(Extension(block));
        Ok(Extension(block))
    }

    /// The words of lock `index`.
    fn lock(self, index: u8) -> PoolOffset {
        self.0.offset().add(LOCK_LINE * u64::from(index))
    }

    /// The mask of members that have the shared memory attached.
    fn users(self) -> PoolOffset {
        self.0.offset().add(USERS)
    }

    /// The first part of the table of regions.
    fn regions(self) -> PoolOffset {
        self.0.offset().add(REGIONS)
    }
}

/// A block of zeros that dies with the epoch. A full pool has it too: without locks nobody could remove anything.
fn volatile_block(store: &Store) -> Result<BlockNumber> {
    let mut reservation = store.space.reserve(1, Purpose::Release)?;
    let block = store.space.allocate_one(&mut reservation)?;
    if let Err(error) = store.runtime.zero_volatile(block.offset(), BLOCK_SIZE) {
        store.space.give_back(&[block]);
        return Err(error);
    }
    Ok(block)
}

/// The word of the mask at `mask`, and the bit in it, that stand for `slot`.
fn bit_of(mask: PoolOffset, slot: u32) -> (PoolOffset, u64) {
    (mask.add(u64::from(slot / 64) * 8), 1 << (slot % 64))
}

/// The first member but this one whose bit is set in the mask at `mask` and whose slot is in use. A bit of a slot that
/// nobody uses means nothing: its next member will set it anew.
#[inline]
fn other_in(runtime: &Runtime, mask: PoolOffset, after: Option<u32>) -> Result<Option<Member>> {
    let (own_word, own_bit) = bit_of(mask, runtime.member.slot);
    let begin = after.map_or(0, |slot| slot + 1);
    for word in begin / 64..MASK_WORDS {
        let place = mask.add(u64::from(word) * 8);
        let mut bits = runtime.region.load(place)?;
        if bits == 0 {
            continue;
        }
        if place == own_word {
            bits &= !own_bit;
        }
        if word == begin / 64 {
            bits &= u64::MAX << (begin % 64);
        }
        while bits != 0 {
            let slot = word * 64 + bits.trailing_zeros();
            bits &= bits - 1;
            let generation = runtime.slot_generation(slot)?;
            if runtime.slot_in_use(slot)? {
                return Ok(Some(Member { slot, generation }));
            }
        }
    }
    Ok(None)
}

/// A living member but this one whose bit is set in the mask at `mask`. The dead ones found on the way are recovered.
fn living_other_in(runtime: &Runtime, mask: PoolOffset) -> Result<Option<Member>> {
    while let Some(member) = other_in(runtime, mask, None)? {
        if !runtime.recover_if_dead(member.slot, member.generation)? {
            return Ok(Some(member));
        }
    }
    Ok(None)
}

/// Frees the volatile blocks that hang from an inode which nobody has open any more. The caller holds its lock.
pub(crate) fn release_extension(store: &Store, inode: &Inode) -> Result<()> {
    let Some(extension) = Extension::find(store, inode)? else {
        return Ok(());
    };
    // Forgotten first: should this member die now, the blocks are lost until the counts are rebuilt, and never freed twice.
    store.runtime.region.store_u64(inode.field(at::EXTENSION), 0)?;
    let freed = shared_memory::free_regions(store, extension);
    store.space.give_back(&[extension.0]);
    freed
}

/// The volatile blocks that hang from an inode, each counted once. Nothing moves in the pool.
pub(crate) fn volatile_blocks(store: &Store, inode: &Inode) -> Result<Vec<BlockNumber>> {
    if store.runtime.region.load(inode.field(at::EPOCH))? != store.runtime.epoch {
        return Ok(vec![]);
    }
    let Some(extension) = Extension::find(store, inode)? else {
        return Ok(vec![]);
    };
    let mut blocks = shared_memory::region_blocks(store, extension)?;
    blocks.push(extension.0);
    Ok(blocks)
}

/// Takes away what the dead member of `slot` held of an inode's locks and shared memory. Takes no lock. For the recovery of
/// that member: before its open mark falls, which keeps the extension where it is, and before its slot is freed.
pub(crate) fn release_member(store: &Store, inode: &Inode, slot: u32) -> Result<()> {
    let region = &store.runtime.region;
    let (open, mark) = mask_bit(inode, slot);
    if region.load(inode.field(at::EPOCH))? != store.runtime.epoch || region.load(open)? & mark == 0 {
        return Ok(());
    }
    let Some(extension) = Extension::find(store, inode)? else {
        return Ok(());
    };
    for index in 0..locks::LOCKS {
        let (word, bit) = bit_of(extension.lock(index).add(SHARERS), slot);
        region.and_u64(word, !bit)?;
        let owner = extension.lock(index).add(OWNER);
        let found = region.load_u32(owner)?;
        if found != 0
            && Member::of_word(found).slot == slot
            && let Err(other) = region.cas_u32(owner, found, 0)?
        {
            tracing::debug!(index, other, "another member took a dead member's lock first");
        }
    }
    let (word, bit) = bit_of(extension.users(), slot);
    region.and_u64(word, !bit)?;
    Ok(())
}
