//! Growing a pool while it is in use: new groups at the end.
//!
//! ```text
//! file longer -> mapped here -> counts and hints of the new blocks -> superblock, durably -> volatile size -> free blocks
//! ```
//!
//! Other members map what is new when they first meet a block of it. After a crash in the middle the file is longer than
//! the superblock says, and nothing else.

use std::os::unix::fs::{FileTypeExt, MetadataExt};

use super::rebuild::init_free;
use super::superblocks;
use crate::error::{Error, ErrorKind, Result};
use crate::format::layout::{self, POOL_SIZE_MAX};
use crate::inode::Core;
use crate::os::file::allocate;
use crate::pmem::Region;
use crate::runtime::at;
use crate::units::BLOCK_SIZE;

/// Makes the pool `new_size` bytes long, rounded down to whole chunks.
///
/// # Errors
/// `InvalidInput` for a size below the present one; `TooLarge` above 4 PiB or what address space was reserved; `NoSpace` where the
/// host or the device has not that much.
pub(crate) fn grow(core: &Core, new_size: u64) -> Result<()> {
    let (runtime, region) = (&core.store.runtime, &core.store.runtime.region);
    let _size = runtime.lock(at::SUPERBLOCK)?;
    let old_blocks = region.load(at::POOL_BLOCKS)?;
    let new_blocks = layout::pool_blocks_for(new_size.min(POOL_SIZE_MAX.saturating_add(1)));
    if new_blocks <= old_blocks {
        return if new_blocks == old_blocks { Ok(()) } else { Err(shrinking(old_blocks, new_size)) };
    }
    if new_size > POOL_SIZE_MAX || new_blocks * BLOCK_SIZE > region.reserved() {
        let most = POOL_SIZE_MAX.min(region.reserved());
        let message = format!("the pool can grow to {most} bytes while it is open, {new_size} asked for");
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    make_room(region, new_blocks * BLOCK_SIZE)?;
    region.extend()?;
    let added = init_free(region, old_blocks, new_blocks)?;
    let mut superblock = superblocks::read(region)?;
    superblock.pool_blocks = new_blocks;
    superblocks::write(region, &mut superblock)?;
    region.store_u64(at::POOL_BLOCKS, new_blocks)?;
    region.add_u64(at::FREE_BLOCKS, added).map(drop)
}

fn shrinking(old_blocks: u64, new_size: u64) -> Error {
    let size = old_blocks * BLOCK_SIZE;
    Error::new(ErrorKind::InvalidInput, format!("the pool has {size} bytes and cannot shrink to {new_size}"))
}

/// Makes the file as long as wanted, durably. A file that was sparse, or trimmed, stays so.
fn make_room(region: &Region, wanted: u64) -> Result<()> {
    let failed = |call, error| {
        Error::os(format!("{call} to make the file {wanted} bytes long"), error).at(region.path())
    };
    let metadata = region.file().metadata().map_err(|error| failed("stat", error))?;
    if metadata.file_type().is_char_device() {
        if region.len() >= wanted {
            return Ok(());
        }
        let message = format!("the device has {} bytes, {wanted} asked for", region.len());
        return Err(Error::new(ErrorKind::NoSpace, message));
    }
    let old = metadata.len();
    if old < wanted {
        let sparse = metadata.blocks().saturating_mul(512) < old;
        let room = if sparse { Err(libc::EOPNOTSUPP) } else { Ok(()) };
        match room
            .map_err(std::io::Error::from_raw_os_error)
            .and_then(|()| allocate(region.file(), old, wanted - old))
        {
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                region.file().set_len(wanted).map_err(|error| failed("ftruncate", error))?;
            }
            other => other.map_err(|error| failed("fallocate", error))?,
        }
    }
    region.sync_size()
}
