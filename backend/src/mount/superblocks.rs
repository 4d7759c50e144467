//! Reading and writing the two copies of the superblock.

use super::finding::{Finding, Remedy};
use crate::error::{Error, ErrorKind, Result};
use crate::format::layout::SUPERBLOCKS;
use crate::format::superblock::{RO_COMPAT_KNOWN, SUPERBLOCK_BYTES, Superblock, choose};
use crate::os::process::random_bytes;
use crate::pmem::{Mistake, Region, mistake};
use crate::units::{BLOCK_SIZE, PoolOffset};

/// The superblock that counts, checked against the length of what is mapped.
pub(super) fn read(region: &Region) -> Result<Superblock> {
    read_both(region).map(|(superblock, _)| superblock)
}

/// As [`read`], and whether both copies are whole. Where one is damaged it may have been the newer one: what the other says
/// of the counts may be out of date.
pub(super) fn read_both(region: &Region) -> Result<(Superblock, bool)> {
    let copies = SUPERBLOCKS.map(|place| read_copy(region, place));
    let whole = copies.iter().all(Result::is_ok);
    let superblock = choose(copies)?;
    let bytes = superblock.pool_blocks * BLOCK_SIZE;
    // Another member may have grown the pool since this one mapped it.
    if region.len() < bytes && region.extend()? < bytes {
        return Err(Error::corrupt(
            "pool",
            "its end",
            format_args!("{bytes} bytes"),
            format_args!("{}: the file was truncated", region.len()),
        ));
    }
    Ok((superblock, whole))
}

/// An epoch that no inode of the pool can carry: later than the last one, also if the copy of the superblock that said so
/// is lost, and by how much cannot be foreseen.
pub(super) fn later_epoch(superblock: &Superblock) -> Result<u64> {
    let mut step = [0; 4];
    random_bytes(&mut step)?;
    Ok(superblock.epoch + 2 + u64::from(u32::from_le_bytes(step)))
}

/// That this version may write to the pool.
pub(super) fn check_writable(superblock: &Superblock) -> Result<()> {
    let unknown = superblock.ro_compat & !RO_COMPAT_KNOWN;
    if unknown == 0 {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::UnsupportedVersion,
        format!("the pool has features that this program may not write to: ro-compat bits {unknown:#x}"),
    ))
}

fn read_copy(region: &Region, place: PoolOffset) -> Result<Superblock> {
    let mut bytes = [0; SUPERBLOCK_BYTES];
    if region.len() < place.0 + bytes.len() as u64 {
        let message = format!("no superblock at {place}: the file ends at {:#x}", region.len());
        return Err(Error::new(ErrorKind::NotAPool, message));
    }
    region.read(place, &mut bytes)?;
    Superblock::decode(&bytes, place)
}

/// Writes the next version of the superblock, durably, over the older copy.
pub(super) fn write(region: &Region, superblock: &mut Superblock) -> Result<()> {
    superblock.sequence += 1;
    let second = (superblock.sequence % 2 == 1) != mistake(Mistake::NewerSuperblockOverwritten);
    let older = SUPERBLOCKS[usize::from(second)];
    let stored = region.write(older, &superblock.encode())?;
    region.fence(region.flush(stored)).map(drop)
}

/// What is wrong with either copy.
pub(super) fn problems(region: &Region) -> Vec<Finding> {
    let copies = SUPERBLOCKS.map(|place| (place, read_copy(region, place)));
    copies
        .into_iter()
        .filter_map(|(place, copy)| Some(Finding::of("superblock", place, &copy.err()?, Remedy::Later)))
        .collect()
}
