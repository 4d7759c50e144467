//! Whether files exist, asked again and again: for each transaction SQLite asks for a journal and a WAL that are not there.
//!
//! Each thread remembers its last questions with what their answers rest on, so that the same question costs no lookup
//! until somebody, in whatever process, changes a directory on the way.

use crate::pools::{self, OpenPool, PoolRef};
use daxcow::{ErrorKind, KnownName};
use std::cell::RefCell;
use std::sync::{Arc, Weak};

/// Questions that a thread remembers: two for each of some databases.
const NAMES_MAX: usize = 8;

struct Entry {
    name: Box<[u8]>,
    pool: Weak<OpenPool>,
    known: KnownName,
}

thread_local! {
    static ENTRIES: RefCell<Vec<Entry>> = const { RefCell::new(Vec::new()) };
}

/// Whether there is a file of the full name `name`; `None` if it leads through no pool.
pub(crate) fn exists(name: &[u8]) -> daxcow::Result<Option<bool>> {
    // A thread that is ending remembers nothing any more.
    let remembered = ENTRIES.try_with(|entries| remembered(&mut entries.borrow_mut(), name)).ok().flatten();
    let answer = match remembered {
        Some(answer) => answer.map(Some),
        None => pools::with_name(name, |pool, inner| {
            let mut known = KnownName::default();
            let exists = pool.pool.exists_known(inner, &mut known)?;
            if pool.inner_of(name) == Some(inner) {
                // Nothing is lost where it cannot be remembered.
                ENTRIES.try_with(|entries| remember(&mut entries.borrow_mut(), name, pool, known)).ok();
            }
            Ok(exists)
        }),
    };
    match answer {
        // A database's name may be so long that those of its journal and its WAL are too long.
        Err(error) if error.kind() == ErrorKind::NameTooLong => Ok(Some(false)),
        answer => answer,
    }
}

/// The pool that the full name `name` leads through, if this thread remembers whether there is such a file.
pub(crate) fn pool_of(name: &[u8]) -> Option<PoolRef> {
    let find =
        |entries: &RefCell<Vec<Entry>>| entries.borrow().iter().find(|entry| *entry.name == *name)?.pool();
    ENTRIES.try_with(find).ok().flatten()
}

impl Entry {
    /// The pool, if it is open still and this process's.
    fn pool(&self) -> Option<PoolRef> {
        self.pool.upgrade().filter(|pool| !pool.pool.is_inherited())
    }
}

fn remembered(entries: &mut [Entry], name: &[u8]) -> Option<daxcow::Result<bool>> {
    let entry = entries.iter_mut().find(|entry| *entry.name == *name)?;
    let pool = entry.pool()?;
    let inner = pool.inner_of(name)?;
    Some(pool.pool.exists_known(inner, &mut entry.known))
}

fn remember(entries: &mut Vec<Entry>, name: &[u8], pool: &PoolRef, known: KnownName) {
    entries.retain(|entry| *entry.name != *name && entry.pool.strong_count() > 0);
    if entries.len() == NAMES_MAX {
        entries.remove(0);
    }
    entries.push(Entry { name: name.into(), pool: Arc::downgrade(pool), known });
}
