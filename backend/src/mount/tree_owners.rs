//! Blocks that may have one owner only: those of directories and of the inode table are changed in place, whatever their count
//! says. Files may share everything else.

use std::collections::HashMap;

use super::census::{Census, InodeFacts};
use super::finding::{Finding, Remedy};
use crate::error::{ErrorKind, Result};
use crate::extent_map::Tree;
use crate::format::inode::Kind;
use crate::format::layout::TABLE_INODE;
use crate::inode::Inode;
use crate::journal::Store;
use crate::units::{BlockNumber, FileBlock, InodeNumber};

/// Checks that no other map leads to a block of a directory or of the inode table.
pub(super) fn check(
    store: &Store,
    census: &Census<'_>,
    inodes: &[InodeFacts],
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let mut owners: HashMap<BlockNumber, InodeNumber> = HashMap::new();
    let mut shared = |number: InodeNumber, inode: &Inode| {
        each_block(store, inode, |_, block| {
            if census.count(block) > 1 {
                owners.entry(block).or_insert(number);
            }
        })
    };
    shared(InodeNumber(0), &Inode { number: InodeNumber(0), place: TABLE_INODE })?;
    for facts in inodes.iter().filter(|facts| facts.kind.kind == Kind::Directory) {
        shared(facts.inode.number, &facts.inode)?;
    }
    if owners.is_empty() {
        return Ok(());
    }
    for facts in inodes {
        let number = facts.inode.number;
        each_block(store, &facts.inode, |index, block| {
            if let Some(&owner) = owners.get(&block).filter(|&&owner| owner != number) {
                let place = format!("block {} of {number}", index.0);
                let expected = format!("a block that is not part of {owner}");
                findings.push(Finding::new(
                    "cross-linked block",
                    place,
                    expected,
                    block,
                    Remedy::OwnCopy(facts.inode, index.0),
                ));
            }
        })?;
    }
    Ok(())
}

/// Shows `see` the blocks that an inode's map leads to, up to where it is damaged: the census says so.
fn each_block(store: &Store, inode: &Inode, mut see: impl FnMut(FileBlock, BlockNumber)) -> Result<()> {
    let mut walk = || -> Result<()> {
        let tree = Tree::of(&store.space, inode.place)?;
        let end = FileBlock(tree.span());
        let mut at = FileBlock(0);
        while let Some((place, found)) = tree.next_mapped(&store.space, at, end)? {
            if let Some(mapped) = found.mapped {
                (0..found.blocks).for_each(|n| see(FileBlock(place.0 + n), mapped.block.add(n)));
            }
            at = FileBlock(place.0 + found.blocks);
        }
        Ok(())
    };
    match walk() {
        Err(error) if !matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::MediaError) => Err(error),
        _ => Ok(()),
    }
}
