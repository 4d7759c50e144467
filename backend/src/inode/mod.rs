//! Inodes: their words, the table they lie in, and which of them are open.
//!
//! | module | what |
//! |---|---|
//! | [`table`] | finding, making and freeing inodes |
//! | [`open`] | open inodes and the marks that keep them alive |
//! | [`orphans`] | inodes without a name that wait to be freed |
//! | [`advisory`] | numbered locks and shared memory of an open inode, for databases |

pub(crate) mod advisory;
pub(crate) mod open;
pub(crate) mod orphans;
pub(crate) mod table;

use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::format::inode::{self, Birth, DURABLE_BYTES, INODE_SIZE, Kind, KindWord, at, field};
use crate::journal::Store;
use crate::os::process;
use crate::pmem::medium::Granularity;
use crate::pmem::{Access, Durable, Flushed, Mistake, mistake};
use crate::runtime;
use crate::runtime::mappings::Revocation;
use crate::runtime::member::Member;
use crate::runtime::robust::Held;
use crate::units::{InodeNumber, PoolOffset};

/// An inode: its number and where it lies. Inodes never move: blocks of the inode table are never shared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Inode {
    pub(crate) number: InodeNumber,
    pub(crate) place: PoolOffset,
}

impl Inode {
    /// The inode `number` at `place`, its volatile words made valid in this epoch.
    pub(crate) fn attach(store: &Store, number: InodeNumber, place: PoolOffset) -> Result<Inode> {
        let inode = Inode { number, place };
        if store.runtime.region.load(field(place, at::EPOCH))? != store.runtime.epoch {
            inode.wipe(store)?;
        }
        Ok(inode)
    }

    #[cold]
    fn wipe(&self, store: &Store) -> Result<()> {
        let region = &store.runtime.region;
        let _held = store.runtime.lock(runtime::at::WIPE)?;
        let epoch = field(self.place, at::EPOCH);
        if region.load(epoch)? != store.runtime.epoch {
            store.runtime.zero_volatile(epoch.add(8), INODE_SIZE - at::EPOCH - 8)?;
            region.store_u64(epoch, store.runtime.epoch)?;
        }
        Ok(())
    }

    /// The place of one of its fields.
    pub(crate) const fn field(&self, at: u64) -> PoolOffset {
        field(self.place, at)
    }

    /// Takes its lock.
    #[inline]
    pub(crate) fn lock<'a>(&self, store: &'a Store) -> Result<Held<'a>> {
        store.runtime.lock(self.field(at::LOCK))
    }

    pub(crate) fn kind(&self, store: &Store) -> Result<KindWord> {
        KindWord::decode(store.runtime.region.load(self.field(at::KIND))?, self.number)
    }

    pub(crate) fn links(&self, store: &Store) -> Result<u32> {
        inode::decode_links(store.runtime.region.load(self.field(at::LINKS))?, self.number)
    }

    #[inline]
    pub(crate) fn size(&self, store: &Store) -> Result<u64> {
        inode::decode_size(store.runtime.region.load(self.field(at::SIZE))?, self.number)
    }

    /// Nanoseconds since 1970 of the last change.
    pub(crate) fn modified(&self, store: &Store) -> Result<u64> {
        store.runtime.region.load(self.field(at::MODIFIED))
    }

    pub(crate) fn birth(&self, store: &Store) -> Result<Birth> {
        let mut bytes = [0; DURABLE_BYTES];
        store.runtime.region.read(self.place, &mut bytes)?;
        inode::decode_birth(&bytes, self.number)
    }

    /// What names it in every pool, if it is the top of a received snapshot.
    pub(crate) fn identity(&self, store: &Store) -> Result<Option<[u8; 16]>> {
        let mut bytes = [0; DURABLE_BYTES];
        store.runtime.region.read(self.place, &mut bytes)?;
        inode::decode_identity(&bytes, self.number)
    }

    /// That it is still `generation` of `kind`, for a handle or a directory entry made before.
    pub(crate) fn expect(&self, store: &Store, kind: Kind, generation: u32) -> Result<KindWord> {
        let found = self.kind(store)?;
        if found.kind == kind && found.generation == generation {
            return Ok(found);
        }
        let message = format!("{} is no longer what the handle was opened for", self.number);
        Err(Error::new(ErrorKind::Stale, message))
    }

    /// That in a private view it is what it was when it was attached: its blocks have not been given to others. Who frees an
    /// inode says so durably first.
    #[inline]
    pub(crate) fn expect_unmoved(&self, store: &Store) -> Result<()> {
        if store.runtime.region.access() == Access::ReadWrite { Ok(()) } else { self.expect_same_kind(store) }
    }

    #[cold]
    fn expect_same_kind(&self, store: &Store) -> Result<()> {
        let region = &store.runtime.region;
        let kind = self.field(at::KIND);
        if region.load_from_file(kind)? == region.load(kind)? {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Stale, format!("a member of the pool has removed {}", self.number)))
    }

    /// Whether a rollback put another file in its place: open handles must not write it any more.
    #[inline]
    pub(crate) fn is_replaced(&self, store: &Store) -> Result<bool> {
        Ok(store.runtime.region.load_u32(self.field(at::STALE))? != 0 && self.links(store)? == 0)
    }

    /// Says that this member replaces it, which counts once the links that the caller is about to take away are gone: whoever
    /// dies between the two has done both or neither. The caller holds the namespace lock.
    pub(crate) fn mark_replaced(&self, store: &Store) -> Result<()> {
        store.runtime.region.store_u32(self.field(at::STALE), store.runtime.member.word())
    }

    /// The member whose rollback replaced it.
    pub(crate) fn replaced_by(&self, store: &Store) -> Result<Option<Member>> {
        if !self.is_replaced(store)? {
            return Ok(None);
        }
        Ok(Some(Member::of_word(store.runtime.region.load_u32(self.field(at::STALE))?)))
    }

    /// Takes back a mark that came to nothing. The caller holds the namespace lock.
    pub(crate) fn forget_replaced(&self, store: &Store) -> Result<()> {
        let mark = self.field(at::STALE);
        match store.runtime.region.load_u32(mark)? {
            0 => Ok(()),
            _ => store.runtime.region.store_u32(mark, 0),
        }
    }

    /// Writes a new durable half, which nothing refers to yet.
    pub(crate) fn write(&self, store: &Store, bytes: &[u8; DURABLE_BYTES]) -> Result<Flushed> {
        let region = &store.runtime.region;
        Ok(region.flush(region.write(self.place, bytes)?))
    }

    /// Publishes a new size, durably.
    pub(crate) fn publish_size(&self, store: &Store, size: u64, after: &Durable) -> Result<Durable> {
        let region = &store.runtime.region;
        let stored = region.publish(self.field(at::SIZE), inode::encode_size(size, self.number), after)?;
        region.fence(region.flush(stored))
    }

    /// Says, before a size is stored lazily, that the size word may not be durable. On page media nothing is before a sync. The
    /// caller holds the lock.
    pub(crate) fn size_is_lazy(&self, store: &Store) -> Result<()> {
        match store.runtime.region.granularity() {
            Granularity::Page => Ok(()),
            _ if self.is_size_lazy(store)? => Ok(()),
            _ => store.runtime.region.store_u32(self.field(at::LAZY_SIZE), 1),
        }
    }

    /// Whether its size may not be durable.
    pub(crate) fn is_size_lazy(&self, store: &Store) -> Result<bool> {
        Ok(store.runtime.region.load_u32(self.field(at::LAZY_SIZE))? != 0)
    }

    /// Makes a size durable that was stored lazily: what is durable at return must not lie beyond the end that a crash
    /// leaves. The caller holds the lock.
    pub(crate) fn settle_size(&self, store: &Store) -> Result<()> {
        let region = &store.runtime.region;
        if !self.is_size_lazy(store)? || mistake(Mistake::LazySizeForgotten) {
            return Ok(());
        }
        region.fence(region.flush_range(self.field(at::SIZE), 8))?;
        region.store_u32(self.field(at::LAZY_SIZE), 0)
    }

    /// Before blocks of it become shared: nobody stores to them through a mapping any more. The inode is locked, or the gate
    /// closed.
    #[inline]
    pub(crate) fn protect_mapped(&self, store: &Store, blocks: Range<u64>) -> Result<()> {
        store.runtime.revoke(self.place, Revocation::Protect, blocks)
    }

    /// Before other blocks take the place of these: nobody has them mapped any more. The inode is locked.
    #[inline]
    pub(crate) fn withdraw_mapped(&self, store: &Store, blocks: Range<u64>) -> Result<()> {
        store.runtime.revoke(self.place, Revocation::Withdraw, blocks)
    }

    /// Notes that it changed now, as of the last tick of the clock. Durable with whatever is flushed of it next: a time may be
    /// lost, nothing else.
    pub(crate) fn touch(&self, store: &Store) -> Result<()> {
        let (region, modified, now) = (&store.runtime.region, self.field(at::MODIFIED), process::ticked_ns());
        // It may have been made since that tick, and is not to have changed before.
        let is_noted = region.load(modified)?.wrapping_sub(now) < TICK_NS_MAX;
        if is_noted { Ok(()) } else { region.store_release(modified, now) }
    }
}

/// Nanoseconds between two ticks of the kernel's clock, at most.
const TICK_NS_MAX: u64 = 10_000_000;

/// Nanoseconds since 1970.
pub(crate) fn now_ns() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// The storage below the files of an open pool, and the inodes this process has open in it.
pub(crate) struct Core {
    pub(crate) store: Arc<Store>,
    pub(crate) open: open::OpenInodes,
    /// Inodes that a dead member left without a name, to be freed by an operation that holds no lock.
    pub(crate) orphans: Arc<orphans::Orphans>,
    closer: Option<Closer>,
}

/// What ends this process's membership when the last handle goes.
pub(crate) type Closer = Box<dyn FnOnce(&Core) -> Result<()> + Send + Sync>;

impl Core {
    /// A pool that has just been opened; `closer` runs once, at [`Core::close`] or when the core is dropped.
    pub(crate) fn new(store: Store, closer: Option<Closer>) -> Core {
        Core { store: Arc::new(store), open: open::OpenInodes::default(), orphans: Arc::default(), closer }
    }

    /// Ends this process's membership, as dropping does, and says how that went.
    pub(crate) fn close(mut self) -> Result<()> {
        self.finish()
    }

    /// Ends this process's membership as its death does.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn abandon(mut self) {
        self.closer = None;
    }

    fn finish(&mut self) -> Result<()> {
        self.closer.take().map_or(Ok(()), |close| close(self))
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            tracing::warn!(%error, "a pool was not closed cleanly");
        }
    }
}
