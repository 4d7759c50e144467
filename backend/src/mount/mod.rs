//! Pools as a whole: creating, opening and closing them, and what is done to all of one.
//!
//! | module | what |
//! |---|---|
//! | [`options`] | how to create or open |
//! | [`create`] | a new pool |
//! | [`open`] | the first member, which recovers, and those who join |
//! | [`view`] | reading snapshots without writing to the pool |
//! | [`close`] | the last handle, and the last member |
//! | [`recover`] | a member that died: its lanes, ledgers and marks; inodes without a name |
//! | [`census`], `workers` | counting every reference by walking all maps, on all processors |
//! | [`rebuild`] | reference counts from a census |
//! | [`check`], [`names`], `tree_owners` | looking for contradictions, online |
//! | `finding`, [`repair`] | what puts them right without guessing, when asked |
//! | [`scrub`] | reading everything, to find memory that is lost |
//! | [`grow`], [`trim`] | more space from the host, unused space back to it |
//! | [`sync`] | everything durable |
//! | [`usage`], [`info`] | what there is |
//!
//! One byte of the host file, beyond its end, is locked while somebody opens or closes; another is held by every member.
//! Who can have the second alone is the only one there: the first to open, who wipes all volatile state, raises the
//! epoch and recovers, or the last to close, who may call the counts clean.

pub(crate) mod census;
pub(crate) mod check;
pub(crate) mod close;
pub(crate) mod create;
mod finding;
pub(crate) mod grow;
pub(crate) mod info;
pub(crate) mod names;
pub(crate) mod open;
pub(crate) mod options;
pub(crate) mod rebuild;
pub(crate) mod recover;
pub(crate) mod repair;
pub(crate) mod scrub;
mod superblocks;
pub(crate) mod sync;
mod tree_owners;
pub(crate) mod trim;
pub(crate) mod usage;
mod view;
mod workers;

pub use options::{CreateOptions, OpenOptions};

#[cfg(test)]
mod tests;
