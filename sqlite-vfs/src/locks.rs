//! SQLite's locks on the numbered locks of a pool's file: the mapping, and the way from level to level.
//!
//! | number | lock |
//! |---|---|
//! | 0 | PENDING: no new readers |
//! | 1 | RESERVED: will write |
//! | 2 | the SHARED range: shared by readers, exclusive for EXCLUSIVE |
//! | 3 to 10 | the 8 slots of the WAL index |
//!
//! The backend arbitrates between all handles of all processes and releases the locks of the dead.

use crate::error::{OrCode, Outcome};
use crate::ffi::code;
use crate::file::LockLevel;
use daxcow::{File, LockMode, LockStep};

const PENDING: u8 = 0;
const RESERVED: u8 = 1;
const SHARED: u8 = 2;
/// The number of slot 0 of the WAL index; slot n is this plus n.
pub(crate) const WAL_SLOT_0: u8 = 3;

/// Takes a lock or says SQLITE_BUSY.
fn take(file: &File, number: u8, mode: LockMode) -> Outcome<()> {
    match file.try_lock(number, mode).or_code(code::IOERR_LOCK)? {
        true => Ok(()),
        false => Err(code::BUSY.into()),
    }
}

/// The lock level of one handle.
#[derive(Debug)]
pub(crate) struct Locks {
    level: LockLevel,
    /// RESERVED is held; rolling back a hot journal goes from SHARED to EXCLUSIVE without it.
    reserved: bool,
}

impl Locks {
    pub(crate) fn new() -> Locks {
        Locks { level: LockLevel::None, reserved: false }
    }

    pub(crate) fn level(&self) -> LockLevel {
        self.level
    }

    /// Whether RESERVED was taken on the way to the present level.
    pub(crate) fn holds_reserved(&self) -> bool {
        self.reserved
    }

    /// Raises the level as xLock does: BUSY leaves the level where it was, or at PENDING on the way to EXCLUSIVE.
    pub(crate) fn raise(&mut self, file: &File, level: LockLevel) -> Outcome<()> {
        if level <= self.level {
            return Ok(());
        }
        match level {
            LockLevel::None => {}
            LockLevel::Shared => {
                // A writer waits for the readers to leave: a new one stays out. Missing it by a moment is harmless.
                let steps = [LockStep::Pass(PENDING), LockStep::Take(SHARED, LockMode::Shared)];
                if file.change_locks(&steps).or_code(code::IOERR_RDLOCK)? < steps.len() {
                    return Err(code::BUSY.into());
                }
            }
            LockLevel::Reserved => {
                take(file, RESERVED, LockMode::Exclusive)?;
                self.reserved = true;
            }
            LockLevel::Pending => take(file, PENDING, LockMode::Exclusive)?,
            LockLevel::Exclusive => {
                // Where there is no reader to wait for, new ones need not be kept out while waiting.
                let is_free = self.level < LockLevel::Pending
                    && file.try_lock(SHARED, LockMode::Exclusive).or_code(code::IOERR_LOCK)?;
                if !is_free {
                    let steps = [PENDING, SHARED].map(|number| LockStep::Take(number, LockMode::Exclusive));
                    let taken = file.change_locks(&steps).or_code(code::IOERR_LOCK)?;
                    if taken > 0 {
                        self.level = LockLevel::Pending;
                    }
                    if taken < steps.len() {
                        return Err(code::BUSY.into());
                    }
                }
            }
        }
        self.level = level;
        Ok(())
    }

    /// Whether what this handle holds is in the way of who holds what it wants: it wants RESERVED, and the writer waits for the
    /// readers to leave.
    pub(crate) fn obstruct(&self, file: &File, wanted: LockLevel) -> bool {
        let is_writer_waiting =
            || file.change_locks(&[LockStep::Pass(PENDING)]).is_ok_and(|passed| passed == 0);
        wanted == LockLevel::Reserved && is_writer_waiting()
    }

    /// Lowers the level to SHARED or NONE, as xUnlock does.
    pub(crate) fn lower(&mut self, file: &File, level: LockLevel) -> Outcome<()> {
        if level >= self.level {
            return Ok(());
        }
        let shared = match level {
            LockLevel::None => LockStep::Leave(SHARED),
            _ => LockStep::Take(SHARED, LockMode::Shared),
        };
        // What is not held is left for nothing.
        let steps = [shared, LockStep::Leave(RESERVED), LockStep::Leave(PENDING)];
        file.change_locks(&steps).or_code(code::IOERR_UNLOCK)?;
        self.reserved = false;
        self.level = level;
        Ok(())
    }

    /// Whether anybody, this handle included, holds RESERVED or more.
    pub(crate) fn is_reserved(&self, file: &File) -> Outcome<bool> {
        if self.level > LockLevel::Shared {
            return Ok(true);
        }
        Ok(file.lock_state(RESERVED).or_code(code::IOERR_CHECKRESERVEDLOCK)?.exclusive_by_other)
    }
}
