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

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Extension, OWNER, SHARERS, bit_of, living_other_in, other_in};
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

/// A handle of this process, as the owner of locks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct HandleId(u64);

impl HandleId {
    /// An id that no other handle of this process has had.
    pub(crate) fn new() -> HandleId {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        HandleId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Hashes handle ids, which count up and come from nobody outside: one multiplication spreads them.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(self.0 ^ u64::from(byte));
        }
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// What handles of this process hold, bits by lock number.
#[derive(Default)]
pub(super) struct Held {
    handles: HashMap<HandleId, Holding, BuildHasherDefault<IdHasher>>,
    /// How many handles share each lock.
    sharers: [u32; LOCKS as usize],
    /// Locks that some handle holds alone.
    exclusive: u16,
}

#[derive(Clone, Copy, Default)]
struct Holding {
    shared: u16,
    exclusive: u16,
}

impl Holding {
    const fn mode(self, index: u8) -> Option<LockMode> {
        if self.exclusive & 1 << index != 0 {
            Some(LockMode::Exclusive)
        } else if self.shared & 1 << index != 0 {
            Some(LockMode::Shared)
        } else {
            None
        }
    }
}

impl Held {
    fn mode(&self, holder: HandleId, index: u8) -> Option<LockMode> {
        self.handles.get(&holder).and_then(|holding| holding.mode(index))
    }

    /// Handles that share lock `index`.
    fn sharers(&self, index: u8) -> u32 {
        self.sharers[usize::from(index)]
    }

    fn is_exclusive(&self, index: u8) -> bool {
        self.exclusive & 1 << index != 0
    }

    /// Notes that `holder` holds lock `index` in `mode` from now on, whatever it held of it before.
    fn set(&mut self, holder: HandleId, index: u8, mode: Option<LockMode>) {
        let holding = self.handles.entry(holder).or_default();
        let (bit, before) = (1 << index, holding.mode(index));
        holding.shared &= !bit;
        holding.exclusive &= !bit;
        match before {
            Some(LockMode::Shared) => self.sharers[usize::from(index)] -= 1,
            Some(LockMode::Exclusive) => self.exclusive &= !bit,
            None => {}
        }
        match mode {
            Some(LockMode::Shared) => {
                holding.shared |= bit;
                self.sharers[usize::from(index)] += 1;
            }
            Some(LockMode::Exclusive) => {
                holding.exclusive |= bit;
                self.exclusive |= bit;
            }
            None => {}
        }
    }
}

/// Takes lock `index` for `holder` in `mode`, or changes how it holds it; false if another live handle stands in the way.
/// Then `holder` keeps what it had. The caller has no operation in flight (see [`Runtime::enter`]).
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for a lock number above 15; [`ErrorKind::NoSpace`] where the pool has not one block left.
pub(crate) fn try_lock(
    store: &Store,
    open: &OpenInode,
    holder: HandleId,
    index: u8,
    mode: LockMode,
) -> Result<bool> {
    check(store, index)?;
    let mut local = open.local.lock();
    let held = local.locks.mode(holder, index);
    if held == Some(mode) {
        return Ok(true);
    }
    let own = u32::from(held == Some(LockMode::Shared));
    let sharers = local.locks.sharers(index) - own;
    if (local.locks.is_exclusive(index) && held.is_none()) || (mode == LockMode::Exclusive && sharers > 0) {
        return Ok(false);
    }
    let lock = match store.runtime.region.access() {
        Access::ReadWrite => {
            let extension = Extension::obtain(store, open, &mut local)?;
            Some(Lock { runtime: &store.runtime, place: extension.lock(index) })
        }
        Access::ReadOnly | Access::Private => None,
    };
    if let Some(lock) = lock
        && !lock.change(held, mode, sharers)?
    {
        return Ok(false);
    }
    local.locks.set(holder, index, Some(mode));
    Ok(true)
}

/// Gives up what `holder` holds of lock `index`, if anything.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for a lock number above 15.
pub(crate) fn unlock(store: &Store, open: &OpenInode, holder: HandleId, index: u8) -> Result<()> {
    check(store, index)?;
    let mut local = open.local.lock();
    let Some(mode) = local.locks.mode(holder, index) else {
        return Ok(());
    };
    if let Some(extension) = local.extension {
        let lock = Lock { runtime: &store.runtime, place: extension.lock(index) };
        match mode {
            LockMode::Exclusive => lock.disown()?,
            LockMode::Shared if local.locks.sharers(index) == 1 => lock.unshare()?,
            LockMode::Shared => {}
        }
    }
    local.locks.set(holder, index, None);
    Ok(())
}

/// What others than `holder` hold of lock `index`.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for a lock number above 15.
pub(crate) fn lock_state(store: &Store, open: &OpenInode, holder: HandleId, index: u8) -> Result<LockState> {
    check(store, index)?;
    let mut local = open.local.lock();
    let held = local.locks.mode(holder, index);
    let own = u32::from(held == Some(LockMode::Shared));
    let mut state = LockState {
        shared_by_others: local.locks.sharers(index) > own,
        exclusive_by_other: local.locks.is_exclusive(index) && held != Some(LockMode::Exclusive),
    };
    if store.runtime.region.access() == Access::ReadWrite
        && let Some(extension) = Extension::known(store, open, &mut local)?
    {
        let lock = Lock { runtime: &store.runtime, place: extension.lock(index) };
        state.shared_by_others |= living_other_in(lock.runtime, lock.sharers())?.is_some();
        state.exclusive_by_other |= lock.is_owned_by_other()?;
    }
    Ok(state)
}

/// Gives up all locks of `holder`, whose handle closes: before its share of the open inode ends. What fails is left to the
/// recovery of this member; the first failure is answered.
pub(crate) fn release_all(store: &Store, open: &OpenInode, holder: HandleId) -> Result<()> {
    let holding = open.local.lock().locks.handles.get(&holder).copied().unwrap_or_default();
    let mut first = Ok(());
    for index in (0..LOCKS).filter(|&index| holding.mode(index).is_some()) {
        let released = unlock(store, open, holder, index);
        if first.is_ok() {
            first = released;
        }
    }
    let mut local = open.local.lock();
    for index in 0..LOCKS {
        if local.locks.mode(holder, index).is_some() {
            local.locks.set(holder, index, None);
        }
    }
    local.locks.handles.remove(&holder);
    first
}

fn check(store: &Store, index: u8) -> Result<()> {
    if index >= LOCKS {
        let message = format!("lock number {index}: a file has locks 0 to {}", LOCKS - 1);
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    store.runtime.region.check_fork()
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
    /// Lets this member go from `held` to `mode` on behalf of one handle; `sharers` other handles of it share the lock.
    fn change(self, held: Option<LockMode>, mode: LockMode, sharers: u32) -> Result<bool> {
        match (held, mode) {
            (Some(LockMode::Exclusive), LockMode::Shared) => {
                let (word, bit) = self.own_bit();
                self.runtime.region.or_u64(word, bit)?;
                self.disown()?;
                Ok(true)
            }
            (_, LockMode::Shared) => Ok(sharers > 0 || self.share()?),
            (_, LockMode::Exclusive) => {
                if !self.own()? {
                    return Ok(false);
                }
                if held.is_some() {
                    self.unshare()?;
                }
                Ok(true)
            }
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
                region.store_u32(self.place.add(OWNER), name)?;
                return Ok(true);
            }
            self.disown()?;
            sharer?;
        }
    }

    fn disown(self) -> Result<()> {
        self.runtime.region.store_u32(self.place.add(OWNER), 0)
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
