//! Where blocks are named: every file and place of it, found without a lock and looked at again behind the closed gate.

use std::collections::{HashMap, HashSet};

use crate::error::Result;
use crate::extent_map::{Naming, Tree};
use crate::format::inode::Kind;
use crate::format::layout::SLOT_COUNT;
use crate::inode::Inode;
use crate::inode::table::Table;
use crate::journal::Store;
use crate::units::{BlockNumber, FileBlock, InodeNumber};

/// A place of a file that named a block when it was looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Site {
    pub(super) inode: Inode,
    pub(super) generation: u32,
    pub(super) at: FileBlock,
}

/// The places where each of some blocks is named: one for each word, though many files may reach it.
pub(super) type Sites = HashMap<BlockNumber, Vec<Site>>;

/// A file to walk over.
#[derive(Clone, Copy)]
pub(super) struct Walked {
    pub(super) inode: Inode,
    pub(super) generation: u32,
}

impl Walked {
    /// The file `number`, if it is one now.
    pub(super) fn file(store: &Store, number: InodeNumber) -> Result<Option<Walked>> {
        let inode = Table::get(store, number)?;
        let kind = inode.kind(store)?;
        Ok((kind.kind == Kind::File).then_some(Walked { inode, generation: kind.generation }))
    }

    /// Shows `visit` its data blocks, but not those below shared nodes that are among `seen`, and adds the ones it meets.
    pub(super) fn walk(
        &self,
        store: &Store,
        seen: &mut HashSet<BlockNumber>,
        visit: &mut dyn FnMut(Site, BlockNumber) -> Result<()>,
    ) -> Result<()> {
        let space = &store.space;
        let tree = Tree::of(space, self.inode.place)?;
        let mut enter =
            |_: FileBlock, node, _: u8| !space.count(node).is_ok_and(|count| count > 1) || seen.insert(node);
        tree.walk(space, &mut enter, &mut |at, entry| {
            visit(Site { inode: self.inode, generation: self.generation, at }, entry.block)
        })
    }
}

/// All files of the pool.
pub(super) fn all_files(store: &Store) -> Result<Vec<Walked>> {
    let mut files = Vec::new();
    for number in 1..Table::capacity(store)? {
        files.extend(Walked::file(store, InodeNumber(number))?);
    }
    Ok(files)
}

/// Where the blocks that `wanted` asks for are named, in all files.
pub(super) fn find(store: &Store, wanted: &HashSet<BlockNumber>) -> Result<Sites> {
    let mut sites = Sites::new();
    let mut seen = HashSet::new();
    if !wanted.is_empty() {
        for file in all_files(store)? {
            file.walk(store, &mut seen, &mut |site, block| {
                if wanted.contains(&block) {
                    sites.entry(block).or_default().push(site);
                }
                Ok(())
            })?;
        }
    }
    Ok(sites)
}

/// Leaves that pins reach: pointers into their blocks have left the layer. The gate is closed while it lives.
pub(super) struct Pinned(HashSet<BlockNumber>);

impl Pinned {
    /// Those of all members.
    pub(super) fn find(store: &Store) -> Result<Pinned> {
        let space = &store.space;
        let mut leaves = HashSet::new();
        let mut seen = HashSet::new();
        for slot in 0..SLOT_COUNT {
            if !store.runtime.slot_in_use(slot)? {
                continue;
            }
            for reference in space.pinned_by(slot)? {
                let mut enter = |_: FileBlock, node: BlockNumber, level: u8| match level {
                    1 => {
                        leaves.insert(node);
                        false
                    }
                    _ => seen.insert(node),
                };
                Tree::walk_reference(space, reference, &mut enter, &mut |_, _| Ok(()))?;
            }
        }
        Ok(Pinned(leaves))
    }
}

/// The words that name `block`, at `sites`, if they are all there are and none is pinned. The gate is closed.
pub(super) fn namings(
    store: &Store,
    pinned: &Pinned,
    block: BlockNumber,
    sites: &[Site],
) -> Result<Option<Vec<Naming>>> {
    let mut namings: Vec<Naming> = Vec::with_capacity(sites.len());
    for site in sites {
        let kind = site.inode.kind(store)?;
        if kind.kind != Kind::File || kind.generation != site.generation {
            continue;
        }
        let tree = Tree::of(&store.space, site.inode.place)?;
        let Some(naming) = tree.naming(&store.space, site.at)?.filter(|naming| naming.entry.block == block)
        else {
            continue;
        };
        if naming.leaf.is_some_and(|leaf| pinned.0.contains(&leaf)) {
            return Ok(None);
        }
        namings.push(naming);
    }
    namings.sort_unstable_by_key(Naming::place);
    namings.dedup_by_key(|naming| naming.place());
    // A block that nobody names any more has been freed.
    let complete = !namings.is_empty() && namings.len() as u64 == u64::from(store.space.count(block)?);
    Ok(complete.then_some(namings))
}
