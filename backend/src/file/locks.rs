//! Numbered locks and shared memory of a file, for databases.

use super::File;
use crate::error::Result;
use crate::inode::advisory::{self, LockMode, LockState, LockStep, SharedMemory};

impl File {
    /// Takes one of the file's 16 numbered advisory locks, shared by all handles of all processes. Never waits: `false`
    /// says that a live other holder forbids it. Shared becomes exclusive where this handle is the only holder; exclusive
    /// becomes shared. Locks end with the handle, and with the process.
    ///
    /// # Errors
    /// `InvalidInput` for an index over 15; `Stale` after a forced rollback; `NoSpace`, `MediaError`.
    pub fn try_lock(&self, index: u8, mode: LockMode) -> Result<bool> {
        self.not_replaced()?;
        advisory::try_lock(&self.core().store, &self.open, &self.holder, index, mode)
    }

    /// Takes and gives up several locks by one call: does `steps` in order, up to the first that is refused, and answers how
    /// many were done.
    ///
    /// # Errors
    /// As [`File::try_lock`]; what was done before stays.
    pub fn change_locks(&self, steps: &[LockStep]) -> Result<usize> {
        if steps.iter().any(|step| matches!(step, LockStep::Take(..))) {
            self.not_replaced()?;
        }
        advisory::change(&self.core().store, &self.open, &self.holder, steps)
    }

    /// Lets go of what this handle holds of a lock.
    ///
    /// # Errors
    /// `InvalidInput` for an index over 15; `MediaError`.
    pub fn unlock(&self, index: u8) -> Result<()> {
        advisory::unlock(&self.core().store, &self.open, &self.holder, index)
    }

    /// Who else holds a lock.
    ///
    /// # Errors
    /// `InvalidInput` for an index over 15; `MediaError`.
    pub fn lock_state(&self, index: u8) -> Result<LockState> {
        advisory::lock_state(&self.core().store, &self.open, &self.holder, index)
    }

    /// Attaches to the file's shared memory: volatile, zeroed when its first live user attaches, the same for all handles
    /// of all processes, and never part of a clone or snapshot.
    ///
    /// # Errors
    /// `NoSpace`, `MediaError`.
    pub fn shared_memory(&self) -> Result<SharedMemory> {
        SharedMemory::attach(self.core(), &self.open)
    }

    /// What [`SharedMemory::check`] says, also where this handle has not attached.
    ///
    /// # Errors
    /// `MediaError`.
    pub fn check_shared_memory(&self) -> Result<()> {
        advisory::shared_memory::check(&self.open)
    }
}
