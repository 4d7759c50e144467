//! Open inodes: which this process has open, and the mark of it that other members see.
//!
//! A member's bit in an inode's open mask says that some handle of it is open there; an inode without links lives until
//! the last bit falls. The bits of a dead member fall with its recovery.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::Inode;
use super::table::Table;
use crate::error::{Error, ErrorKind, Result};
use crate::format::inode::{Kind, at};
use crate::journal::Store;
use crate::pmem::Access;
use crate::units::InodeNumber;

/// The inodes that handles of this process refer to.
#[derive(Default)]
pub(crate) struct OpenInodes {
    open: Mutex<HashMap<InodeNumber, Arc<OpenInode>>>,
}

/// An inode that this process has open, shared by all its handles.
pub(crate) struct OpenInode {
    pub(crate) inode: Inode,
    pub(crate) generation: u32,
    /// Part of a snapshot: never written.
    pub(crate) snapshot: bool,
    /// Handles of this process. It falls to 0, and rises from there, only with the table locked.
    handles: AtomicU64,
    /// What handles of this process hold of its advisory locks and its shared memory.
    pub(crate) local: Mutex<super::advisory::Local>,
}

impl OpenInodes {
    /// Opens the file `number`, which a name says has `generation`. Stale where it has been removed since.
    pub(crate) fn open(&self, store: &Store, number: InodeNumber, generation: u32) -> Result<Arc<OpenInode>> {
        let inode = Table::get(store, number)?;
        let mut open = self.open.lock();
        let _held = inode.lock(store)?;
        let kind = inode.expect(store, Kind::File, generation)?;
        if store.runtime.region.access() != Access::ReadWrite && !kind.snapshot {
            return Err(Error::new(
                ErrorKind::ReadOnly,
                "without writing to the pool only snapshots can be read",
            ));
        }
        if let Some(shared) = open.get(&number) {
            self.share(shared);
            return Ok(shared.clone());
        }
        let (word, bit) = mask_bit(&inode, store.runtime.member.slot);
        store.runtime.region.or_u64(word, bit)?;
        let shared = Arc::new(OpenInode {
            inode,
            generation,
            snapshot: kind.snapshot,
            handles: AtomicU64::new(1),
            local: Mutex::default(),
        });
        open.insert(number, shared.clone());
        Ok(shared)
    }

    /// Takes another handle's share of an inode that is open already.
    pub(crate) fn share(&self, inode: &OpenInode) {
        inode.handles.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends one handle. The last one of all members frees an inode without links.
    pub(crate) fn close(&self, store: &Store, shared: &OpenInode) -> Result<()> {
        let not_last = |handles: u64| (handles > 1).then(|| handles - 1);
        if shared.handles.fetch_update(Ordering::Release, Ordering::Relaxed, not_last).is_ok() {
            return Ok(());
        }
        // Before the table is locked: who waits for the gate with it would hold up operations that the gate waits for.
        let _mark = store.runtime.enter()?;
        let mut open = self.open.lock();
        let number = shared.inode.number;
        if !open.contains_key(&number) {
            return Err(Error::new(ErrorKind::Stale, format!("{number} is not open")));
        }
        if shared.handles.fetch_sub(1, Ordering::AcqRel) > 1 {
            return Ok(());
        }
        open.remove(&number);
        let _held = shared.inode.lock(store)?;
        let (word, bit) = mask_bit(&shared.inode, store.runtime.member.slot);
        store.runtime.region.and_u64(word, !bit)?;
        if is_open_anywhere(store, &shared.inode)? {
            return Ok(());
        }
        super::advisory::release_extension(store, &shared.inode)?;
        let kind = shared.inode.kind(store)?;
        if kind.kind == Kind::File && kind.generation == shared.generation && shared.inode.links(store)? == 0
        {
            let _change = store.runtime.begin_change(shared.inode.place)?;
            Table::free(store, &shared.inode)?;
        }
        Ok(())
    }
}

/// Whether any member has the inode open.
pub(crate) fn is_open_anywhere(store: &Store, inode: &Inode) -> Result<bool> {
    for word in 0..4 {
        if store.runtime.region.load(inode.field(at::OPEN_MASK + 8 * word))? != 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The word and bit of the open mask that stand for a member slot.
pub(crate) fn mask_bit(inode: &Inode, slot: u32) -> (crate::units::PoolOffset, u64) {
    (inode.field(at::OPEN_MASK + u64::from(slot / 64) * 8), 1 << (slot % 64))
}
