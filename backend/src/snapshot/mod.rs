//! Snapshots, clones, rollback and diff: trees of files that share blocks.
//!
//! ```text
//!   cut     gate closed: every file of the paths is found and its root raised     one instant for all files
//!   build   gate open: new inodes and directories that nothing names
//!   publish one transaction gives the tree its name
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`cut`] | the state of a set of paths at one instant |
//! | [`build`] | making a tree of new inodes of it |
//! | [`keep`] | create, list and delete what lies under `/.snapshots` |
//! | [`rollback`] | putting a snapshot back in place |
//! | [`diff`] | what differs between two trees |
//! | [`identity`] | what names a snapshot in every pool |
//! | [`send`] | a snapshot, or what is new in it, as a stream |
//! | [`receive`] | a snapshot from a stream |
//!
//! The time of a cut depends on the number of files and on nothing else.

pub(crate) mod build;
pub(crate) mod cut;
pub(crate) mod diff;
pub(crate) mod identity;
pub(crate) mod keep;
pub(crate) mod receive;
pub(crate) mod rollback;
pub(crate) mod send;

/// The attribute of an inode of a snapshot that was asked for by its path.
pub(crate) const ATTRIBUTE_SCOPE: u64 = 1;
/// The attribute of a directory of a snapshot that only leads to what was asked for.
pub(crate) const ATTRIBUTE_WAY: u64 = 2;
