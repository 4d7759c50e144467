//! The cut gate: one instant for a snapshot of many files.
//!
//! Every mutating operation marks its thread's stripe in its member's slot while it runs, and steps back if the gate is
//! closed. Who cuts closes the gate and waits for the marks of all members to drain: from then until it opens the gate,
//! nothing moves in the whole pool, and there was no lock order to respect. The gate is a robust lock, and the marks of
//! a dead member end with its recovery.
//!
//! An operation that takes long raises a counter beside its mark after each piece of work. Who cuts opens the gate again
//! where it meets one, for as long as it was closed, and then waits twice as long as before: so the others go on meanwhile, and
//! the cut comes, at the latest when the long operation has ended. Only one whose counter stands still for a second, being
//! stuck or stopped, makes it Busy.

use std::time::Duration;

use super::member::{MARK_STRIPES, Member, mark, progress_of};
use super::memory::{ByteLocks, Memory};
use super::robust::Held;
use super::{Runtime, at, thread_number};
use crate::error::{Error, ErrorKind, Result};
use crate::format::layout::SLOT_COUNT;
use crate::os::lock::LockFile;
use crate::pmem::Region;
use crate::units::PoolOffset;

/// How long a cut waits for an operation in flight that does not get on.
const DRAIN_PATIENCE: Duration = Duration::from_secs(1);
/// How long the gate stays closed for an operation that gets on, at first.
const FIRST_TURN: Duration = Duration::from_millis(50);
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

    /// Says that the operation in flight of this thread gets on: after each bounded piece of one that may take long.
    pub(crate) fn progress(&self) -> Result<()> {
        self.region.add_u64(progress_of(mark(self.member.slot, stripe())), 1).map(drop)
    }

    /// Closes the gate and waits until no operation is in flight. Busy, naming who is, once one has not got on for a second.
    pub(crate) fn cut(&self) -> Result<Cut<'_, M, L>> {
        let mut turn = FIRST_TURN;
        loop {
            let cut = Cut { _gate: self.lock(at::GATE)? };
            let Some(long) = self.drain_all(turn)? else { return Ok(cut) };
            drop(cut);
            let opened = self.region.now();
            while self.region.load(long)? != 0 && self.region.now().saturating_sub(opened) < turn {
                self.region.sleep(Duration::from_millis(1));
            }
            turn = turn.saturating_mul(2);
        }
    }

    /// Waits until no operation is in flight; gives the mark of one that gets on and is in flight after `turn`.
    fn drain_all(&self, turn: Duration) -> Result<Option<PoolOffset>> {
        for slot in 0..SLOT_COUNT {
            if self.slot_in_use(slot)?
                && let Some(long) = self.drain(slot, turn)?
            {
                return Ok(Some(long));
            }
        }
        Ok(None)
    }

    fn drain(&self, slot: u32, turn: Duration) -> Result<Option<PoolOffset>> {
        let member = Member { slot, generation: self.slot_generation(slot)? };
        let started = self.region.now();
        for stripe in 0..MARK_STRIPES {
            let place = mark(slot, stripe);
            // How far the operation is, and since when.
            let mut reached: Option<(u64, Duration)> = None;
            while self.region.load(place)? != 0 {
                if !self.is_current(member)? {
                    return Ok(None);
                }
                let now = self.region.now();
                let waited = now.saturating_sub(started);
                if waited < SUSPICION {
                    self.region.spin();
                    continue;
                }
                if self.recover_if_dead(slot, member.generation)? {
                    return Ok(None);
                }
                let progress = self.region.load(progress_of(place))?;
                match reached {
                    Some((before, since)) if before == progress => {
                        let still = now.saturating_sub(since);
                        if still > DRAIN_PATIENCE {
                            let who = self.describe(member);
                            let message = format!("an operation of {who} has not got on for {still:?}");
                            return Err(Error::new(ErrorKind::Busy, message));
                        }
                    }
                    Some(_) if waited > turn => return Ok(Some(place)),
                    _ => reached = Some((progress, now)),
                }
                self.region.sleep(Duration::from_micros(200));
            }
        }
        Ok(None)
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
