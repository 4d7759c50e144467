//! Numbered locks and shared memory of an open inode, for databases.

use super::Inode;
use crate::error::Result;
use crate::journal::Store;

/// What handles of this process hold of an inode's locks and shared memory.
#[derive(Default)]
pub(crate) struct Local {}

/// Frees the volatile blocks that hang from an inode which nobody has open any more. The caller holds its lock.
pub(crate) fn release_extension(_store: &Store, _inode: &Inode) -> Result<()> {
    Ok(())
}

/// Takes back what the dead member of `slot` held of an inode's locks and shared memory.
pub(crate) fn release_member(_store: &Store, _inode: &Inode, _slot: u32) -> Result<()> {
    Ok(())
}
