//! What a check finds: a problem, and what would put it right without guessing.

use std::fmt;

use super::check::Problem;
use crate::error::Error;
use crate::format::dirent::Dirent;
use crate::format::inode::KindWord;
use crate::format::lane::Record;
use crate::inode::Inode;
use crate::namespace::directory::Directory;
use crate::namespace::survey::Slot;
use crate::units::{InodeNumber, PoolOffset};

/// A problem and its remedy.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) problem: Problem,
    pub(super) remedy: Remedy,
}

/// What puts a problem right. None of them takes away what anybody could still read.
#[derive(Clone, Debug)]
pub(super) enum Remedy {
    /// Nobody knows what was there.
    None,
    /// Another remedy comes first.
    Later,
    /// Counting anew.
    Recount,
    /// Storing words whose right values follow from the rest of the pool, as one transaction.
    Words(Vec<Record>),
    /// Storing the word for what is lost.
    Lose(Record),
    /// Taking away a name that leads nowhere, or to what has another one.
    RemoveName(Directory, Slot),
    /// Putting a name where it is looked for.
    MoveName(Directory, Slot, Box<Dirent>),
    /// An empty bucket where a split one has lost a child.
    EmptyBucket(Directory, u64, u32),
    /// A name for what has none.
    Attach(Inode, KindWord),
    /// Freeing what was removed.
    Free(InodeNumber),
    /// A copy of a block of its own, for this block of this file.
    OwnCopy(Inode, u64),
}

impl Finding {
    pub(super) fn new(
        structure: &str,
        place: impl fmt::Display,
        expected: impl fmt::Display,
        found: impl fmt::Display,
        remedy: Remedy,
    ) -> Finding {
        Finding { problem: Problem::new(structure, place, expected, found), remedy }
    }

    pub(super) fn of(structure: &str, place: impl fmt::Display, error: &Error, remedy: Remedy) -> Finding {
        Finding { problem: Problem::of(structure, place, error), remedy }
    }
}

impl Remedy {
    /// One word to store.
    pub(super) fn word(place: PoolOffset, value: u64) -> Remedy {
        Remedy::Words(vec![Record { place, value }])
    }
}
