//! The WAL index ("shm") of a database: shared memory of the pool, or private memory for a snapshot, which nobody writes.

use crate::error::{OrCode, Outcome};
use crate::ffi::{code, shm};
use crate::file::ShmAction;
use crate::locks::WAL_SLOT_0;
use daxcow::{File, LockMode, SharedMemory};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

type Region = Box<[AtomicU64]>;

enum Memory {
    Detached,
    Shared(SharedMemory),
    Private(Vec<Region>),
}

/// The WAL index as one handle sees it.
pub(crate) struct WalIndex {
    memory: Memory,
    /// Slots that this handle holds, a bit each.
    shared: u8,
    exclusive: u8,
}

impl WalIndex {
    /// An index in shared memory, attached at first use, or with `private` in memory of this handle only.
    pub(crate) fn new(private: bool) -> WalIndex {
        let memory = if private { Memory::Private(Vec::new()) } else { Memory::Detached };
        WalIndex { memory, shared: 0, exclusive: 0 }
    }

    /// Whether `action` on the slot `first` is what a transaction begins to write with: held for its length.
    pub(crate) fn is_for_writing(first: u8, action: ShmAction) -> bool {
        first == 0 && action == ShmAction::Lock(LockMode::Exclusive)
    }

    /// Whether a WAL is in use on this handle.
    pub(crate) fn is_attached(&self) -> bool {
        matches!(self.memory, Memory::Shared(_))
    }

    /// Whether this handle holds a slot: it is reading, writing or checkpointing.
    pub(crate) fn is_locked(&self) -> bool {
        self.shared | self.exclusive != 0
    }

    /// Fails once memory of the index was lost: what SQLite read there may be zeros, and what it stored may be seen by nobody.
    /// Closing all handles of the process and opening the database anew gets out of that; the WAL itself has everything.
    pub(crate) fn check(&self) -> daxcow::Result<()> {
        match &self.memory {
            Memory::Shared(memory) => memory.check(),
            Memory::Private(_) | Memory::Detached => Ok(()),
        }
    }

    /// Region number `region` of `size` bytes; `None` if there is none yet and it is not to be made.
    pub(crate) fn map(
        &mut self,
        file: &File,
        region: usize,
        size: usize,
        extend: bool,
    ) -> Outcome<Option<NonNull<u8>>> {
        if matches!(self.memory, Memory::Detached) {
            self.memory = Memory::Shared(file.shared_memory().or_code(code::IOERR_SHMMAP)?);
        }
        match &mut self.memory {
            Memory::Shared(memory) => memory.region(region, size, extend).or_code(code::IOERR_SHMMAP),
            Memory::Private(regions) => {
                if extend && regions.len() <= region {
                    let words = size.div_ceil(size_of::<u64>());
                    regions.resize_with(region + 1, || (0..words).map(|_| AtomicU64::new(0)).collect());
                }
                Ok(regions.get(region).and_then(|words| NonNull::new(words.as_ptr().cast_mut().cast())))
            }
            Memory::Detached => Err(code::IOERR_SHMMAP.into()),
        }
    }

    /// Takes or leaves `count` slots from `first` on: all or none.
    pub(crate) fn lock(&mut self, file: &File, first: u8, count: u8, action: ShmAction) -> Outcome<()> {
        if matches!(self.memory, Memory::Private(_)) {
            return Ok(());
        }
        match action {
            ShmAction::Unlock(_) => self.unlock(file, first, count),
            ShmAction::Lock(mode) => {
                for slot in first..first + count {
                    let taken = file.try_lock(WAL_SLOT_0 + slot, mode).or_code(code::IOERR_SHMLOCK);
                    if !matches!(taken, Ok(true)) {
                        self.unlock(file, first, slot - first)?;
                        return taken.and(Err(code::BUSY.into()));
                    }
                    match mode {
                        LockMode::Shared => self.shared |= 1 << slot,
                        LockMode::Exclusive => self.exclusive |= 1 << slot,
                    }
                }
                // SQLite locks before it looks, and again before it acts upon what it has found.
                let checked = self.check().or_code(code::IOERR_SHMLOCK);
                if checked.is_err() {
                    self.unlock(file, first, count)?;
                }
                checked
            }
        }
    }

    fn unlock(&mut self, file: &File, first: u8, count: u8) -> Outcome<()> {
        for slot in first..first + count {
            if (self.shared | self.exclusive) & 1 << slot != 0 {
                file.unlock(WAL_SLOT_0 + slot).or_code(code::IOERR_SHMLOCK)?;
                self.shared &= !(1 << slot);
                self.exclusive &= !(1 << slot);
            }
        }
        Ok(())
    }

    /// Whether another handle reads through the WAL: holds a read mark.
    pub(crate) fn has_external_reader(&self, file: &File) -> Outcome<bool> {
        /// The first read mark.
        const READ_0: u8 = 3;
        for slot in READ_0..shm::NLOCK {
            let state = file.lock_state(WAL_SLOT_0 + slot).or_code(code::IOERR_LOCK)?;
            if state.shared_by_others || state.exclusive_by_other {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Leaves the index; with `delete` its memory is given up when nobody else uses it.
    pub(crate) fn unmap(&mut self, file: &File, delete: bool) -> Outcome<()> {
        self.unlock(file, 0, shm::NLOCK)?;
        match std::mem::replace(&mut self.memory, Memory::Detached) {
            Memory::Shared(memory) => memory.detach(delete).or_code(code::IOERR_SHMMAP),
            Memory::Private(_) => {
                self.memory = Memory::Private(Vec::new());
                Ok(())
            }
            Memory::Detached => Ok(()),
        }
    }
}
