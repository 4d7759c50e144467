//! Opening without writing: a private view, for reading snapshots.
//!
//! The pool is mapped copy-on-write. Volatile state is wiped in the view alone, and lanes are replayed there where no member
//! lives who would. The view is no member: nobody waits for it, and a snapshot that is deleted under it turns stale. Blocks
//! of a snapshot never change while the snapshot is there, and every read asks the file itself whether it still is.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::open::{Opening, same_file, store_of, wipe};
use super::superblocks;
use crate::error::{Error, ErrorKind, Result};
use crate::format::layout::SLOT_COUNT;
use crate::format::superblock::State;
use crate::inode::Core;
use crate::journal;
use crate::os::lock::LockFile;
use crate::pmem::medium::{Dax, FlushMode};
use crate::pmem::{Access, MapOptions, Region};
use crate::runtime::at;
use crate::runtime::member::{MEMBERS_BYTE, OPENING_BYTE, private_member};

/// Opens the pool at `path` for reading its snapshots; `Busy` where others are opening or closing it for longer than `patience`.
pub(super) fn open(path: &Path, patience: Duration) -> Result<(Arc<Core>, Opening)> {
    let lock_file = LockFile::open_read_only(path)?;
    lock_file.shared_within(OPENING_BYTE, patience)?;
    let file = File::open(path).map_err(|error| Error::os("open", error).at(path))?;
    same_file(&file, &lock_file).map_err(|error| error.at(path))?;
    let map = MapOptions { dax: Dax::Never, flush: FlushMode::Off, access: Access::Private };
    let region = Region::map(file, path, map)?;
    view(region, lock_file).map_err(|error| error.at(path))
}

fn view(region: Region, lock_file: LockFile) -> Result<(Arc<Core>, Opening)> {
    let mut superblock = superblocks::read(&region)?;
    let in_use = lock_file.is_locked(MEMBERS_BYTE)?;
    // No inode of the file carries this epoch: all volatile words are void in the view.
    superblock.epoch = superblocks::later_epoch(&superblock)?;
    wipe(&region, superblock.epoch, superblock.pool_blocks)?;
    if !in_use {
        for slot in 0..SLOT_COUNT {
            match journal::recover(&region, slot) {
                Ok(_) => {}
                // What it held is lost; what a snapshot holds was whole before.
                Err(error) if error.kind() == ErrorKind::MediaError => {
                    tracing::error!(%error, slot, "a lane is lost");
                }
                Err(error) => return Err(error),
            }
        }
    }
    region.store_u64(at::INODES_USED, superblock.inodes_used)?;
    let member = private_member(&region)?;
    lock_file.unlock(OPENING_BYTE)?;
    let clean = in_use || superblock.state == State::Clean;
    let store = store_of(region, lock_file, member, &superblock);
    Ok((Arc::new(Core::new(store, None)), Opening { clean, recovery: None }))
}
