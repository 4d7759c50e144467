//! What the handles of this process hold of an inode's locks; the process's mutex is around all of it.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use super::locks::{LOCKS, LockMode};

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

impl Held {
    /// What `holder` holds.
    pub(super) fn holding(&self, holder: HandleId) -> Holding {
        self.handles.get(&holder).copied().unwrap_or_default()
    }

    /// Notes that `holder` holds this: what [`Held::holding`] answered, and [`Held::set`] changed.
    pub(super) fn hold(&mut self, holder: HandleId, holding: Holding) {
        *self.handles.entry(holder).or_default() = holding;
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

    /// The handle is no more, and holds nothing.
    pub(super) fn forget(&mut self, holder: HandleId) {
        let mut holding = self.handles.remove(&holder).unwrap_or_default();
        for index in 0..LOCKS {
            self.set(&mut holding, index, None);
        }
    }
}
