//! Giving the space of free blocks back to the host.

use std::os::unix::fs::MetadataExt;

use crate::error::{Error, ErrorKind, Result};
use crate::format::layout::{self, FIRST_GROUP_BLOCK};
use crate::inode::Core;
use crate::space::Purpose;
use crate::units::{BLOCK_SIZE, BlockNumber, CHUNK_BLOCKS};

/// Gives the space of all free blocks back to the host; answers by how many bytes the file takes less of it now. Blocks are
/// taken while their space goes, so that nobody stores to them meanwhile.
///
/// # Errors
/// `UnsupportedMedium` where the host cannot take space back.
pub(crate) fn trim(core: &Core) -> Result<u64> {
    core.store.space.settle()?;
    let before = host_bytes(core)?;
    let pool_blocks = core.store.space.pool_blocks()?;
    let mut first = FIRST_GROUP_BLOCK;
    while first < pool_blocks {
        if layout::is_allocatable(BlockNumber(first), pool_blocks) {
            trim_chunk(core, first)?;
        }
        first += CHUNK_BLOCKS;
    }
    Ok(before.saturating_sub(host_bytes(core)?))
}

fn trim_chunk(core: &Core, first: u64) -> Result<()> {
    let space = &core.store.space;
    let _mark = core.store.runtime.enter()?;
    let free = u64::from(space.hint(BlockNumber(first))?).min(CHUNK_BLOCKS);
    let mut reservation = match space.reserve(free, Purpose::Release) {
        Ok(reservation) => reservation,
        // What little is free is promised to others.
        Err(error) if error.kind() == ErrorKind::NoSpace => return Ok(()),
        Err(error) => return Err(error),
    };
    let end = first + CHUNK_BLOCKS;
    let mut block = first;
    while block < end && reservation.left() > 0 {
        let Some(run) = space.take_free(&mut reservation, BlockNumber(block), end - block)? else {
            block += 1;
            continue;
        };
        let discarded = space.runtime.region.discard(run.first.offset(), run.blocks * BLOCK_SIZE);
        let taken: Vec<_> = (0..run.blocks).map(|index| run.first.add(index)).collect();
        space.give_back(&taken);
        if !discarded? {
            return Err(Error::new(
                ErrorKind::UnsupportedMedium,
                "the host cannot take space of a file back",
            ));
        }
        block += run.blocks;
    }
    Ok(())
}

/// Bytes that the file takes on the host.
fn host_bytes(core: &Core) -> Result<u64> {
    let metadata = core.store.runtime.region.file().metadata();
    Ok(metadata.map_err(|error| Error::os("stat", error))?.blocks().saturating_mul(512))
}
