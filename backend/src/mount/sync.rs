//! Making everything durable that any member has written.

use super::recover::for_each_inode;
use crate::error::Result;
use crate::format::inode::at;
use crate::inode::Core;
use crate::pmem::Flushed;
use crate::pmem::medium::Granularity;

/// On page media one sync of the file; elsewhere only the sizes of files that were appended to are left to flush.
pub(crate) fn sync(core: &Core) -> Result<()> {
    match core.store.runtime.region.granularity() {
        Granularity::Page => core.store.space.settle(),
        _ => flush_appended(core),
    }
}

/// Makes the sizes durable that appends of this epoch have stored lazily.
pub(super) fn flush_appended(core: &Core) -> Result<()> {
    let store = &core.store;
    let region = &store.runtime.region;
    let mut flushed = Flushed::none();
    for_each_inode(store, |inode| {
        let ours = region.load(inode.field(at::EPOCH)).is_ok_and(|epoch| epoch == store.runtime.epoch);
        if ours && region.load_u32(inode.field(at::LAZY_SIZE)).is_ok_and(|lazy| lazy != 0) {
            let size = region.flush_range(inode.field(at::SIZE), 8);
            flushed = std::mem::take(&mut flushed).join(size);
        }
    })?;
    region.fence(flushed).map(drop)
}
