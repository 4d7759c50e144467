//! Volatile memory of an inode, the same for all who have it open: what a database keeps its WAL index in.
//!
//! It consists of numbered regions, each of contiguous blocks of the pool, found by a table in the inode's extension. It
//! begins as zeros with its first live user and belongs to no clone and no snapshot. The table changes under the inode's
//! lock only, regions are freed when no live member uses them, and a user's regions therefore stay where they are.
//!
//! Whoever has a pointer into it cannot be told that memory is lost. It finds zeros there, and is asked to call
//! [`SharedMemory::check`] before it believes what it found or lets others believe what it stored.

use std::ptr::NonNull;
use std::sync::Arc;

use super::{Extension, Local, bit_of, living_other_in, other_in, volatile_block};
use crate::error::{Error, ErrorKind, Result};
use crate::inode::Core;
use crate::inode::open::OpenInode;
use crate::journal::Store;
use crate::pmem::{ViewGuard, is_memory_lost};
use crate::space::Purpose;
use crate::units::{BLOCK_BYTES, BLOCK_SIZE, BlockNumber, CHUNK_BLOCKS, PoolOffset};

const BLOCKS_SHIFT: u32 = 40;

/// The shared memory of one file, attached. Dropping it detaches it.
pub struct SharedMemory {
    core: Arc<Core>,
    open: Arc<OpenInode>,
    attached: bool,
}

impl SharedMemory {
    /// Attaches the memory of an inode that the caller has open; it starts out empty if no live member uses it. It keeps the
    /// inode open by itself. The caller has no operation in flight.
    ///
    /// # Errors
    /// [`ErrorKind::ReadOnly`] in a pool that is mapped for reading only; [`ErrorKind::NoSpace`] in a full pool.
    pub(crate) fn attach(core: &Arc<Core>, open: &Arc<OpenInode>) -> Result<SharedMemory> {
        let store = &core.store;
        store.runtime.region.check_fork()?;
        let mut local = open.local.lock();
        let extension = Extension::obtain(store, open, &mut local)?;
        if local.users == 0 {
            join(store, open, extension)?;
        }
        local.users += 1;
        drop(local);
        core.open.share(open);
        Ok(SharedMemory { core: core.clone(), open: open.clone(), attached: true })
    }

    /// Region `index` of `size` bytes, a multiple of 4 KiB up to 2 MiB; `None` if it does not exist and is not to be made. A
    /// new region is zeros. Its address is the same for all handles of one opened pool, and valid until the last of them
    /// detaches; its contents may be changed by anybody at any time, so it is for atomic or volatile accesses.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for another size, or one larger than the region was made with;
    /// [`ErrorKind::NoSpace`] if the pool has no `size` contiguous bytes left; [`ErrorKind::MediaError`] if memory of it is
    /// known to be lost.
    pub fn region(&self, index: usize, size: usize, create: bool) -> Result<Option<NonNull<u8>>> {
        let store = &self.core.store;
        store.runtime.region.check_fork()?;
        let wanted = blocks_of(size)?;
        let index = index as u64;
        let extension = self.extension()?;
        let region = match find(store, extension, index)? {
            Some(region) => region,
            None if !create => return Ok(None),
            None => self.make(extension, index, wanted)?,
        };
        region.expect_blocks(wanted)?;
        let mut local = self.open.local.lock();
        if let Some(watched) = local.regions.iter().find(|watched| watched.index == index) {
            return Ok(Some(watched.guard.pointer()));
        }
        let guard =
            store.runtime.region.register_shared(region.first.offset(), region.blocks * BLOCK_SIZE)?;
        let pointer = guard.pointer();
        local.regions.push(Watched { index, region, guard });
        Ok(Some(pointer))
    }

    fn make(&self, extension: Extension, index: u64, blocks: u64) -> Result<Region> {
        let store = &self.core.store;
        let _mark = store.runtime.enter()?;
        let _held = self.open.inode.lock(store)?;
        match find(store, extension, index)? {
            Some(region) => Ok(region),
            None => make(store, extension, index, blocks),
        }
    }

    /// Whether all that was read through the pointers so far was there, and all that was stored went there.
    ///
    /// # Errors
    /// [`ErrorKind::MediaError`] once memory of a region was lost: this process has zeros of its own there until its last
    /// handle detaches.
    pub fn check(&self) -> Result<()> {
        check(&self.open)
    }

    /// How many use it: handles of this process, and other processes, each counted once.
    pub fn users(&self) -> Result<u32> {
        let mut users = self.open.local.lock().users;
        let mask = self.extension()?.users();
        let runtime = &self.core.store.runtime;
        let mut last = None;
        while let Some(member) = other_in(runtime, mask, last)? {
            users += u32::from(!runtime.recover_if_dead(member.slot, member.generation)?);
            last = Some(member.slot);
        }
        Ok(users)
    }

    /// Leaves the memory: pointers to its regions must not be used any more. With `delete` the last user frees it; otherwise
    /// that is left to the next first user, or to the close of the file.
    pub fn detach(mut self, delete: bool) -> Result<()> {
        self.leave(delete)
    }

    fn leave(&mut self, delete: bool) -> Result<()> {
        if !std::mem::take(&mut self.attached) {
            return Ok(());
        }
        let store = &self.core.store;
        let left = part(store, &self.open, &mut self.open.local.lock(), delete);
        let closed = self.core.open.close(store, &self.open);
        left.and(closed)
    }

    fn extension(&self) -> Result<Extension> {
        let found = Extension::known(&self.core.store, &self.open, &mut self.open.local.lock())?;
        found.ok_or_else(|| {
            Error::corrupt("extension word", self.open.inode.number, "the block that was made", 0)
        })
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        if let Err(error) = self.leave(false) {
            tracing::error!(%error, "shared memory could not be detached");
        }
    }
}

/// Fails once memory was lost that this process has a pointer to: see [`SharedMemory::check`].
pub(crate) fn check(open: &OpenInode) -> Result<()> {
    if !is_memory_lost() {
        return Ok(());
    }
    match open.local.lock().regions.iter().find(|watched| watched.guard.failed()) {
        None => Ok(()),
        Some(Watched { index, region, .. }) => Err(Error::new(
            ErrorKind::MediaError,
            format!("lost memory in shared memory region {index} at {}", region.first.offset()),
        )),
    }
}

/// Makes this member a user. What was left there is freed if no live member uses it.
fn join(store: &Store, open: &OpenInode, extension: Extension) -> Result<()> {
    let runtime = &store.runtime;
    let _mark = runtime.enter()?;
    let _held = open.inode.lock(store)?;
    if living_other_in(runtime, extension.users())?.is_none() {
        free_regions(store, extension)?;
    }
    let (word, bit) = bit_of(extension.users(), runtime.member.slot);
    runtime.region.or_u64(word, bit).map(drop)
}

/// Ends the use by one handle; the last one of the process ends the member's.
fn part(store: &Store, open: &OpenInode, local: &mut Local, delete: bool) -> Result<()> {
    local.users = local.users.saturating_sub(1);
    let Some(extension) = local.extension else {
        return Ok(());
    };
    if local.users > 0 {
        return Ok(());
    }
    for Watched { region, guard, .. } in local.regions.drain(..) {
        let failed = guard.failed();
        drop(guard);
        if failed
            && let Err(error) =
                store.runtime.region.is_zero(region.first.offset(), BLOCK_SIZE * region.blocks)
        {
            // Known from now on: these blocks are not handed out again.
            tracing::error!(%error, "shared memory");
        }
    }
    let runtime = &store.runtime;
    let _mark = runtime.enter()?;
    let _held = open.inode.lock(store)?;
    let (word, bit) = bit_of(extension.users(), runtime.member.slot);
    runtime.region.and_u64(word, !bit)?;
    if delete && living_other_in(runtime, extension.users())?.is_none() {
        free_regions(store, extension)?;
    }
    Ok(())
}

/// The blocks of one region.
#[derive(Clone, Copy)]
struct Region {
    first: BlockNumber,
    blocks: u64,
}

impl Region {
    const fn encode(self) -> u64 {
        self.blocks << BLOCKS_SHIFT | self.first.0
    }

    /// Reads an entry of the table; 0 is none.
    fn decode(store: &Store, word: u64, place: PoolOffset) -> Result<Option<Region>> {
        if word == 0 {
            return Ok(None);
        }
        let first = BlockNumber(word & ((1 << BLOCKS_SHIFT) - 1));
        let blocks = word >> BLOCKS_SHIFT;
        if blocks == 0 || blocks > CHUNK_BLOCKS {
            return Err(Error::corrupt("shared memory region", place, "1 to 512 blocks", blocks));
        }
        store.space.check_block(first, "shared memory region")?;
        store.space.check_block(first.add(blocks - 1), "shared memory region")?;
        Ok(Some(Region { first, blocks }))
    }

    fn expect_blocks(self, wanted: u64) -> Result<()> {
        if wanted > self.blocks {
            let made = self.blocks * BLOCK_SIZE;
            let message = format!("the region was made with {made} bytes, {} wanted", wanted * BLOCK_SIZE);
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        Ok(())
    }
}

/// A region that this process has a pointer to.
pub(super) struct Watched {
    index: u64,
    region: Region,
    guard: ViewGuard,
}

fn blocks_of(size: usize) -> Result<u64> {
    let blocks = (size / BLOCK_BYTES) as u64;
    if !size.is_multiple_of(BLOCK_BYTES) || blocks == 0 || blocks > CHUNK_BLOCKS {
        let message = format!("region of {size} bytes: expected a multiple of 4096 from 4096 to 2097152");
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    Ok(blocks)
}

fn find(store: &Store, extension: Extension, index: u64) -> Result<Option<Region>> {
    match entry(store, extension, index, |_| Ok(None))? {
        Some(place) => Region::decode(store, store.runtime.region.load(place)?, place),
        None => Ok(None),
    }
}

/// Makes region `index`, zeros. The caller holds the inode's lock. The first region may come out of the pool's reserve:
/// a full pool's databases can still be opened, and emptied.
fn make(store: &Store, extension: Extension, index: u64, blocks: u64) -> Result<Region> {
    let pool_blocks = store.space.pool_blocks()?;
    if index >= pool_blocks / blocks {
        let message = format!("region {index} of {blocks} blocks does not fit the pool's {pool_blocks}");
        return Err(Error::new(ErrorKind::NoSpace, message));
    }
    let purpose = if index == 0 { Purpose::Release } else { Purpose::Store };
    let mut reservation = store.space.reserve(blocks, purpose)?;
    let place = entry(store, extension, index, |store| volatile_block(store).map(Some))?;
    let Some(place) = place else {
        return Err(Error::corrupt("table of regions", extension.0, "to grow", "its end"));
    };
    let run = store.space.allocate_contiguous(&mut reservation, blocks)?;
    let region = Region { first: run.first, blocks };
    let zeroed = store.runtime.zero_volatile(run.first.offset(), blocks * BLOCK_SIZE);
    let made = zeroed.and_then(|()| store.runtime.region.store_u64(place, region.encode()));
    if made.is_err() {
        give_back(store, region);
    }
    made.map(|()| region)
}

/// The place of entry `index` of the table; where the table ends before it, `more` may give a block to go on in.
fn entry(
    store: &Store,
    extension: Extension,
    index: u64,
    more: impl Fn(&Store) -> Result<Option<BlockNumber>>,
) -> Result<Option<PoolOffset>> {
    let region = &store.runtime.region;
    let (mut part, mut left) = (extension.regions(), index);
    loop {
        if left < entries(part) {
            return Ok(Some(part.add(8 + left * 8)));
        }
        left -= entries(part);
        let mut next = BlockNumber(region.load(part)?);
        if next.0 == 0 {
            match more(store)? {
                Some(block) => next = block,
                None => return Ok(None),
            }
            region.store_u64(part, next.0)?;
        }
        store.space.check_block(next, "table of regions")?;
        part = next.offset();
    }
}

/// Entries from the part of the table that begins at `part` to the end of its block, behind the word that continues it.
const fn entries(part: PoolOffset) -> u64 {
    (BLOCK_SIZE - part.0 % BLOCK_SIZE) / 8 - 1
}

/// Frees all regions and what the table grew by. No live member uses them; the caller holds the inode's lock. Each word is
/// cleared before what it names is freed: whoever dies in between loses space until the counts are rebuilt, no more.
pub(super) fn free_regions(store: &Store, extension: Extension) -> Result<()> {
    let region = &store.runtime.region;
    let mut part = extension.regions();
    loop {
        for index in 0..entries(part) {
            let place = part.add(8 + index * 8);
            let word = region.load(place)?;
            if word != 0 {
                region.store_u64(place, 0)?;
                if let Some(found) = Region::decode(store, word, place)? {
                    give_back(store, found);
                }
            }
        }
        let next = BlockNumber(region.swap_u64(part, 0)?);
        if part != extension.regions() {
            store.space.give_back(&[part.block()]);
        }
        if next.0 == 0 {
            return Ok(());
        }
        store.space.check_block(next, "table of regions")?;
        part = next.offset();
    }
}

/// All blocks of the regions of an extension, and of the table of them. Nothing moves in the pool.
pub(super) fn region_blocks(store: &Store, extension: Extension) -> Result<Vec<BlockNumber>> {
    let region = &store.runtime.region;
    let limit = usize::try_from(store.space.pool_blocks()?).unwrap_or(usize::MAX);
    let (mut part, mut blocks) = (extension.regions(), Vec::new());
    while blocks.len() < limit {
        for index in 0..entries(part) {
            let place = part.add(8 + index * 8);
            let found = Region::decode(store, region.load(place)?, place)?;
            blocks.extend(
                found.into_iter().flat_map(|found| (0..found.blocks).map(move |at| found.first.add(at))),
            );
        }
        let next = BlockNumber(region.load(part)?);
        if next.0 == 0 {
            break;
        }
        store.space.check_block(next, "table of regions")?;
        blocks.push(next);
        part = next.offset();
    }
    Ok(blocks)
}

fn give_back(store: &Store, region: Region) {
    for block in 0..region.blocks {
        store.space.give_back(&[region.first.add(block)]);
    }
}
