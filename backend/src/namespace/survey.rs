//! Looking at a directory that may be damaged: everything that contradicts the format is told, and what is good is told all the
//! same. The caller holds the namespace lock, or has the pool to itself.

use std::collections::HashSet;

use super::bucket::{self, Bucket};
use super::directory::Directory;
use super::edit::Edit;
use crate::error::{Error, Result};
use crate::extent_map::Tree;
use crate::format::dirent::{self, Dirent};
use crate::format::lane::Record;
use crate::journal::Store;
use crate::pmem::Flushed;
use crate::units::{BlockNumber, FileBlock, PoolOffset};

/// A slot of a bucket, where a name begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Slot {
    /// The bucket's word of occupied slots.
    pub(crate) occupied: PoolOffset,
    /// The bucket's split word.
    pub(crate) split: PoolOffset,
    pub(crate) index: usize,
}

impl Slot {
    /// Where the name lies.
    pub(crate) const fn place(&self) -> PoolOffset {
        PoolOffset(self.occupied.0 - dirent::OCCUPIED_AT + (self.index * dirent::SLOT_BYTES) as u64)
    }
}

/// What a directory holds.
pub(crate) enum Sight {
    /// A name.
    Name {
        slot: Slot,
        entry: Dirent,
        /// It lies in the bucket of its hash.
        in_place: bool,
        /// It lies over another name.
        overlaps: bool,
    },
    /// A slot that is said to hold a name, and does not.
    NoName(Slot),
    /// Words of a bucket's header that are not what the rest says they are.
    Words { place: PoolOffset, expected: String, found: String, right: Vec<Record> },
    /// A child that a split bucket should have.
    NoChild { node: u64, depth: u32 },
    /// A bucket that no other leads to.
    Stray { node: u64 },
    /// What cannot be read at all.
    Unreadable(Error),
}

/// Shows `see` everything in `directory`.
pub(crate) fn survey(store: &Store, directory: &Directory, see: &mut dyn FnMut(Sight)) -> Result<()> {
    let tree = match Tree::of(&store.space, directory.inode.place) {
        Ok(tree) => tree,
        Err(error) => {
            see(Sight::Unreadable(error));
            return Ok(());
        }
    };
    let mut survey = Survey { store, tree, see, met: HashSet::new(), whole: true };
    let mut waiting = vec![(0, 0)];
    while let Some((node, depth)) = waiting.pop() {
        survey.met.insert(node);
        if survey.bucket(node, depth)? {
            waiting.extend((0..dirent::FANOUT).map(|nibble| (dirent::child(node, nibble), depth + 1)));
        }
    }
    if survey.whole { survey.strays() } else { Ok(()) }
}

struct Survey<'a> {
    store: &'a Store,
    tree: Tree,
    see: &'a mut dyn FnMut(Sight),
    met: HashSet<u64>,
    /// Everything could be read so far.
    whole: bool,
}

impl Survey<'_> {
    fn unreadable(&mut self, error: Error) {
        self.whole = false;
        (self.see)(Sight::Unreadable(error));
    }

    /// Looks at one bucket; whether it is split.
    fn bucket(&mut self, node: u64, depth: u32) -> Result<bool> {
        let block =
            match self.tree.find(&self.store.space, FileBlock(node), 1, false).map(|found| found.mapped) {
                Ok(Some(mapped)) if !mapped.unwritten => mapped.block,
                Ok(None) if depth == 0 => return Ok(false),
                Ok(_) => {
                    (self.see)(Sight::NoChild { node, depth });
                    return Ok(false);
                }
                Err(error) => {
                    self.unreadable(error);
                    return Ok(false);
                }
            };
        let bucket = Bucket::at(node, depth, block);
        if !self.header(&bucket, block)? {
            return Ok(false);
        }
        let split = self.store.runtime.region.load(bucket.split_place())?;
        let has_children = depth < dirent::DEPTH_MAX && self.has_children(node);
        let right = if has_children { dirent::SPLIT } else { 0 };
        if split != right && (split != dirent::SPLIT || depth == dirent::DEPTH_MAX) {
            let record = Record { place: bucket.split_place(), value: right };
            self.words(record.place, format!("split word {right:#x}"), format!("{split:#x}"), vec![record]);
        }
        if split == dirent::SPLIT && depth < dirent::DEPTH_MAX || has_children {
            return Ok(true);
        }
        self.names(&bucket).map(|()| false)
    }

    fn words(&mut self, place: PoolOffset, expected: String, found: String, right: Vec<Record>) {
        (self.see)(Sight::Words { place, expected, found, right });
    }

    /// Judges the two words that say where the bucket belongs; whether the rest of it can be read.
    fn header(&mut self, bucket: &Bucket, block: BlockNumber) -> Result<bool> {
        let region = &self.store.runtime.region;
        let place = block.offset();
        let found = [region.load(place)?, region.load(place.add(8))?];
        let right = dirent::header_words(bucket.node, bucket.depth);
        if found == right {
            return Ok(true);
        }
        let text = |words: [u64; 2]| format!("header {:#x} {:#x}", words[0], words[1]);
        // Where all names belong here there is no doubt which bucket it is.
        let entries = bucket.entries(self.store).unwrap_or_default();
        if entries.is_empty() || !entries.iter().all(|entry| bucket.holds(entry.hash)) {
            self.unreadable(Error::corrupt("directory block", block, text(right), text(found)));
            return Ok(false);
        }
        let records = [(place, right[0]), (place.add(8), right[1])];
        let records = records.map(|(place, value)| Record { place, value }).to_vec();
        self.words(place, text(right), text(found), records);
        Ok(true)
    }

    fn has_children(&self, node: u64) -> bool {
        let first = FileBlock(dirent::child(node, 0));
        let end = FileBlock(first.0 + dirent::FANOUT);
        matches!(self.tree.next_mapped(&self.store.space, first, end), Ok(Some(_)))
    }

    fn names(&mut self, bucket: &Bucket) -> Result<()> {
        let place = bucket.occupied_place();
        let word = self.store.runtime.region.load(place)?;
        if word & 1 != 0 {
            let record = Record { place, value: word & !1 };
            self.words(place, "no name in the header's slot".into(), format!("{word:#x}"), vec![record]);
        }
        let mut used = 1_u64;
        for index in (1..dirent::SLOTS).filter(|index| word >> index & 1 == 1) {
            let slot = Slot { occupied: place, split: bucket.split_place(), index };
            match bucket.entry(self.store, index) {
                Ok(entry) => {
                    let slots = ((1 << dirent::slots_for(entry.name.len())) - 1) << index;
                    let overlaps = used & slots != 0;
                    used |= slots;
                    let in_place = bucket.holds(entry.hash);
                    (self.see)(Sight::Name { slot, entry, in_place, overlaps });
                }
                Err(_) => (self.see)(Sight::NoName(slot)),
            }
        }
        Ok(())
    }

    /// Blocks of the directory that no bucket leads to.
    fn strays(&mut self) -> Result<()> {
        let end = FileBlock(self.tree.span());
        let mut at = FileBlock(0);
        loop {
            match self.tree.next_mapped(&self.store.space, at, end) {
                Ok(Some((place, found))) => {
                    for node in place.0..place.0 + found.blocks {
                        if !self.met.contains(&node) {
                            (self.see)(Sight::Stray { node });
                        }
                    }
                    at = FileBlock(place.0 + found.blocks);
                }
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.unreadable(error);
                    return Ok(());
                }
            }
        }
    }
}

/// Puts an empty bucket where a split one has lost a child.
pub(crate) fn restore_bucket(store: &Store, directory: &Directory, node: u64, depth: u32) -> Result<()> {
    let mut fresh = Vec::new();
    bucket::pack(node, depth, vec![], &mut fresh)?;
    super::directory::publish(store, directory, fresh, &[], Flushed::none())
}

/// Takes the name at `slot` away, and puts `right` where it is looked for, in one transaction. False where the bucket has changed
/// since: it has to be looked at anew.
pub(crate) fn replace_name(
    store: &Store,
    directory: &Directory,
    slot: &Slot,
    right: Option<&Dirent>,
) -> Result<bool> {
    let region = &store.runtime.region;
    let before = region.load(slot.occupied)?;
    let mut edit = Edit::new();
    if let Some(entry) = right {
        super::directory::make_room(store, directory, entry.hash, entry.name.len())?;
        if region.load(slot.split)? != 0 || region.load(slot.occupied)? != before {
            return Ok(false);
        }
        edit.insert(store, directory, entry)?;
    }
    edit.vacate(store, slot.occupied, slot.index)?;
    edit.commit(store, std::slice::from_ref(directory))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_the_hashes_of_its_prefix() {
        let hash = 0xa3f0_0000_0000_0000;
        let (mut node, mut depth) = (0, 0);
        for _ in 0..4 {
            assert!(Bucket::at(node, depth, BlockNumber(1)).holds(hash));
            let other = dirent::child(node, dirent::nibble(hash, depth) ^ 1);
            assert!(!Bucket::at(other, depth + 1, BlockNumber(1)).holds(hash));
            (node, depth) = (dirent::child(node, dirent::nibble(hash, depth)), depth + 1);
        }
    }
}
