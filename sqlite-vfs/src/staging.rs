//! The open transaction of a database file: its writes in a batch, until they are published as one or dropped.
//!
//! | state | from | to |
//! |---|---|---|
//! | idle | | open, at the first write |
//! | open | idle | complete, at FCNTL_SYNC; idle, when dropped |
//! | complete | open | published and idle or open and empty, at xSync or COMMIT_PHASETWO |
//! | waiting | open | published, when the super-journal goes; open, when written to again (a rollback) |

use crate::error::{OrCode, Outcome, dropping_failure};
use crate::ffi::code;
use crate::header::Header;
use crate::pools::PoolRef;
use crate::super_journal::{self, Ticket};
use daxcow::{Batch, File};

/// The staged writes of one file handle. `batch` is closed where `waiting` is there.
pub(crate) struct Staging {
    header: Header,
    /// Closed while nothing is staged, and kept for the next transaction.
    batch: Option<Batch>,
    /// All writes of the transaction are in `batch`.
    complete: bool,
    waiting: Option<Ticket>,
}

impl Staging {
    pub(crate) fn new() -> Staging {
        Staging { header: Header::default(), batch: None, complete: false, waiting: None }
    }

    /// The batch to change, opened or taken back from the super-journal.
    fn open(&mut self, file: &File) -> daxcow::Result<&mut Batch> {
        self.complete = false;
        let waiting = self.waiting.take().and_then(|ticket| super_journal::take_back(&ticket));
        if waiting.is_some() {
            self.batch = waiting;
        }
        match &mut self.batch {
            Some(batch) => {
                batch.reopen()?;
                Ok(batch)
            }
            closed => Ok(closed.insert(file.batch()?)),
        }
    }

    /// Stages a write. A failed one drops the whole transaction, as SQLite is bound to roll it back.
    pub(crate) fn write(&mut self, file: &File, from: &[u8], offset: u64) -> Outcome<()> {
        self.header.written(from, offset);
        // Busy here leaves nothing staged that was not, so SQLite may try again.
        let batch = self.open(file).or_code(code::IOERR_WRITE)?;
        batch
            .write_at(from, offset)
            .inspect_err(|_| self.discard())
            .map_err(|error| dropping_failure(&error, code::IOERR_WRITE))
    }

    /// Stages a change of the size.
    pub(crate) fn truncate(&mut self, file: &File, size: u64) -> Outcome<()> {
        let batch = self.open(file).or_code(code::IOERR_TRUNCATE)?;
        batch
            .set_len(size)
            .inspect_err(|_| self.discard())
            .map_err(|error| dropping_failure(&error, code::IOERR_TRUNCATE))
    }

    /// Reads what the transaction sees.
    pub(crate) fn read(&mut self, file: &File, into: &mut [u8], offset: u64) -> daxcow::Result<usize> {
        match (&self.waiting, &self.batch) {
            (Some(ticket), _) => super_journal::peek(ticket, |batch| match batch {
                Some(batch) if !batch.is_empty() => batch.read_at(into, offset),
                _ => file.read_at(into, offset),
            }),
            (None, Some(batch)) if !batch.is_empty() => batch.read_at(into, offset),
            (None, _) if self.header.read(file, into, offset) => Ok(into.len()),
            (None, _) => self.header.learn(file, into, offset, |into| file.read_at(into, offset)),
        }
    }

    /// The size that the transaction sees, in bytes.
    pub(crate) fn size(&self, file: &File) -> daxcow::Result<u64> {
        let size = |batch: Option<&Batch>| match batch {
            Some(batch) if !batch.is_empty() => Ok(batch.len()),
            _ => file.len(),
        };
        match &self.waiting {
            None => size(self.batch.as_ref()),
            Some(ticket) => super_journal::peek(ticket, size),
        }
    }

    /// Whether there are staged writes.
    pub(crate) fn is_staged(&self) -> bool {
        let staged = |batch: Option<&Batch>| batch.is_some_and(|batch| !batch.is_empty());
        match &self.waiting {
            None => staged(self.batch.as_ref()),
            Some(ticket) => super_journal::peek(ticket, staged),
        }
    }

    /// Notes that all writes of the transaction are in.
    pub(crate) fn complete(&mut self) {
        self.complete = self.batch.is_some();
    }

    /// Notes the same for a transaction over several databases, which `super_journal` commits.
    pub(crate) fn wait_for(&mut self, super_journal: &[u8], pool: &PoolRef) {
        if let Some(batch) = self.batch.take_if(|batch| !batch.is_empty()) {
            self.header.dropped();
            self.waiting = Some(super_journal::wait(super_journal, PoolRef::clone(pool), batch));
        }
    }

    /// Publishes a complete transaction, durably; one that is not complete, or waits, stays as it is.
    pub(crate) fn publish_complete(&mut self) -> Outcome<()> {
        if self.complete { self.publish() } else { Ok(()) }
    }

    /// Publishes what is staged, durably. A failure drops it.
    pub(crate) fn publish(&mut self) -> Outcome<()> {
        self.complete = false;
        match &mut self.batch {
            Some(batch) if !batch.is_empty() => {
                let committed = batch.commit();
                self.header.published(batch.committed_version().filter(|_| committed.is_ok()));
                committed
                    .inspect_err(|_| self.discard())
                    .map_err(|error| dropping_failure(&error, code::IOERR_FSYNC))
            }
            _ => Ok(()),
        }
    }

    /// Drops what is staged and lets others open a batch.
    pub(crate) fn discard(&mut self) {
        self.header.dropped();
        self.complete = false;
        if let Some(batch) = &mut self.batch {
            batch.close();
        }
        if let Some(ticket) = self.waiting.take() {
            super_journal::give_up(&ticket);
        }
    }

    /// Lets others open a batch, if nothing is staged.
    pub(crate) fn release_if_empty(&mut self) {
        if !self.is_staged() {
            self.discard();
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        self.discard();
    }
}
