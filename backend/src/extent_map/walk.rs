//! The words that name data blocks: all of a tree, and the one at a place.
//!
//! A word in a leaf that several files share names its block for all of them. Whoever may store there, with nobody else
//! changing anything in the pool, moves the block for all its owners by one store.

use super::lookup::{Tree, load_entry};
use crate::error::Result;
use crate::format::entry::{Entry, Root, span};
use crate::format::lane::Record;
use crate::space::counts::read_node;
use crate::space::{Reference, Space};
use crate::units::{BlockNumber, FileBlock, PoolOffset};

/// A word that names a data block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Naming {
    /// What it says.
    pub(crate) entry: Entry,
    /// The leaf it stands in; nothing where it is the root word of a file of one block.
    pub(crate) leaf: Option<BlockNumber>,
    place: PoolOffset,
    slot: u64,
}

impl Naming {
    /// Where it stands.
    pub(crate) fn place(&self) -> PoolOffset {
        self.place
    }

    /// The store that makes it name `block` instead.
    pub(crate) fn renamed(&self, block: BlockNumber) -> Record {
        let entry = Entry { block, ..self.entry };
        let value = match self.leaf {
            Some(_) => entry.encode(0, self.slot),
            None => Root { entry, height: 0 }.encode(),
        };
        Record { place: self.place, value }
    }
}

impl Tree {
    /// The word that names the block at `at`; nothing for a hole.
    pub(crate) fn naming(&self, space: &Space, at: FileBlock) -> Result<Option<Naming>> {
        match self.root {
            Some(root) if root.height == 0 => {
                let naming = Naming { entry: root.entry, leaf: None, place: self.slot, slot: 0 };
                Ok((at.0 == 0).then_some(naming))
            }
            _ => {
                let Some(leaf) = self.node_at(space, at, 1)? else { return Ok(None) };
                let slot = at.0 % span(1);
                let entry = load_entry(space, leaf, 0, slot)?;
                let place = leaf.offset().add(slot * 8);
                Ok(entry.map(|entry| Naming { entry, leaf: Some(leaf), place, slot }))
            }
        }
    }

    /// Shows `visit` every data block of the tree and its place in the file, in order, below the nodes that `enter` lets it
    /// into; `enter` is asked with the first file block below each node and its level. Words that read as nothing are passed over: a walk without the file's
    /// lock may meet anything, and whoever walks so looks again before believing what was found.
    pub(crate) fn walk(
        &self,
        space: &Space,
        enter: &mut dyn FnMut(FileBlock, BlockNumber, u8) -> bool,
        visit: &mut dyn FnMut(FileBlock, Entry) -> Result<()>,
    ) -> Result<()> {
        match self.root {
            Some(root) => walk(space, root.entry, root.height, 0, enter, visit),
            None => Ok(()),
        }
    }

    /// As [`Tree::walk`], of the tree below a reference to its root.
    pub(crate) fn walk_reference(
        space: &Space,
        root: Reference,
        enter: &mut dyn FnMut(FileBlock, BlockNumber, u8) -> bool,
        visit: &mut dyn FnMut(FileBlock, Entry) -> Result<()>,
    ) -> Result<()> {
        walk(space, Entry::of(root.block), root.level, 0, enter, visit)
    }
}

fn walk(
    space: &Space,
    entry: Entry,
    level: u8,
    base: u64,
    enter: &mut dyn FnMut(FileBlock, BlockNumber, u8) -> bool,
    visit: &mut dyn FnMut(FileBlock, Entry) -> Result<()>,
) -> Result<()> {
    if space.check_block(entry.block, "map entry").is_err() {
        return Ok(());
    }
    if level == 0 {
        return visit(FileBlock(base), entry);
    }
    if !enter(FileBlock(base), entry.block, level) {
        return Ok(());
    }
    let words = read_node(&space.runtime.region, entry.block)?;
    for (slot, &word) in (0..).zip(words.iter()) {
        if let Ok(Some(child)) = Entry::decode(word, level - 1, slot) {
            walk(space, child, level - 1, base + slot * span(level - 1), enter, visit)?;
        }
    }
    Ok(())
}
