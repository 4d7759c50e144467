//! Names: directories, and the operations that make, move and remove what they name.
//!
//! ```text
//! path --path--> components --resolve--> directory, name --directory--> bucket --bucket--> entry
//!                                             |
//!                     tree: one lane transaction an operation  (edit: the words of it)
//!                                             |
//!                     reclaim: what no name reaches any more gives its blocks back
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`path`] | paths inside a pool |
//! | `bucket` | one block of a directory: finding, packing |
//! | [`directory`] | hashed directories: looking up, listing, making room |
//! | [`edit`] | the words that a change of names stores as one |
//! | [`resolve`] | what a path names; no lock is taken |
//! | [`tree`] | create, rename, remove |
//! | `link` | further names, several at once |
//! | [`walk`] | every file below some paths |
//! | [`survey`] | looking at a directory that may be damaged |
//! | [`visited`] | where a walk has been |
//! | [`reclaim`] | freeing what has no name, and is not open, any more |
//!
//! Every change happens under the namespace lock, which protects the blocks of directories and the links of all inodes.
//! Readers take no lock: they read, then ask the directory's sequence counter whether anything moved, and only then
//! believe what they read. A directory has exactly one name and no other way in; there are no links to directories.

mod bucket;
pub(crate) mod directory;
pub(crate) mod edit;
mod link;
pub(crate) mod path;
pub(crate) mod reclaim;
pub(crate) mod resolve;
pub(crate) mod survey;
pub(crate) mod tree;
pub(crate) mod visited;
pub(crate) mod walk;

#[cfg(test)]
mod tests;

use crate::error::{Error, ErrorKind, Result};
use crate::format::dirent::Dirent;
use crate::format::inode::{Kind, ROOT_DIRECTORY, SNAPSHOT_DIRECTORY};
use crate::inode::table::{NewInode, Table};
use crate::journal::Store;
use crate::units::InodeNumber;
use directory::Directory;
use edit::Edit;

/// The deepest directory that what walks whole trees level by level goes into: snapshots, clones, rollbacks and diffs.
pub(crate) const DEPTH_MAX: usize = 1000;

/// Fails with [`ErrorKind::TooLarge`] for a directory `depth` levels below where a walk began, if that is too deep.
pub(crate) fn check_depth(depth: usize) -> Result<()> {
    if depth <= DEPTH_MAX {
        return Ok(());
    }
    let message = format!("directories are nested deeper than {DEPTH_MAX} levels");
    Err(Error::new(ErrorKind::TooLarge, message))
}

/// The name of the snapshot directory in the root directory.
pub(crate) const SNAPSHOT_DIRECTORY_NAME: &[u8] = b".snapshots";

/// Makes the root directory and `/.snapshots` in a pool whose inode table is empty. Nobody else has the pool open.
pub(crate) fn format_namespace(store: &Store) -> Result<()> {
    let (root, root_flushed) = Table::create(store, NewInode::empty(Kind::Directory))?;
    let (snapshots, flushed) = Table::create(store, NewInode::empty(Kind::Directory))?;
    expect_number(root.number, ROOT_DIRECTORY)?;
    expect_number(snapshots.number, SNAPSHOT_DIRECTORY)?;
    let directory = Directory { inode: root, generation: root.kind(store)?.generation };
    let mut edit = Edit::after(root_flushed.join(flushed));
    edit.set_links(&root, 1);
    edit.set_links(&snapshots, 1);
    let name = SNAPSHOT_DIRECTORY_NAME.to_vec();
    let entry = Dirent {
        inode: snapshots.number,
        generation: snapshots.kind(store)?.generation,
        kind: Kind::Directory,
        hash: directory::hash(store, &name),
        name,
    };
    edit.insert(store, &directory, &entry)?;
    edit.commit(store, &[directory])
}

fn expect_number(found: InodeNumber, expected: InodeNumber) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::AlreadyExists,
        format!("the inode table is not empty: its first free inode is {found}, not {expected}"),
    ))
}
