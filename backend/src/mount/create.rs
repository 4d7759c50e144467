//! Creating a pool: everything is written first, and the superblocks, which make it one, last.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use super::open::{assemble, same_file, wipe};
use super::options::CreateOptions;
use super::rebuild::init_free;
use super::superblocks;
use crate::error::{Error, ErrorKind, Result};
use crate::format::inode::{self, Birth, Kind, KindWord};
use crate::format::layout::{
    self, FIRST_GROUP_BLOCK, LANES, POOL_SIZE_MAX, POOL_SIZE_MIN, RUNTIME, SUPERBLOCKS, TABLE_INODE,
};
use crate::format::superblock::{State, Superblock};
use crate::inode::{Core, now_ns};
use crate::journal::Store;
use crate::os::file::allocate;
use crate::os::lock::LockFile;
use crate::os::process::{self, random_bytes};
use crate::pmem::{Access, MapOptions, Region};
use crate::runtime::at;
use crate::runtime::member::{MEMBERS_BYTE, OPENING_BYTE};
use crate::runtime::robust::PATIENCE;
use crate::units::{BLOCK_SIZE, InodeNumber};

/// The fewest inodes a pool may be limited to.
const INODES_MIN: u64 = 16;

/// Creates a pool and stays its first member. `after` writes what every pool begins with, before the pool is one.
///
/// # Errors
/// `AlreadyExists` where something is there and may not be overwritten; `Busy` where that is a pool in use; `InvalidInput` for a size
/// below 16 MiB, above 4 PiB or not given; `NoSpace` where the host has not that much.
pub(crate) fn create(
    path: &Path,
    options: &CreateOptions,
    after: impl FnOnce(&Store) -> Result<()>,
) -> Result<Arc<Core>> {
    let size = options.size.map(checked_size).transpose()?;
    if options.inodes_max < INODES_MIN {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("a pool needs at least {INODES_MIN} inodes, {} asked for", options.inodes_max),
        ));
    }
    let existed = path.exists();
    let file = host_file(path, options)?;
    let created = fill(path, file, size, options, after).map_err(|error| error.at(path));
    if created.is_err()
        && !existed
        && let Err(error) = fs::remove_file(path)
    {
        tracing::warn!(%error, path = %path.display(), "a pool that could not be created was left behind");
    }
    created
}

/// The size rounded to whole chunks.
fn checked_size(size: u64) -> Result<u64> {
    let rounded = layout::pool_blocks_for(size).saturating_mul(BLOCK_SIZE);
    if (POOL_SIZE_MIN..=POOL_SIZE_MAX).contains(&rounded) {
        return Ok(rounded);
    }
    Err(Error::new(
        ErrorKind::InvalidInput,
        format!("a pool has {POOL_SIZE_MIN} to {POOL_SIZE_MAX} bytes, {size} asked for"),
    ))
}

fn host_file(path: &Path, options: &CreateOptions) -> Result<File> {
    let mut open = File::options();
    open.read(true).write(true).mode(options.mode);
    if options.overwrite {
        open.create(true).truncate(false);
    } else {
        open.create_new(true);
    }
    open.open(path).map_err(|error| Error::os("create", error).at(path))
}

fn fill(
    path: &Path,
    file: File,
    size: Option<u64>,
    options: &CreateOptions,
    after: impl FnOnce(&Store) -> Result<()>,
) -> Result<Arc<Core>> {
    let lock_file = LockFile::open(path)?;
    lock_file.exclusive_within(OPENING_BYTE, PATIENCE)?;
    if !lock_file.try_exclusive(MEMBERS_BYTE)? {
        return Err(Error::new(ErrorKind::Busy, "the pool that is to be overwritten is in use"));
    }
    let node = same_file(&file, &lock_file)?;
    let is_device = prepare(&file, size, options.sparse)?;
    let map = MapOptions { dax: options.dax, flush: options.flush, access: Access::ReadWrite };
    let region = Region::map(file, path, map)?;
    let size = match size {
        Some(size) if size <= region.len() => size,
        Some(size) => {
            let message = format!("the device has {} bytes, {size} asked for", region.len());
            return Err(Error::new(ErrorKind::NoSpace, message));
        }
        None => checked_size(region.len())?,
    };
    if is_device {
        erase_header(&region)?;
    }
    let mut random = [0; 32];
    random_bytes(&mut random)?;
    let word = |at: usize| u64::from_le_bytes(random[at..at + 8].try_into().unwrap_or_default());
    let mut superblock = Superblock {
        compat: 0,
        ro_compat: 0,
        incompat: 0,
        uuid: random_uuid(&random),
        sequence: 0,
        pool_blocks: size / BLOCK_SIZE,
        epoch: 1,
        state: State::Open,
        inodes_max: options.inodes_max,
        hash_seed: [word(16), word(24)],
        created: now_ns(),
        boot_id: process::boot_id()?,
        node: [node.device, node.inode],
        free_blocks: 0,
        inodes_used: 0,
    };
    format(&region, &superblock)?;
    lock_file.try_shared(MEMBERS_BYTE)?;
    let core = assemble(region, lock_file, &superblock)?;
    after(&core.store)?;
    let region = &core.store.runtime.region;
    region.barrier()?;
    for _ in SUPERBLOCKS {
        superblocks::write(region, &mut superblock)?;
    }
    core.store.runtime.lock_file.unlock(OPENING_BYTE)?;
    Ok(core)
}

/// Gives the file its size and its space; true for a device, which has both.
fn prepare(file: &File, size: Option<u64>, sparse: bool) -> Result<bool> {
    let metadata = file.metadata().map_err(|error| Error::os("stat", error))?;
    if metadata.file_type().is_char_device() {
        return Ok(true);
    }
    let Some(size) = size else {
        return Err(Error::new(ErrorKind::InvalidInput, "a pool in a file needs a size"));
    };
    // All bytes of an overwritten file go: what is read back is zeros.
    file.set_len(0).map_err(|error| Error::os("ftruncate to 0 bytes", error))?;
    if sparse {
        file.set_len(size).map_err(|error| Error::os(format!("ftruncate to {size} bytes"), error))?;
        return Ok(false);
    }
    make_room(file, size).map_err(|error| {
        if file.set_len(0).is_err() {
            tracing::debug!("a file that could not get its space keeps what it got");
        }
        Error::os(format!("fallocate {size} bytes"), error)
    })?;
    Ok(false)
}

fn make_room(mut file: &File, size: u64) -> io::Result<()> {
    match allocate(file, 0, size) {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            io::copy(&mut io::repeat(0).take(size), &mut file)?;
            file.flush()
        }
        other => other,
    }
}

/// Makes sure that a device is no pool from here on, and that nothing of an old one is left in the header.
fn erase_header(region: &Region) -> Result<()> {
    for place in SUPERBLOCKS {
        region.fence(region.flush(region.zero(place, BLOCK_SIZE)?))?;
    }
    region.fence(region.flush(region.zero(TABLE_INODE, BLOCK_SIZE)?))?;
    region.fence(region.flush(region.zero(LANES, RUNTIME.0 - LANES.0)?)).map(drop)
}

/// Volatile state, counts and the inode of the inode table.
fn format(region: &Region, superblock: &Superblock) -> Result<()> {
    wipe(region, superblock.epoch, superblock.pool_blocks)?;
    let free_blocks = init_free(region, FIRST_GROUP_BLOCK, superblock.pool_blocks)?;
    region.store_u64(at::FREE_BLOCKS, free_blocks)?;
    let kind = KindWord { kind: Kind::File, snapshot: false, generation: 1 };
    let number = InodeNumber(0);
    let birth = Birth { number, created: superblock.created, origin: InodeNumber(0), attribute: 0 };
    let stored = region.write(TABLE_INODE, &inode::encode(kind, 1, 0, 0, birth))?;
    region.fence(region.flush(stored)).map(drop)
}

/// A random UUID (version 4) from the first bytes.
fn random_uuid(random: &[u8; 32]) -> [u8; 16] {
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&random[..16]);
    uuid[6] = uuid[6] & 0x0f | 0x40;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    uuid
}
