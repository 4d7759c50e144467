//! Pages that SQLite reads in place (xFetch): pinned views of the pool.

use daxcow::{File, View};
use std::ptr::NonNull;

/// The views of one handle that are out, and how much of the file may be read so.
pub(crate) struct Fetched {
    /// SQLite's mmap_size, in bytes: nothing at or beyond this offset is fetched.
    limit: u64,
    /// By address; few at a time, the last one taken is the first to come back.
    views: Vec<(NonNull<u8>, View)>,
    /// The medium lost bytes under a view.
    failed: bool,
}

impl Fetched {
    pub(crate) fn new() -> Fetched {
        Fetched { limit: 0, views: Vec::new(), failed: false }
    }

    /// Whether bytes under a view were lost: from then on the handle's reads fail.
    pub(crate) fn is_failed(&self) -> bool {
        self.failed
    }

    /// Sets the limit unless `limit` is negative; returns the one before.
    pub(crate) fn set_limit(&mut self, limit: i64) -> i64 {
        let before = i64::try_from(self.limit).unwrap_or(i64::MAX);
        if let Ok(limit) = u64::try_from(limit) {
            self.limit = limit;
        }
        before
    }

    /// A pointer to `len` bytes at `offset`, unless they are beyond the limit or not in one piece.
    pub(crate) fn fetch(
        &mut self,
        file: &File,
        offset: u64,
        len: usize,
    ) -> daxcow::Result<Option<NonNull<u8>>> {
        let end = offset.saturating_add(len as u64);
        if end > self.limit {
            return Ok(None);
        }
        let Some(view) = file.view(offset, len)? else { return Ok(None) };
        let pointer = NonNull::new(view.as_ptr().cast_mut());
        self.views.extend(pointer.map(|pointer| (pointer, view)));
        Ok(pointer)
    }

    /// Ends one use of `pointer`.
    pub(crate) fn unfetch(&mut self, pointer: NonNull<u8>) {
        if let Some(at) = self.views.iter().rposition(|(address, _)| *address == pointer) {
            self.failed |= self.views.swap_remove(at).1.is_failed();
        }
    }
}
