//! Sixteen numbered locks of an inode, shared or exclusive, between handles of all processes.
//!
//! Handles of one process are told apart under a mutex of the process. Between members a lock is a word for the one that
//! holds it alone and a bit for each that shares it:
//!
//! ```text
//! share:      set the own bit                      take alone: swap the own name in, marked "probing"
//!             wait while the owner is probing                  look at all bits but the own
//!             owned: take the bit back                         none: drop the mark;  some: take the name back
//! ```
//!
//! Each side writes before it reads, so at least one sees the other; and a prober that sees a bit always steps back, so
//! exactly one of the two succeeds. Before a lock is refused the one who stands in the way is asked whether it lives;
//! without contention there is no system call.

use std::time::{Duration, Instant};

use super::held::{Holder, Holding};
use super::{Extension, Local, OWNER, SHARERS, bit_of, living_other_in, other_in};
use crate::error::{Error, ErrorKind, Result};
use crate::inode::open::OpenInode;
use crate::journal::Store;
use crate::pmem::Access;
use crate::runtime::Runtime;
use crate::runtime::member::Member;
use crate::units::PoolOffset;

/// Locks of an inode.
pub(super) const LOCKS: u8 = 16;
/// In an owner word: its member has not looked at the sharers yet.
const PROBING: u32 = 1 << 31;
const SPINS: u32 = 1000;
/// How long a member may be probing, a matter of nanoseconds, before it is taken for stopped or dead.
const PROBE_PATIENCE: Duration = Duration::from_millis(2);

/// How a lock is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockMode {
    /// Together with other handles that hold it so.
    Shared,
    /// By one handle alone.
    Exclusive,
}

/// What other handles, of this and of other processes, hold of a lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LockState {
    /// Another handle holds it shared.
    pub shared_by_others: bool,
    /// Another handle holds it alone.
    pub exclusive_by_other: bool,
}

/// One step of [`File::change_locks`](crate::File::change_locks), for a lock by its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockStep {
    /// Take it, or change how it is held. Refused where another handle stands in the way.
    Take(u8, LockMode),
    /// Leave it alone. Refused where another handle holds it alone.
    Pass(u8),
    /// Give it up, if it is held.
    Leave(u8),
}

/// Takes lock `index` for `holder` in `mode`, or changes how it holds it; false if another live handle stands in the way.
/// Then `holder` keeps what it had. The caller has no operation in flight (see [`Runtime::enter`]).
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for a lock number above 15; [`ErrorKind::NoSpace`] where the pool has not one block left.
pub(crate) fn try_lock(
    store: &Store,
    open: &OpenInode,
    holder: &Holder,
    index: u8,
    mode: LockMode,
) -> Result<bool> {
    change(store, open, holder, &[LockStep::Take(index, mode)]).map(|done| done == 1)
}

/// Gives up what `holder` holds of lock `index`, if anything.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for a lock number above 15.
pub(crate) fn unlock(store: &Store, open: &OpenInode, holder: &Holder, index: u8) -> Result<()> {
    change(store, open, holder, &[LockStep::Leave(index)]).map(drop)
}

/// Does `steps` for `holder`, in order, up to the first that is refused; answers how many were done. What was done stays.
/// The caller has no operation in flight.
///
/// # Errors
/// Those of [`try_lock`], for the first step that fails.
pub(crate) fn change(store: &Store, open: &OpenInode, holder: &Holder, steps: &[LockStep]) -> Result<usize> {
    store.runtime.region.check_fork()?;
    let mut local = open.local.lock();
    let mut holding = holder.holding();
    let mut done = 0;
    let outcome = loop {
        let Some(&step) = steps.get(done) else { break Ok(done) };
        match local.step(store, open, &mut holding, step) {
            Ok(true) => done += 1,
            Ok(false) => break Ok(done),
            Err(error) => break Err(error),
        }
    };
    holder.hold(holding);
    outcome
}

impl Local {
    /// One step for the handle that holds `holding`; false if it is refused.
    fn step(
        &mut self,
        store: &Store,
        open: &OpenInode,
        holding: &mut Holding,
        step: LockStep,
    ) -> Result<bool> {
        match step {
            LockStep::Take(index, mode) => self.take(store, open, holding, index, mode),
            LockStep::Pass(index) => self.is_owned_by_other(store, open, *holding, index).map(|owned| !owned),
            LockStep::Leave(index) => self.leave(store, holding, index).map(|()| true),
        }
    }

    fn take(
        &mut self,
        store: &Store,
        open: &OpenInode,
        holding: &mut Holding,
        index: u8,
        mode: LockMode,
    ) -> Result<bool> {
        check(index)?;
        let held = holding.mode(index);
        if held == Some(mode) {
            return Ok(true);
        }
        let own = u32::from(held == Some(LockMode::Shared));
        let sharers = self.locks.sharers(index) - own;
        if (self.locks.is_exclusive(index) && held.is_none()) || (mode == LockMode::Exclusive && sharers > 0)
        {
            return Ok(false);
        }
        if store.runtime.region.access() == Access::ReadWrite {
            let extension = Extension::obtain(store, open, self)?;
            let lock = Lock { runtime: &store.runtime, place: extension.lock(index) };
            let marked = self.locks.is_marked(index);
            if !lock.change(held, mode, marked)? {
                return Ok(false);
            }
            self.locks.mark(index, marked || mode == LockMode::Shared);
        }
        self.locks.set(holding, index, Some(mode));
        Ok(true)
    }

    fn leave(&mut self, store: &Store, holding: &mut Holding, index: u8) -> Result<()> {
        check(index)?;
        let Some(mode) = holding.mode(index) else {
            return Ok(());
        };
        if let Some(extension) = self.extension {
            let lock = Lock { runtime: &store.runtime, place: extension.lock(index) };
            // The handle that holds it alone, or the last one that shares it.
            if self.locks.is_marked(index) && self.locks.sharers(index) <= 1 {
                lock.unshare()?;
                self.locks.mark(index, false);
            }
            if mode == LockMode::Exclusive {
                lock.disown()?;
            }
        }
        self.locks.set(holding, index, None);
        Ok(())
    }

    /// Whether another handle, here or elsewhere, holds lock `index` alone.
    fn is_owned_by_other(
        &mut self,
        store: &Store,
        open: &OpenInode,
        holding: Holding,
        index: u8,
    ) -> Result<bool> {
        check(index)?;
        if self.locks.is_exclusive(index) && holding.mode(index) != Some(LockMode::Exclusive) {
            return Ok(true);
        }
        if store.runtime.region.access() != Access::ReadWrite {
            return Ok(false);
        }
        match Extension::known(store, open, self)? {
            Some(extension) => {
                Lock { runtime: &store.runtime, place: extension.lock(index) }.is_owned_by_other()
            }
            None => Ok(false),
        }
    }
}

/// What others than `holder` hold of lock `index`.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for a lock number above 15.
pub(crate) fn lock_state(store: &Store, open: &OpenInode, holder: &Holder, index: u8) -> Result<LockState> {
    store.runtime.region.check_fork()?;
    check(index)?;
    let mut local = open.local.lock();
    let holding = holder.holding();
    let own = u32::from(holding.mode(index) == Some(LockMode::Shared));
    let exclusive_by_other = local.is_owned_by_other(store, open, holding, index)?;
    let mut shared_by_others = local.locks.sharers(index) > own;
    // The bit of a member that holds it alone may stand still.
    if !exclusive_by_other
        && store.runtime.region.access() == Access::ReadWrite
        && let Some(extension) = Extension::known(store, open, &mut local)?
    {
        let lock = Lock { runtime: &store.runtime, place: extension.lock(index) };
        shared_by_others |= living_other_in(lock.runtime, lock.sharers())?.is_some();
    }
    Ok(LockState { shared_by_others, exclusive_by_other })
}

/// Gives up all locks of `holder`, whose handle closes: before its share of the open inode ends. What fails is left to the
/// recovery of this member; the first failure is answered.
pub(crate) fn release_all(store: &Store, open: &OpenInode, holder: &Holder) -> Result<()> {
    let local = open.local.lock();
    let holding = holder.holding();
    drop(local);
    let mut first = Ok(());
    for index in (0..LOCKS).filter(|&index| holding.mode(index).is_some()) {
        let released = unlock(store, open, holder, index);
        if first.is_ok() {
            first = released;
        }
    }
    first
}

fn check(index: u8) -> Result<()> {
    if index >= LOCKS {
        let message = format!("lock number {index}: a file has locks 0 to {}", LOCKS - 1);
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    Ok(())
}

/// A lock between members. The process's own mutex is held around all of its methods.
#[derive(Clone, Copy)]
struct Lock<'a> {
    runtime: &'a Runtime,
    place: PoolOffset,
}

/// An owner word, once nobody is probing.
enum Owner {
    /// Nobody else: the word may be swapped for the own name.
    Free(u32),
    Other(Member),
}

impl Lock<'_> {
    /// Lets this member go from `held` to `mode` on behalf of one handle; `marked` says that its bit is set. Who comes to hold the
    /// lock alone leaves the bit, so that it can be shared again by one store.
    fn change(self, held: Option<LockMode>, mode: LockMode, marked: bool) -> Result<bool> {
        match (held, mode) {
            (Some(LockMode::Exclusive), LockMode::Shared) => {
                if !marked {
                    let (word, bit) = self.own_bit();
                    self.runtime.region.or_u64(word, bit)?;
                }
                self.disown()?;
                Ok(true)
            }
            (_, LockMode::Shared) => Ok(marked || self.share()?),
            (_, LockMode::Exclusive) => self.own(),
        }
    }

    fn share(self) -> Result<bool> {
        let region = &self.runtime.region;
        let (word, bit) = self.own_bit();
        loop {
            // A bit that is set for nothing could make another member's attempt fail.
            if self.is_owned_by_other()? {
                return Ok(false);
            }
            region.or_u64(word, bit)?;
            region.fence_after_change();
            match self.owner() {
                Ok(Owner::Free(_)) => return Ok(true),
                Ok(Owner::Other(member)) => {
                    region.and_u64(word, !bit)?;
                    if !self.runtime.recover_if_dead(member.slot, member.generation)? {
                        return Ok(false);
                    }
                }
                Err(error) => {
                    region.and_u64(word, !bit)?;
                    return Err(error);
                }
            }
        }
    }

    fn unshare(self) -> Result<()> {
        let (word, bit) = self.own_bit();
        self.runtime.region.and_u64(word, !bit).map(drop)
    }

    fn own(self) -> Result<bool> {
        let region = &self.runtime.region;
        let name = self.runtime.member.word();
        loop {
            if living_other_in(self.runtime, self.sharers())?.is_some() {
                return Ok(false);
            }
            let word = match self.owner()? {
                Owner::Free(word) => word,
                Owner::Other(member) if self.runtime.recover_if_dead(member.slot, member.generation)? => {
                    continue;
                }
                Owner::Other(_) => return Ok(false),
            };
            if region.cas_u32(self.place.add(OWNER), word, name | PROBING)?.is_err() {
                continue;
            }
            region.fence_after_change();
            let sharer = other_in(self.runtime, self.sharers(), None);
            if matches!(sharer, Ok(None)) {
                // Whoever has seen it probing waits for this; until then nobody else stores here.
                region.store_release_u32(self.place.add(OWNER), name)?;
                return Ok(true);
            }
            self.disown()?;
            sharer?;
        }
    }

    fn disown(self) -> Result<()> {
        self.runtime.region.store_release_u32(self.place.add(OWNER), 0)
    }

    /// Whether another live member holds the lock alone; a dead one is recovered.
    fn is_owned_by_other(self) -> Result<bool> {
        while let Owner::Other(member) = self.owner()? {
            if !self.runtime.recover_if_dead(member.slot, member.generation)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Who holds the lock alone, when nobody is probing it any more; a prober that has stopped counts as the holder.
    fn owner(self) -> Result<Owner> {
        let mut tries = 0;
        let mut started = None;
        loop {
            let word = self.runtime.region.load_u32(self.place.add(OWNER))?;
            let member = Member::of_word(word);
            if word == 0 || member.slot == self.runtime.member.slot || !self.runtime.is_current(member)? {
                return Ok(Owner::Free(word));
            }
            if word & PROBING == 0 {
                return Ok(Owner::Other(member));
            }
            tries += 1;
            if tries < SPINS {
                std::hint::spin_loop();
                continue;
            }
            if started.get_or_insert_with(Instant::now).elapsed() > PROBE_PATIENCE {
                return Ok(Owner::Other(member));
            }
            std::thread::yield_now();
        }
    }

    fn sharers(self) -> PoolOffset {
        self.place.add(SHARERS)
    }

    fn own_bit(self) -> (PoolOffset, u64) {
        bit_of(self.sharers(), self.runtime.member.slot)
    }
}
