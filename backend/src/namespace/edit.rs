//! The words that a change of names stores as one: bits of buckets, links of inodes.
//!
//! Words of one place are combined: a rename within a bucket is one word that says both that a name came and that
//! another went.

use super::directory::{self, Directory};
use crate::error::{Error, ErrorKind, Result};
use crate::extent_map::Tree;
use crate::format::dirent::{self, Dirent};
use crate::format::inode::{self, at};
use crate::format::lane::Record;
use crate::inode::Inode;
use crate::journal::Store;
use crate::pmem::{Flushed, Mistake, mistake};
use crate::runtime::sequence::Change;
use crate::units::PoolOffset;

/// A change of names that nobody can see yet. Dropping it takes it back. The caller holds the namespace lock.
#[must_use]
pub(crate) struct Edit {
    records: Vec<Record>,
    flushed: Flushed,
}

impl Edit {
    /// Nothing yet.
    pub(crate) fn new() -> Edit {
        Edit::after(Flushed::none())
    }

    /// Nothing yet; what `flushed` covers is durable before it.
    pub(crate) fn after(flushed: Flushed) -> Edit {
        Edit { records: Vec::new(), flushed }
    }

    /// Adds a name that the directory does not have. Before any [`Edit::remove`]: making room moves names. Several names may be
    /// added to one directory if [`directory::make_room`] has been asked for all of them together before.
    ///
    /// # Errors
    /// [`ErrorKind::NoSpace`], or [`ErrorKind::TooLarge`] where too many names have one hash.
    pub(crate) fn insert(&mut self, store: &Store, directory: &Directory, entry: &Dirent) -> Result<()> {
        let planned =
            |place| self.records.iter().find(|record| record.place == place).map(|record| record.value);
        let (bucket, slot) = directory::room(store, directory, entry.hash, entry.name.len(), planned)?;
        let region = &store.runtime.region;
        let mut bytes = vec![0; dirent::slots_for(entry.name.len()) * dirent::SLOT_BYTES];
        entry.encode(&mut bytes);
        let written = region.flush(region.write(bucket.entry_place(slot), &bytes)?);
        self.flushed = std::mem::take(&mut self.flushed).join(written);
        let occupied = self.pending(bucket.occupied_place(), || bucket.occupied(store))?;
        self.set(bucket.occupied_place(), occupied | 1 << slot);
        Ok(())
    }

    /// Takes a name away.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the directory does not have it.
    pub(crate) fn remove(&mut self, store: &Store, directory: &Directory, entry: &Dirent) -> Result<()> {
        let tree = Tree::of(&store.space, directory.inode.place)?;
        let found = match directory::leaf(store, &tree, entry.hash)? {
            Some(bucket) => bucket.find(store, entry.hash, &entry.name)?.map(|(slot, _)| (bucket, slot)),
            None => None,
        };
        let Some((bucket, slot)) = found else {
            return Err(Error::new(ErrorKind::NotFound, "the directory has no such name"));
        };
        let occupied = self.pending(bucket.occupied_place(), || bucket.occupied(store))?;
        self.set(bucket.occupied_place(), occupied & !(1 << slot));
        Ok(())
    }

    /// Takes away whatever begins at a slot of a bucket, damaged or not.
    pub(super) fn vacate(&mut self, store: &Store, occupied: PoolOffset, slot: usize) -> Result<()> {
        let word = self.pending(occupied, || store.runtime.region.load(occupied))?;
        self.set(occupied, word & !(1 << slot));
        Ok(())
    }

    /// Takes all names of a bucket away.
    pub(super) fn clear(&mut self, occupied: PoolOffset) {
        self.set(occupied, 0);
    }

    /// Gives an inode so many links.
    pub(crate) fn set_links(&mut self, inode: &Inode, links: u32) {
        self.set(inode.field(at::LINKS), inode::encode_links(links, inode.number));
    }

    /// Gives an inode one link more.
    ///
    /// # Errors
    /// [`ErrorKind::TooManyLinks`].
    pub(crate) fn link(&mut self, store: &Store, inode: &Inode) -> Result<()> {
        let place = inode.field(at::LINKS);
        let word = self.pending(place, || store.runtime.region.load(place))?;
        let more = inode::decode_links(word, inode.number)?.checked_add(1);
        let more = more.ok_or_else(|| Error::new(ErrorKind::TooManyLinks, "the file has 2^32 - 1 names"))?;
        self.set_links(inode, more);
        Ok(())
    }

    /// Takes one link from an inode, if it has any; how many are left. Open handles live on where the last one goes, unless the
    /// caller then marks the inode as replaced.
    pub(crate) fn unlink(&mut self, store: &Store, inode: &Inode) -> Result<u32> {
        if inode.links(store)? > 0 {
            inode.forget_replaced(store)?;
        }
        let place = inode.field(at::LINKS);
        let word = self.pending(place, || store.runtime.region.load(place))?;
        let links =
            inode::decode_links(word, inode.number)?.saturating_sub(u32::from(!mistake(Mistake::LinkKept)));
        self.set_links(inode, links);
        Ok(links)
    }

    /// Lets two inodes change contents: the root words, and with them what they name.
    pub(crate) fn swap_contents(&mut self, store: &Store, one: &Inode, other: &Inode) -> Result<()> {
        let (one, other) = (one.field(at::ROOT), other.field(at::ROOT));
        let (first, second) = (store.runtime.region.load(one)?, store.runtime.region.load(other)?);
        self.set(one, second);
        self.set(other, first);
        Ok(())
    }

    /// Makes it real, durably and all at once. `directories`, all different, are those it changes names of.
    pub(crate) fn commit(self, store: &Store, directories: &[Directory]) -> Result<()> {
        self.commit_by(store, directories, |records, flushed| {
            store.journal.commit(records, flushed).map(drop)
        })
    }

    /// As [`Edit::commit`], as part of the transaction that `commit` makes of the words.
    pub(super) fn commit_by(
        self,
        store: &Store,
        directories: &[Directory],
        commit: impl FnOnce(&[Record], Flushed) -> Result<()>,
    ) -> Result<()> {
        let changes: Vec<Change<'_>> = directories
            .iter()
            .map(|directory| store.runtime.begin_change(directory.inode.place))
            .collect::<Result<_>>()?;
        commit(&self.records, self.flushed)?;
        for directory in directories {
            directory.inode.touch(store)?;
        }
        drop(changes);
        Ok(())
    }

    fn pending(&self, place: PoolOffset, stored: impl FnOnce() -> Result<u64>) -> Result<u64> {
        match self.records.iter().find(|record| record.place == place) {
            Some(record) => Ok(record.value),
            None => stored(),
        }
    }

    fn set(&mut self, place: PoolOffset, value: u64) {
        match self.records.iter_mut().find(|record| record.place == place) {
            Some(record) => record.value = value,
            None => self.records.push(Record { place, value }),
        }
    }
}
