//! Making a staged change real.

use smallvec::SmallVec;

use super::Staged;
use crate::error::{Error, Result};
use crate::format::lane::Record;
use crate::journal::Store;
use crate::pmem::medium::Granularity;
use crate::pmem::{Flushed, Stored};
use crate::space::Reference;
use crate::units::BlockNumber;

/// References that may wait for a barrier before one is made for their sake.
const DEFERRED_MAX: u64 = 16_384;

impl Staged {
    /// Two changes of different files as one.
    pub(crate) fn and(mut self, other: Staged) -> Staged {
        self.records.extend(other.records);
        self.dropped.extend(other.dropped);
        self.fresh.extend(other.fresh);
        self.raised.extend(other.raised);
        Staged { flushed: self.flushed.join(other.flushed), ..self }
    }

    /// The same change, which also gives these blocks back if it is taken back.
    pub(crate) fn with_fresh(mut self, blocks: impl IntoIterator<Item = BlockNumber>) -> Staged {
        self.fresh.extend(blocks);
        self
    }

    /// Stores the records one by one, each whole by itself, after what `data` covers. Durable at return where a fence costs
    /// nothing to speak of; on a page medium durable with the next sync, and what was dropped stays counted until then. What
    /// cannot be stored or flushed before the first record takes the change back.
    pub(crate) fn commit(mut self, store: &Store, data: Flushed) -> Result<()> {
        let region = &store.runtime.region;
        let flushed = std::mem::replace(&mut self.flushed, Flushed::none());
        let ready = match region.fence(flushed.join(data)) {
            Ok(ready) => ready,
            Err(error) => return Err(self.taken_back(store, error)),
        };
        let Staged { records, dropped, .. } = self;
        let lazy = region.granularity() == Granularity::Page;
        let mut published = Flushed::none();
        // Words that lie side by side are flushed together: a flush of each would write their line back as often.
        for side_by_side in records.chunk_by(|one, next| next.place == one.place.add(8)) {
            let mut stored = Stored::none();
            for Record { place, value } in side_by_side {
                stored = stored.join(region.publish(*place, *value, &ready)?);
            }
            if lazy {
                stored.leave_unflushed();
            } else {
                published = published.join(region.flush(stored));
            }
        }
        if !lazy {
            region.fence(published)?;
            lower(store, &dropped);
            return Ok(());
        }
        store.space.drop_later(&dropped)?;
        if store.space.deferred()? > DEFERRED_MAX { store.space.settle() } else { Ok(()) }
    }

    /// Stores the records and `more` as one transaction, durably, after what `data` covers. An error says that nothing was
    /// stored, and the change has been taken back, unless the member is lost.
    pub(crate) fn commit_atomic(self, store: &Store, data: Flushed, more: &[Record]) -> Result<()> {
        self.publish_atomic(store, data, more).map(|dropped| lower(store, &dropped))
    }

    /// As [`Staged::commit_atomic`], but leaves it to the caller to lower what the change has dropped.
    pub(crate) fn publish_atomic(
        mut self,
        store: &Store,
        data: Flushed,
        more: &[Record],
    ) -> Result<SmallVec<[Reference; 8]>> {
        self.records.extend_from_slice(more);
        let flushed = std::mem::replace(&mut self.flushed, Flushed::none());
        if !self.records.is_empty()
            && let Err(error) = store.journal.commit(&self.records, flushed.join(data))
        {
            return Err(self.taken_back(store, error));
        }
        Ok(self.dropped)
    }

    /// The error that kept the change from being made.
    #[cold]
    fn taken_back(self, store: &Store, error: Error) -> Error {
        if !store.runtime.is_lost()
            && let Err(also) = self.cancel(&store.space)
        {
            tracing::error!(error = %also, "a change that failed keeps blocks");
        }
        error
    }
}

/// Lowers what a change has dropped. The change has been made: damage that is found in what it replaced keeps blocks
/// counted that nobody needs, and is no failure of the change.
fn lower(store: &Store, dropped: &[Reference]) {
    if let Err(error) = store.space.lower_all(dropped) {
        tracing::error!(%error, "a change could not give back all that it replaced");
    }
}
