//! Giving back what no name reaches any more, in bounded steps.
//!
//! A tree whose top has lost its name is taken apart bucket by bucket: one transaction takes all names of a bucket away
//! together with a link of each inode they name, so that the work can stop at any moment. What is left then is orphans,
//! inodes without links, which the next scan of the inode table finds. A file that is open anywhere lives, without a
//! name, until it is closed there.
//!
//! What a rollback replaces is marked before the transaction that takes its name, and what lies below inherits the mark step by
//! step, each before it loses its name. The mark counts once there are no links: so handles turn stale in the act itself,
//! and whoever goes on after a death, with whatever step, finds either a name or a mark that counts. The mark names the member
//! that rolls back: while it lives others leave the tree to it, so that all handles are stale when its rollback returns.

use super::directory::{self, Directory};
use super::edit::Edit;
use super::tree::{Authority, Namespace};
use crate::error::Result;
use crate::format::dirent::Dirent;
use crate::format::inode::{Kind, KindWord};
use crate::inode::open::is_open_anywhere;
use crate::inode::table::Table;
use crate::inode::{Inode, advisory};
use crate::journal::Store;
use crate::units::InodeNumber;

/// What a reclaim gave back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Reclaimed {
    /// Inodes freed.
    pub(crate) inodes: u64,
}

/// Frees the directory `top`, which has no name any more, and all that only it reaches; what of it is open turns stale where it was
/// replaced, and lives on otherwise. Takes the namespace lock for each step; the caller holds no lock. What others reclaim
/// at the same time, or have reclaimed before, is passed over.
pub(crate) fn reclaim_tree(store: &Store, top: &Directory) -> Result<Reclaimed> {
    let mut reclaimed = Reclaimed::default();
    let mut waiting = vec![*top];
    while let Some(directory) = waiting.pop() {
        while step(store, &directory, &mut waiting, &mut reclaimed)? == Step::More {}
    }
    Ok(reclaimed)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    More,
    Done,
}

/// Takes away the names of one bucket of `directory`, or frees it where there is none left. Directories that lose their
/// name join those that wait.
fn step(
    store: &Store,
    directory: &Directory,
    waiting: &mut Vec<Directory>,
    reclaimed: &mut Reclaimed,
) -> Result<Step> {
    let _namespace = Namespace::lock(store, Authority::Snapshots)?;
    if !is_orphan(store, &directory.inode, Kind::Directory, directory.generation)? {
        return Ok(Step::Done);
    }
    let replaced_by = directory.inode.replaced_by(store)?;
    if let Some(member) = replaced_by {
        if member != store.runtime.member && store.runtime.is_alive(member)? {
            return Ok(Step::Done);
        }
        directory.inode.mark_replaced(store)?;
    }
    let Some(bucket) = directory::occupied_bucket(store, directory)? else {
        reclaimed.inodes += u64::from(release(store, &directory.inode, directory.generation));
        return Ok(Step::Done);
    };
    let mut edit = Edit::new();
    edit.clear(bucket.occupied_place());
    let mut unlinked = Vec::new();
    for entry in bucket.entries(store)? {
        if let Some(inode) = named_inode(store, &entry)? {
            let links = edit.unlink(store, &inode)?;
            if replaced_by.is_some() {
                inode.mark_replaced(store)?;
            }
            unlinked.push((inode, entry, links));
        }
    }
    edit.commit(store, std::slice::from_ref(directory))?;
    for (inode, entry, links) in unlinked {
        match entry.kind {
            Kind::Directory => waiting.push(Directory { inode, generation: entry.generation }),
            _ if links == 0 => reclaimed.inodes += u64::from(release(store, &inode, entry.generation)),
            _ => {}
        }
    }
    Ok(Step::More)
}

/// The inode of an entry, unless it is not what the entry says any more: a tree that was never finished may name inodes
/// that have been reclaimed on their own.
fn named_inode(store: &Store, entry: &Dirent) -> Result<Option<Inode>> {
    let inode = Table::get(store, entry.inode)?;
    let kind = inode.kind(store)?;
    Ok((kind.kind == entry.kind && kind.generation == entry.generation).then_some(inode))
}

fn is_orphan(store: &Store, inode: &Inode, kind: Kind, generation: u32) -> Result<bool> {
    let KindWord { kind: found, generation: living, .. } = inode.kind(store)?;
    Ok(found == kind && living == generation && inode.links(store)? == 0)
}

/// Frees an inode whose last link has gone, unless it is open somewhere or has been freed already; whether it did. A
/// failure leaves an orphan: the name is gone in any case. The caller holds the namespace lock.
pub(crate) fn release(store: &Store, inode: &Inode, generation: u32) -> bool {
    match try_release(store, inode, generation) {
        Ok(released) => released,
        Err(error) => {
            tracing::error!(%error, inode = inode.number.0, "an inode without links could not be freed");
            store.runtime.leave_doubt();
            false
        }
    }
}

fn try_release(store: &Store, inode: &Inode, generation: u32) -> Result<bool> {
    let _held = inode.lock(store)?;
    let kind = inode.kind(store)?;
    if kind.kind == Kind::Free || !is_orphan(store, inode, kind.kind, generation)? {
        return Ok(false);
    }
    if is_open_anywhere(store, inode)? {
        return Ok(false);
    }
    advisory::release_extension(store, inode)?;
    let _change = store.runtime.begin_change(inode.place)?;
    Table::free(store, inode)?;
    Ok(true)
}

/// Frees the inode `number`, and all that only it leads to, if it has no links and is not open. The caller holds no lock.
///
/// Who builds a tree that has no name yet holds the namespace lock, or has closed the gate, until it has one.
pub(crate) fn reclaim_orphan(store: &Store, number: InodeNumber) -> Result<Reclaimed> {
    let inode = Table::get(store, number)?;
    let kind = inode.kind(store)?;
    if kind.kind == Kind::Free || inode.links(store)? > 0 {
        return Ok(Reclaimed::default());
    }
    if kind.kind == Kind::Directory {
        let top = Directory { inode, generation: kind.generation };
        return reclaim_tree(store, &top);
    }
    let _namespace = Namespace::lock(store, Authority::Snapshots)?;
    Ok(Reclaimed { inodes: u64::from(release(store, &inode, kind.generation)) })
}
