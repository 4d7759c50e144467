//! The cut gate: one instant for a snapshot of many files.
//!
//! Every mutating operation marks its thread's stripe in its member's slot while it runs, and steps back if the gate is
//! closed. Who cuts closes the gate and waits for the marks of all members to drain: from then until it opens the gate,
//! nothing moves in the whole pool, and there was no lock order to respect. The gate is a robust lock, and the marks of
//! a dead member end with its recovery. The first threads of a process have stripes of their own, which they store to without a
//! locked instruction; all others share the last one.
//!
//! An operation that takes long raises a counter beside its mark after each piece of work. Who cuts opens the gate again
//! where it meets one, for as long as it was closed, and then waits twice as long as before: so the others go on meanwhile, and
//! the cut comes, at the latest when the long operation has ended. Only one whose counter stands still for a second, being
//! stuck or stopped, makes it Busy.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::member::{MARK_STRIPES, Member, mark, progress_of};
use super::memory::{ByteLocks, Memory};
use super::robust::{Held, PATIENCE};
use super::{Runtime, at};
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

/// The stripe of all threads that have none of their own.
const COMMON_STRIPE: u32 = MARK_STRIPES - 1;

/// The stripes that are a living thread's own, as bits. In a forked child those of its parent's other threads stay taken.
static OWNED: AtomicU32 = AtomicU32::new(0);

/// The stripe of this thread, its own until it ends where one was left.
struct OwnStripe(u32);

impl OwnStripe {
    fn take() -> OwnStripe {
        let mut owned = OWNED.load(Ordering::Relaxed);
        loop {
            let free = owned.trailing_ones();
            if free >= COMMON_STRIPE {
                return OwnStripe(COMMON_STRIPE);
            }
            // Who had it before has stored its last mark.
            let taken = OWNED.compare_exchange(owned, owned | 1 << free, Ordering::AcqRel, Ordering::Relaxed);
            match taken {
                Ok(_) => return OwnStripe(free),
                Err(found) => owned = found,
            }
        }
    }
}

impl Drop for OwnStripe {
    fn drop(&mut self) {
        if self.0 != COMMON_STRIPE {
            OWNED.fetch_and(!(1 << self.0), Ordering::AcqRel);
        }
    }
}

thread_local! {
    static OWN_STRIPE: OwnStripe = OwnStripe::take();
}

/// The stripe of this thread: its own, or [`COMMON_STRIPE`].
#[inline]
pub(super) fn stripe() -> u32 {
    OWN_STRIPE.try_with(|own| own.0).unwrap_or(COMMON_STRIPE)
}

/// A mutating operation in flight; the gate cannot be passed by a cut while it lives.
#[must_use]
pub(crate) struct Mark<'a, M: Memory = Region, L: ByteLocks = LockFile> {
    runtime: &'a Runtime<M, L>,
    stripe: u32,
    /// The stripe is this thread's.
    _this_thread: PhantomData<*const ()>,
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
                return Ok(self.mark(stripe));
            }
            self.region.sub_u64(place, 1)?;
            drop(self.lock(at::GATE)?);
        }
    }

    fn mark(&self, stripe: u32) -> Mark<'_, M, L> {
        Mark { runtime: self, stripe, _this_thread: PhantomData }
    }

    /// Begins a mutating operation, and takes the lock at `lock` for it: as [`Runtime::enter`] and [`Runtime::lock`], with one locked
    /// instruction for both.
    #[inline]
    pub(crate) fn enter_locking(&self, lock: PoolOffset) -> Result<(Mark<'_, M, L>, Held<'_, M, L>)> {
        let stripe = stripe();
        if stripe != COMMON_STRIPE {
            self.check_lost()?;
            let place = mark(self.member.slot, stripe);
            // Nobody else stores to it. The swap of the lock, whatever it answers, orders it before the look at the gate.
            self.region.store_release(place, self.region.load(place)?.wrapping_add(1))?;
            let mark = self.mark(stripe);
            let held = self.try_lock(lock)?;
            self.region.fence_after_change();
            if self.region.load_u32(at::GATE)? == 0 {
                let held = match held {
                    Some(held) => held,
                    None => self.lock_held(lock, PATIENCE)?,
                };
                return Ok((mark, held));
            }
        }
        let mark = self.enter()?;
        Ok((mark, self.lock(lock)?))
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
            self.region.fence_after_change();
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
        let (region, place) = (&self.runtime.region, mark(self.runtime.member.slot, self.stripe));
        let taken_back = if self.stripe == COMMON_STRIPE {
            region.sub_u64(place, 1).map(drop)
        } else {
            // Nobody else stores to it. What the operation stored, around the cache too, is there before.
            region.fence_stores();
            region.load(place).and_then(|marks| region.store_release(place, marks.wrapping_sub(1)))
        };
        // As with a lock: lost only with the whole pool.
        if let Err(error) = taken_back {
            tracing::error!(%error, "an operation's mark could not be taken back");
        }
    }
}
