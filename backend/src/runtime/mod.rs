//! Volatile state that all members of a pool share, in the pool itself: member slots, robust locks, the cut gate.
//!
//! | module | what |
//! |---|---|
//! | [`member`] | taking, leaving and testing a member slot |
//! | [`robust`] | locks that survive the death of who holds them |
//! | [`gate`] | the cut gate: marks of operations in flight, and closing it for a snapshot |
//! | [`mappings`] | live mappings of files, and taking rights back from the members that have some |
//! | [`memory`] | the words, byte locks and clock that all of these stand on |
//! | [`sequence`] | an inode's sequence counter, by which readers know that nothing moved |
//!
//! The first opener of a pool wipes this state; the words of an inode are wiped when they are first touched in an
//! epoch. Nothing here is ever flushed: it describes living processes.

pub(crate) mod gate;
pub(crate) mod mappings;
pub(crate) mod member;
pub(crate) mod memory;
#[cfg(test)]
mod model;
pub(crate) mod robust;
pub(crate) mod sequence;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::error::{Error, ErrorKind, Result};
use crate::format::layout::RUNTIME;
use crate::os::lock::LockFile;
use crate::pmem::Region;
use crate::units::PoolOffset;
use member::Member;
use memory::{ByteLocks, Memory};

/// Places in the runtime header.
pub(crate) mod at {
    use super::{PoolOffset, RUNTIME};

    /// The epoch this state belongs to, u64.
    pub(crate) const EPOCH: PoolOffset = RUNTIME;
    /// The cut gate, a robust lock.
    pub(crate) const GATE: PoolOffset = RUNTIME.add(8);
    /// What sync has failed in this epoch, u64, see [`crate::pmem::FailedSync`].
    pub(crate) const FAILED_SYNC: PoolOffset = RUNTIME.add(16);
    /// The namespace lock.
    pub(crate) const NAMESPACE: PoolOffset = RUNTIME.add(64);
    /// The lock under which the volatile words of an inode are wiped.
    pub(crate) const WIPE: PoolOffset = RUNTIME.add(68);
    /// The lock under which the superblock changes.
    pub(crate) const SUPERBLOCK: PoolOffset = RUNTIME.add(72);
    /// Free blocks that nobody has reserved, u64.
    pub(crate) const FREE_BLOCKS: PoolOffset = RUNTIME.add(128);
    /// Blocks of the pool, u64.
    pub(crate) const POOL_BLOCKS: PoolOffset = RUNTIME.add(192);
    /// Inodes in use, u64.
    pub(crate) const INODES_USED: PoolOffset = RUNTIME.add(200);
    /// Where to look for a free inode next, u64.
    pub(crate) const INODE_CURSOR: PoolOffset = RUNTIME.add(208);
    /// The lock of the list of references that wait for a barrier.
    pub(crate) const DEFERRED_LOCK: PoolOffset = RUNTIME.add(224);
    /// Held while such references are lowered.
    pub(crate) const SETTLING: PoolOffset = RUNTIME.add(228);
    /// The first block of that list, u64.
    pub(crate) const DEFERRED: PoolOffset = RUNTIME.add(232);
    /// References that wait or are being lowered, u64.
    pub(crate) const DEFERRED_COUNT: PoolOffset = RUNTIME.add(240);
    /// Members that died in this epoch, u64: while there are any, the counts are not called clean.
    pub(crate) const DEATHS: PoolOffset = RUNTIME.add(216);
    /// Raised each time blocks of files have moved under the closed gate, before their old places are free, u64.
    pub(crate) const MOVES: PoolOffset = RUNTIME.add(248);
    /// The lock under which the counts of blocks rise that have an owner.
    pub(crate) const RAISING: PoolOffset = RUNTIME.add(256);
    /// Raised, under that lock, with each reference added to what may have been exclusive, u64.
    pub(crate) const SHARINGS: PoolOffset = RUNTIME.add(264);
}

thread_local! {
    static THREAD_NUMBER: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    };
}

/// A number of this thread's own, counted from 0: what is spread over threads takes it modulo its stripes.
pub(crate) fn thread_number() -> usize {
    THREAD_NUMBER.with(|number| *number)
}

/// What a survivor does for a dead member before its locks fall: replay its lanes, drop what it held.
pub(crate) type Recoverer = Box<dyn Fn(u32) -> Result<()> + Send + Sync>;

/// The serial number of the next [`Runtime`]; 0 is that of none.
static SERIAL: AtomicU64 = AtomicU64::new(1);

/// A pool's memory and this process's membership in it.
pub(crate) struct Runtime<M = Region, L = LockFile> {
    /// The pool's memory.
    pub(crate) region: M,
    /// The byte locks that tell living members from dead ones.
    pub(crate) lock_file: L,
    /// This member.
    pub(crate) member: Member,
    /// The epoch of all volatile state.
    pub(crate) epoch: u64,
    /// What tells it from all others that this process has had.
    pub(crate) serial: u64,
    pub(crate) mappings: mappings::Mappings,
    recoverer: OnceLock<Recoverer>,
    recovering: Mutex<()>,
    /// A transaction failed between its validity word and its end, and why.
    lost: AtomicBool,
    why_lost: OnceLock<String>,
}

impl Runtime {
    /// Binds the pieces that opening a pool has gathered.
    pub(crate) fn new(region: Region, lock_file: LockFile, member: Member, epoch: u64) -> Runtime {
        region.share_failures(at::FAILED_SYNC);
        Runtime::of(region, lock_file, member, epoch)
    }

    /// Fills volatile words with zeros, visible to all members when it returns and never waited for on the medium.
    pub(crate) fn zero_volatile(&self, at: PoolOffset, len: u64) -> Result<()> {
        let zeroed = self.region.zero(at, len)?;
        self.region.fence(self.region.flush_data(zeroed)).map(|_| ())
    }
}

impl<M: Memory, L: ByteLocks> Runtime<M, L> {
    /// A membership by these words and byte locks.
    fn of(region: M, lock_file: L, member: Member, epoch: u64) -> Runtime<M, L> {
        Runtime {
            region,
            lock_file,
            member,
            epoch,
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            mappings: mappings::Mappings::default(),
            recoverer: OnceLock::new(),
            recovering: Mutex::new(()),
            lost: AtomicBool::new(false),
            why_lost: OnceLock::new(),
        }
    }

    /// Ends this member's use of the pool: a transaction has failed half way, and only a replay can complete it. From now on
    /// the member counts as dead to itself. It begins nothing, and keeps its locks, its marks and its slot, so that nobody
    /// sees or changes what the replay will store, until it has closed the pool and another member recovers it.
    #[cold]
    pub(crate) fn lose(&self, why: &Error) {
        tracing::error!(error = %why, "a transaction failed half way: this process must close the pool");
        self.why_lost.get_or_init(|| why.to_string());
        self.lost.store(true, Ordering::SeqCst);
    }

    /// Whether [`Runtime::lose`] was called.
    #[inline]
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Fails once [`Runtime::lose`] was called.
    #[inline]
    pub(crate) fn check_lost(&self) -> Result<()> {
        if self.is_lost() { Err(self.lost_error()) } else { Ok(()) }
    }

    #[cold]
    fn lost_error(&self) -> Error {
        let why = self.why_lost.get().map_or("an error", String::as_str);
        Error::new(
            ErrorKind::ReadOnly,
            format!(
                "a transaction of this process failed half way ({why}): close the pool, and open it anew"
            ),
        )
    }

    /// Says what is to be done for a dead member; once, by whoever assembles the pool.
    pub(crate) fn set_recoverer(&self, recoverer: Recoverer) {
        if self.recoverer.set(recoverer).is_err() {
            tracing::error!("the recoverer of a pool was set twice");
        }
    }

    /// If the member in `slot` at `generation` is dead, recovers it and answers true. One's own slot is always alive.
    ///
    /// Testing and claiming are one act: the non-blocking lock on the slot's byte. Whoever holds it alone replays that
    /// member's lanes; should it die, the byte falls and the next one tries.
    pub(crate) fn recover_if_dead(&self, slot: u32, generation: u32) -> Result<bool> {
        if slot == self.member.slot {
            return Ok(generation != self.member.generation);
        }
        let _one_thread = self.recovering.lock();
        if self.slot_generation(slot)? != generation {
            return Ok(true);
        }
        if !self.lock_file.try_exclusive(member::slot_byte(slot))? {
            return Ok(false);
        }
        let recovered = self.recover_claimed(slot, generation);
        self.lock_file.unlock(member::slot_byte(slot))?;
        recovered.map(|()| true)
    }

    /// Recovers the dead member of `slot`, whose byte the caller has locked.
    pub(crate) fn recover_claimed(&self, slot: u32, generation: u32) -> Result<()> {
        if !self.slot_in_use(slot)? || self.slot_generation(slot)? != generation {
            return Ok(());
        }
        self.region.add_u64(at::DEATHS, 1)?;
        match self.recoverer.get() {
            Some(recover) => recover(slot)?,
            None => {
                return Err(Error::new(
                    ErrorKind::Busy,
                    format!("member slot {slot} cannot be recovered yet"),
                ));
            }
        }
        tracing::info!(slot, generation, "recovered a dead member");
        self.free_slot(slot, generation)
    }
}

#[cfg(test)]
mod tests {
    use super::at;

    /// Two words at one place would be a lock that a counter takes.
    #[test]
    fn the_words_of_the_runtime_header_lie_apart() {
        let mut words = [
            (at::EPOCH, 8),
            (at::GATE, 4),
            (at::FAILED_SYNC, 8),
            (at::NAMESPACE, 4),
            (at::WIPE, 4),
            (at::SUPERBLOCK, 4),
            (at::FREE_BLOCKS, 8),
            (at::POOL_BLOCKS, 8),
            (at::INODES_USED, 8),
            (at::INODE_CURSOR, 8),
            (at::DEATHS, 8),
            (at::DEFERRED_LOCK, 4),
            (at::SETTLING, 4),
            (at::DEFERRED, 8),
            (at::DEFERRED_COUNT, 8),
            (at::MOVES, 8),
            (at::RAISING, 4),
            (at::SHARINGS, 8),
        ];
        words.sort();
        for pair in words.windows(2) {
            assert!(pair[0].0.0 + pair[0].1 <= pair[1].0.0, "{pair:?} overlap");
        }
    }
}
