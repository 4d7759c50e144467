//! Atomic batches: writes and truncates of a file that become visible and durable together.

use std::sync::Arc;

use super::refuse_replaced;
use crate::dax::batch::{Side, commit};
use crate::dax::mapping::{not_mapped, out_of_mappings};
use crate::error::{Error, ErrorKind, Result};
use crate::inode::open::OpenInode;
use crate::pmem::Flushed;
use crate::pool::Pool;

/// Any number of writes and truncates of one file, visible and durable together at [`Batch::commit`] or not at all.
/// Dropping it discards what was not committed. Owned by whoever holds it: it may move between threads.
pub struct Batch {
    pub(super) pool: Pool,
    pub(super) open: Arc<OpenInode>,
    pub(super) side: Option<Side>,
}

/// The side map of a batch of `open`.
fn opened<'a>(pool: &Pool, open: &OpenInode, side: &'a mut Option<Side>) -> Result<&'a mut Side> {
    refuse_replaced(pool, open)?;
    side.as_mut().ok_or_else(|| Error::new(ErrorKind::Stale, "the batch is closed"))
}

impl Batch {
    /// Writes all of `from` at byte `offset`; only this batch sees it.
    ///
    /// # Errors
    /// `NoSpace`, `TooLarge`, `MediaError`; what was written before stays in the batch.
    pub fn write_at(&mut self, from: &[u8], offset: u64) -> Result<()> {
        let from = &*not_mapped(from)?;
        let side = opened(&self.pool, &self.open, &mut self.side)?;
        side.write(&self.pool.core().store, offset, from)
    }

    /// Reads the file as it will be after the commit; fewer bytes only at its end.
    ///
    /// # Errors
    /// `MediaError`, `Corrupt`.
    pub fn read_at(&self, into: &mut [u8], offset: u64) -> Result<usize> {
        match &self.side {
            Some(side) => out_of_mappings(into, |into| side.read(&self.pool.core().store, offset, into)),
            None => Ok(0),
        }
    }

    /// Sets the size the file will have.
    ///
    /// # Errors
    /// As [`Batch::write_at`].
    pub fn set_len(&mut self, len: u64) -> Result<()> {
        let side = opened(&self.pool, &self.open, &mut self.side)?;
        side.set_len(&self.pool.core().store, len)
    }

    /// The size the file will have.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.side.as_ref().map_or(0, Side::len)
    }

    /// Whether a commit would change nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.side.as_ref().is_none_or(Side::is_unchanged)
    }

    /// Makes all of it visible and durable in one transaction; the batch is empty again and stays open.
    ///
    /// # Errors
    /// `NoSpace`, `Busy`, `Io`, `MediaError`: nothing is visible and the batch is as before.
    pub fn commit(&mut self) -> Result<()> {
        let side = opened(&self.pool, &self.open, &mut self.side)?;
        let store = &self.pool.core().store;
        let _mark = store.runtime.enter()?;
        commit(store, &mut [side], &[], Flushed::none())
    }

    /// What [`File::version`](super::File::version) was right after the last commit of this batch.
    #[must_use]
    pub fn committed_version(&self) -> Option<u64> {
        self.side.as_ref().and_then(Side::version)
    }

    /// Forgets everything since the last commit and lets others write the file, as dropping does; [`Batch::reopen`] begins anew.
    pub fn close(&mut self) {
        let store = &self.pool.core().store;
        if let Err(error) = self.side.take().map_or(Ok(()), |side| side.close(store)) {
            tracing::error!(%error, "a batch could not be closed");
        }
    }

    /// Begins anew after [`Batch::close`]; nothing happens where the batch is open.
    ///
    /// # Errors
    /// As [`File::batch`](super::File::batch).
    pub fn reopen(&mut self) -> Result<()> {
        if self.side.is_none() {
            refuse_replaced(&self.pool, &self.open)?;
            self.pool.writable()?;
            self.side = Some(Side::begin(&self.pool.core().store, &self.open.inode)?);
        }
        Ok(())
    }

    /// Forgets everything since the last commit.
    pub fn discard(&mut self) {
        let store = &self.pool.core().store;
        let discarded = self.side.as_mut().map_or(Ok(()), |side| side.discard(store));
        if let Err(error) = discarded {
            tracing::error!(%error, "a batch could not be discarded");
        }
    }

    pub(crate) fn side_of<'a>(&'a mut self, pool: &Pool) -> Result<&'a mut Side> {
        if !Arc::ptr_eq(self.pool.core(), pool.core()) {
            return Err(Error::new(ErrorKind::InvalidInput, "a batch of another pool"));
        }
        opened(&self.pool, &self.open, &mut self.side)
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.close();
        let core = self.pool.core();
        if let Err(error) = core.open.close(&core.store, &self.open) {
            tracing::error!(%error, "the file of a batch could not be closed");
        }
    }
}
