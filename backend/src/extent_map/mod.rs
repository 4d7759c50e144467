//! The extent map of a file: a radix tree of map nodes, like a page table.
//!
//! ```text
//! inode.root --> node (level 2) --> node (level 1) --> data block (level 0)
//!                512 entries        512 entries
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`lookup`] | what lies at a file block, and for how many blocks |
//! | `commit` | making a staged change real |
//! | [`walk`] | every word of a tree that names a data block, and changing one for all who share it |
//! | [`stage`] | building a change beside the tree: shadow nodes, and the few words whose publish makes it real |
//!
//! A tree is *exclusive* along a path where every reference count from the root down is 1; there words are changed in
//! place. Everything below a shared node is shared, and is copied before it changes. Whatever a word says is checked
//! before it is used; the tree's height bounds every descent.

mod commit;
pub(crate) mod lookup;
pub(crate) mod stage;
pub(crate) mod walk;

pub(crate) use lookup::{Found, Mapped, Tree};
pub(crate) use stage::{Change, Content, Staged};
pub(crate) use walk::Naming;
