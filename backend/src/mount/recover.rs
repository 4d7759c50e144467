//! What a survivor does for a member that died, and what recovery leaves for later.
//!
//! The recoverer runs inside a lock wait: it replays the dead member's lanes, gives back what its ledgers name and clears its
//! marks on open inodes, all without taking a lock of the pool. Inodes that are left without a name are queued and freed
//! by [`reclaim`], which takes the locks that this needs.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::extent_map::Tree;
use crate::format::inode::{INODE_SIZE, Kind, at};
use crate::format::layout::TABLE_INODE;
use crate::inode::open::{is_open_anywhere, mask_bit};
use crate::inode::orphans::Orphans;
use crate::inode::table::Table;
use crate::inode::{Core, Inode, advisory};
use crate::journal::{self, Store};
use crate::namespace::reclaim::reclaim_orphan;
use crate::runtime::Recoverer;
use crate::units::{BLOCK_SIZE, FileBlock, InodeNumber};

/// The recoverer of a pool, from its opening until this member has left it.
pub(super) fn recoverer(core: &Core) -> Recoverer {
    // The store owns what this becomes a part of.
    let (store, orphans) = (Arc::downgrade(&core.store), core.orphans.clone());
    Box::new(move |slot| match store.upgrade() {
        Some(store) => recover_member(&store, &orphans, slot),
        None => Err(Error::new(ErrorKind::Busy, "the pool is closed: another member has to recover")),
    })
}

/// Recovers the dead member of `slot`, which the caller has claimed. Takes no lock of the pool.
fn recover_member(store: &Store, left: &Orphans, slot: u32) -> Result<()> {
    let replayed = journal::recover(&store.runtime.region, slot)?;
    store.space.release_ledgers(slot)?;
    let mut orphans = Vec::new();
    for_each_inode(store, |inode| {
        if let Err(error) = release_inode(store, inode, slot, &mut orphans) {
            // Damage of one inode must not keep the locks of the whole pool.
            tracing::error!(%error, slot, "an inode keeps the marks of a dead member");
        }
    })?;
    tracing::debug!(slot, replayed, orphans = orphans.len(), "replayed and released a dead member");
    left.add(orphans);
    Ok(())
}

fn release_inode(store: &Store, inode: Inode, slot: u32, orphans: &mut Vec<Inode>) -> Result<()> {
    let region = &store.runtime.region;
    let current = region.load(inode.field(at::EPOCH))? == store.runtime.epoch;
    if current {
        let (word, bit) = mask_bit(&inode, slot);
        if region.load(word)? & bit != 0 {
            advisory::release_member(store, &inode, slot)?;
            store.runtime.forget_mapper(inode.place, slot)?;
            region.and_u64(word, !bit)?;
        }
    }
    if inode.kind(store)?.kind != Kind::Free
        && inode.links(store)? == 0
        && !(current && is_open_anywhere(store, &inode)?)
    {
        orphans.push(inode);
    }
    Ok(())
}

/// Calls `visit` with every inode of the table, used or not, number 0 left out.
pub(super) fn for_each_inode(store: &Store, mut visit: impl FnMut(Inode)) -> Result<()> {
    let tree = Tree::of(&store.space, TABLE_INODE)?;
    let end = FileBlock(Table::capacity(store)? * INODE_SIZE / BLOCK_SIZE);
    let mut at = FileBlock(0);
    while let Some((place, found)) = tree.next_mapped(&store.space, at, end)? {
        at = FileBlock(place.0 + found.blocks);
        let Some(mapped) = found.mapped else { continue };
        for index in 0..found.blocks * BLOCK_SIZE / INODE_SIZE {
            let number = InodeNumber(place.offset() / INODE_SIZE + index);
            if number.0 != 0 {
                visit(Inode { number, place: mapped.block.offset().add(index * INODE_SIZE) });
            }
        }
    }
    Ok(())
}

/// Frees the inodes that dead members left without a name, as far as nobody has them open, with all that only they lead to.
/// The caller holds no lock. Answers how many were freed. Damage is left to whoever checks the pool.
pub(crate) fn reclaim(core: &Core) -> Result<u64> {
    let orphans = core.orphans.take();
    let mut freed = 0;
    for (done, &orphan) in orphans.iter().enumerate() {
        match reclaim_orphan(&core.store, orphan.number) {
            Ok(reclaimed) => freed += reclaimed.inodes,
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::MediaError) => {
                core.store.runtime.leave_doubt();
                tracing::error!(%error, inode = orphan.number.0, "an inode without a name could not be freed");
            }
            Err(error) => {
                core.orphans.add(orphans[done..].iter().copied());
                return Err(error);
            }
        }
    }
    Ok(freed)
}
