//! What the handles of this process hold of an inode's locks; the process's mutex is around all of it.

use std::sync::atomic::{AtomicU16, Ordering};

use super::locks::{LOCKS, LockMode};

/// A handle of this process, as the owner of locks: what it holds, bits by lock number. Read and changed under the process's mutex
/// only.
#[derive(Default, Debug)]
pub(crate) struct Holder {
    shared: AtomicU16,
    exclusive: AtomicU16,
}

/// What all handles of this process hold together, bits by lock number.
#[derive(Default)]
pub(super) struct Held {
    /// How many handles share each lock.
    sharers: [u32; LOCKS as usize],
    /// Locks that some handle holds alone.
    exclusive: u16,
    /// Locks where this member's bit is set among the sharers: those that some handle shares, and those that a handle has alone now
    /// and shared before.
    marked: u16,
}

/// What one handle holds, bits by lock number.
#[derive(Clone, Copy, Default)]
pub(super) struct Holding {
    shared: u16,
    exclusive: u16,
}

impl Holding {
    pub(super) const fn mode(self, index: u8) -> Option<LockMode> {
        if self.exclusive & 1 << index != 0 {
            Some(LockMode::Exclusive)
        } else if self.shared & 1 << index != 0 {
            Some(LockMode::Shared)
        } else {
            None
        }
    }
}

impl Holder {
    /// What the handle holds. The process's mutex is held.
    pub(super) fn holding(&self) -> Holding {
        Holding {
            shared: self.shared.load(Ordering::Relaxed),
            exclusive: self.exclusive.load(Ordering::Relaxed),
        }
    }

    /// Notes that it holds this: what [`Holder::holding`] answered, and [`Held::set`] changed. The same mutex is held still.
    pub(super) fn hold(&self, holding: Holding) {
        self.shared.store(holding.shared, Ordering::Relaxed);
        self.exclusive.store(holding.exclusive, Ordering::Relaxed);
    }
}

impl Held {
    /// Whether this member's bit is set among the sharers of lock `index`.
    pub(super) fn is_marked(&self, index: u8) -> bool {
        self.marked & 1 << index != 0
    }

    /// Notes whether it is.
    pub(super) fn mark(&mut self, index: u8, marked: bool) {
        self.marked = self.marked & !(1 << index) | u16::from(marked) << index;
    }

    /// Handles that share lock `index`.
    pub(super) fn sharers(&self, index: u8) -> u32 {
        self.sharers[usize::from(index)]
    }

    pub(super) fn is_exclusive(&self, index: u8) -> bool {
        self.exclusive & 1 << index != 0
    }

    /// Notes that the handle of `holding` holds lock `index` in `mode` from now on, whatever it held of it before.
    pub(super) fn set(&mut self, holding: &mut Holding, index: u8, mode: Option<LockMode>) {
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
