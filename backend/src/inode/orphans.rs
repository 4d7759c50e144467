//! Inodes without a name that nobody has freed yet: a dead member left them to an operation that holds no lock.
//!
//! Every operation asks whether there are some, so the answer "none" is one load of a word that nobody stores to: a lock
//! would move its line between the threads of a process with every operation.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::Inode;

/// A list of inodes that wait to be freed.
#[derive(Default)]
pub(crate) struct Orphans {
    /// Whether the list has any; changes with the list locked.
    any: AtomicBool,
    list: Mutex<Vec<Inode>>,
}

impl Orphans {
    /// Adds inodes to the list.
    pub(crate) fn add(&self, inodes: impl IntoIterator<Item = Inode>) {
        let mut list = self.list.lock();
        list.extend(inodes);
        self.any.store(!list.is_empty(), Ordering::Release);
    }

    /// Takes all of them.
    #[inline]
    pub(crate) fn take(&self) -> Vec<Inode> {
        if self.any.load(Ordering::Acquire) { self.take_listed() } else { Vec::new() }
    }

    #[cold]
    fn take_listed(&self) -> Vec<Inode> {
        let mut list = self.list.lock();
        self.any.store(false, Ordering::Release);
        std::mem::take(&mut *list)
    }
}
