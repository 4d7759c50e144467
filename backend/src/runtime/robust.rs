//! Robust locks: futex words that survive the death of who holds them.
//!
//! ```text
//! 31      30                8 7      0
//! waiters | generation 23    | slot 8  |       0: free
//! ```
//!
//! An uncontended lock is one compare-and-swap and no system call. A waiter that has slept for a while asks whether the
//! holder lives; if not, the dead member is recovered first (its lanes replayed: what the lock protects is whole again)
//! and the word, which then carries an old generation, is free to take. A word of this process's own member is held by
//! another thread of it and always alive.

use std::time::Duration;

use super::Runtime;
use super::member::Member;
use super::memory::{ByteLocks, Memory};
use crate::error::{Error, ErrorKind, Result};
use crate::os::lock::LockFile;
use crate::pmem::Region;
use crate::units::PoolOffset;

pub(super) const WAITERS: u32 = 1 << 31;
const FIRST_SLEEP: Duration = Duration::from_millis(4);
/// Between two looks at a lock that is held its waiter passes so many moments at most: each look takes the line from the holder, who
/// is about to store to it.
const PAUSES_MAX: u32 = 64;
const SLEEP_MAX: Duration = Duration::from_millis(100);
/// How long a lock that a live member holds is waited for before the call gives up with Busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A held lock; released when dropped.
#[must_use]
pub(crate) struct Held<'a, M: Memory = Region, L: ByteLocks = LockFile> {
    runtime: &'a Runtime<M, L>,
    at: PoolOffset,
}

impl<M: Memory, L: ByteLocks> Runtime<M, L> {
    /// Takes the lock at `at`, waiting for its holder; recovers a dead one.
    pub(crate) fn lock(&self, at: PoolOffset) -> Result<Held<'_, M, L>> {
        self.lock_within(at, PATIENCE)
    }

    /// As [`Runtime::lock`], giving up with Busy after `patience`.
    pub(crate) fn lock_within(&self, at: PoolOffset, patience: Duration) -> Result<Held<'_, M, L>> {
        // What a lost member took it would never let go.
        self.check_lost()?;
        match self.try_lock(at)? {
            Some(held) => Ok(held),
            None => self.lock_held(at, patience),
        }
    }

    /// Takes the lock at `at` if it is free.
    #[inline]
    pub(super) fn try_lock(&self, at: PoolOffset) -> Result<Option<Held<'_, M, L>>> {
        let taken = self.region.cas_u32(at, 0, self.member.word())?.is_ok();
        Ok(taken.then(|| Held { runtime: self, at }))
    }

    /// Takes the lock at `at`, which was held a moment ago.
    #[cold]
    pub(super) fn lock_held(&self, at: PoolOffset, patience: Duration) -> Result<Held<'_, M, L>> {
        self.lock_contended(at, patience)?;
        Ok(Held { runtime: self, at })
    }

    /// The live or dead member that the lock word at `at` names.
    pub(crate) fn holder(&self, at: PoolOffset) -> Result<Option<Member>> {
        let word = self.region.load_u32(at)?;
        let holder = Member::of_word(word);
        Ok(if word != 0 && self.is_current(holder)? { Some(holder) } else { None })
    }

    fn lock_contended(&self, at: PoolOffset, patience: Duration) -> Result<()> {
        let mut pauses = 1;
        for _ in 0..M::SPINS {
            if self.region.load_u32(at)? == 0 && self.region.cas_u32(at, 0, self.member.word())?.is_ok() {
                return Ok(());
            }
            (0..pauses).for_each(|_| self.region.spin());
            pauses = (pauses * 2).min(PAUSES_MAX);
        }
        let started = self.region.now();
        let mut sleep = FIRST_SLEEP;
        loop {
            self.check_lost()?;
            let word = self.region.load_u32(at)?;
            let holder = Member::of_word(word);
            if word == 0 || !self.is_current(holder)? {
                if self.region.cas_u32(at, word, self.member.word() | WAITERS)?.is_ok() {
                    return Ok(());
                }
                continue;
            }
            if word & WAITERS == 0 && self.region.cas_u32(at, word, word | WAITERS)?.is_err() {
                continue;
            }
            self.region.futex_wait(at, word | WAITERS, sleep)?;
            if self.region.load_u32(at)? != word | WAITERS {
                continue;
            }
            if self.recover_if_dead(holder.slot, holder.generation)? {
                continue;
            }
            if self.region.now().saturating_sub(started) > patience {
                let holder = self.describe(holder);
                return Err(Error::new(
                    ErrorKind::Busy,
                    format!("waited {patience:?} for a lock that {holder} holds"),
                ));
            }
            sleep = (sleep * 2).min(SLEEP_MAX);
        }
    }

    fn unlock(&self, at: PoolOffset) -> Result<()> {
        if self.region.swap_u32(at, 0)? & WAITERS != 0 {
            self.region.futex_wake(at, 1)?;
        }
        Ok(())
    }
}

impl<M: Memory, L: ByteLocks> Drop for Held<'_, M, L> {
    fn drop(&mut self) {
        if self.runtime.is_lost() {
            return;
        }
        // The lock's memory is lost only together with the whole pool; there is nobody left to wake then.
        if let Err(error) = self.runtime.unlock(self.at) {
            tracing::error!(%error, "a lock could not be released");
        }
    }
}
