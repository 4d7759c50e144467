//! The cut gate: one instant for a snapshot of many files.
//!
//! Every mutating operation marks its thread's stripe in its member's slot while it runs, and steps back if the gate is
//! closed. Who cuts closes the gate and waits for the marks of all members to drain: from then until it opens the gate,
//! nothing moves in the whole pool, and there was no lock order to respect. The gate is a robust lock, and the marks of
//! a dead member end with its recovery.

use std::time::Duration;

use super::member::{MARK_STRIPES, Member, mark};
use super::memory::{ByteLocks, Memory};
use super::robust::Held;
use super::{Runtime, at, thread_number};
use crate::error::{Error, ErrorKind, Result};
use crate::format::layout::SLOT_COUNT;
use crate::os::lock::LockFile;
use crate::pmem::Region;

/// How long a cut waits for operations in flight.
const DRAIN_PATIENCE: Duration = Duration::from_secs(1);
/// How long marks may linger before their member is suspected dead.
const SUSPICION: Duration = Duration::from_millis(2);

pub(super) fn stripe() -> u32 {
    u32::try_from(thread_number() % MARK_STRIPES as usize).unwrap_or(0)
}

/// A mutating operation in flight; the gate cannot be passed by a cut while it lives.
#[must_use]
pub(crate) struct Mark<'a, M: Memory = Region, L: ByteLocks = LockFile> {
    runtime: &'a Runtime<M, L>,
    stripe: u32,
}

/// The closed gate: nothing in the pool changes while it lives.
#[must_use]
pub(crate) struct Cut<'a, M: Memory = Region, L: ByteLocks = LockFile> {
    _gate: Held<'a, M, L>,
}

impl<M: Memory, L: ByteLocks> Runtime<M, L> {
    /// Begins a mutating operation: waits while the gate is closed.
    pub(crate) fn enter(&self) -> Result<Mark<'_, M, L>> {
        self.check_lost()?;
        let stripe = stripe();
        let place = mark(self.member.slot, stripe);
        loop {
            self.region.add_u64(place, 1)?;
            if self.region.load_u32(at::GATE)? == 0 {
                return Ok(Mark { runtime: self, stripe });
            }
            self.region.sub_u64(place, 1)?;
            drop(self.lock(at::GATE)?);
        }
    }

    /// Closes the gate and waits until no operation is in flight. Busy after a second, naming who is.
    pub(crate) fn cut(&self) -> Result<Cut<'_, M, L>> {
        let cut = Cut { _gate: self.lock(at::GATE)? };
        for slot in 0..SLOT_COUNT {
            if self.slot_in_use(slot)? {
                self.drain(slot)?;
            }
        }
        Ok(cut)
    }

    fn drain(&self, slot: u32) -> Result<()> {
        let member = Member { slot, generation: self.slot_generation(slot)? };
        let started = self.region.now();
        for stripe in 0..MARK_STRIPES {
            while self.region.load(mark(slot, stripe))? != 0 {
                if !self.is_current(member)? {
                    return Ok(());
                }
                let waited = self.region.now().saturating_sub(started);
                if waited < SUSPICION {
                    self.region.spin();
                    continue;
                }
                if self.recover_if_dead(slot, member.generation)? {
                    return Ok(());
                }
                if waited > DRAIN_PATIENCE {
                    let who = self.describe(member);
                    return Err(Error::new(
                        ErrorKind::Busy,
                        format!("an operation of {who} has been in flight for {waited:?}"),
                    ));
                }
                self.region.sleep(Duration::from_micros(200));
            }
        }
        Ok(())
    }
}

impl<M: Memory, L: ByteLocks> Drop for Mark<'_, M, L> {
    fn drop(&mut self) {
        if self.runtime.is_lost() {
            return;
        }
        // As with a lock: lost only with the whole pool.
        if let Err(error) = self.runtime.region.sub_u64(mark(self.runtime.member.slot, self.stripe), 1) {
            tracing::error!(%error, "an operation's mark could not be taken back");
        }
    }
}
