//! Making a staged change real.

use super::Staged;
use crate::error::Result;
use crate::format::lane::Record;
use crate::journal::Store;
use crate::pmem::medium::Granularity;
use crate::pmem::{Flushed, Mistake, mistake};

/// References that may wait for a barrier before one is made for their sake.
const DEFERRED_MAX: usize = 16_384;

impl Staged {
    /// Two changes of different files as one.
    pub(crate) fn and(mut self, other: Staged) -> Staged {
        self.records.extend(other.records);
        self.dropped.extend(other.dropped);
        self.fresh.extend(other.fresh);
        self.raised.extend(other.raised);
        Staged { flushed: self.flushed.join(other.flushed), ..self }
    }

    /// Stores the records one by one, each whole by itself, after what `data` covers. Durable at return where a fence costs
    /// nothing to speak of; on a page medium durable with the next sync, and what was dropped stays counted until then.
    pub(crate) fn commit(self, store: &Store, data: Flushed) -> Result<()> {
        let Staged { records, flushed, dropped, .. } = self;
        let region = &store.runtime.region;
        let ready = region.fence(flushed.join(data))?;
        let lazy = region.granularity() == Granularity::Page;
        let mut published = Flushed::none();
        for Record { place, value } in records {
            let stored = region.publish(place, value, &ready)?;
            if lazy {
                stored.leave_unflushed();
            } else {
                published = published.join(region.flush(stored));
            }
        }
        if !lazy {
            region.fence(published)?;
            return store.space.lower_all(&dropped);
        }
        if mistake(Mistake::LoweredBeforeBarrier) {
            return store.space.lower_all(&dropped);
        }
        store.space.drop_later(dropped);
        if store.space.deferred() > DEFERRED_MAX { store.space.settle() } else { Ok(()) }
    }

    /// Stores the records and `more` as one transaction, durably, after what `data` covers. An error says that nothing was
    /// stored: damage found in what was dropped is logged, and keeps blocks counted that nobody needs.
    pub(crate) fn commit_atomic(mut self, store: &Store, data: Flushed, more: &[Record]) -> Result<()> {
        self.records.extend_from_slice(more);
        let flushed = std::mem::replace(&mut self.flushed, Flushed::none());
        if !self.records.is_empty() {
            store.journal.commit(&self.records, flushed.join(data))?;
        }
        if store.space.lower_all(&self.dropped).is_err() {
            tracing::error!("a committed transaction could not give back all that it replaced");
        }
        Ok(())
    }
}
