//! The order of things: what was stored becomes flushed, what was flushed becomes durable, and only a proof of that lets
//! a pointer to it be published.
//!
//! | | flush | fence | barrier |
//! |---|---|---|---|
//! | byte | - | sfence | sfence |
//! | line | clwb, clflushopt or clflush | sfence | sfence |
//! | page | remembers the pages | msync of them, or fdatasync | fdatasync, one for all who ask |
//! | flushing off, private | - | - | - |
//!
//! `Stored` and `Flushed` are not `Send`: a fence drains the CPU that it runs on.
#![expect(unsafe_code, reason = "flushes checked ranges")]

use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};

use super::arch;
use super::failed_sync::{FailedSync, SyncCall};
use super::region::{Intent, Persistence, Region, bytes};
use crate::error::{Error, ErrorKind, Result};
use crate::os::file;
use crate::units::{BLOCK_SIZE, PoolOffset};

/// Bytes were stored and are not durable yet.
#[must_use = "what was stored is not durable before it is flushed and fenced"]
#[derive(Debug)]
pub(crate) struct Stored {
    at: PoolOffset,
    /// 0 if nothing is left to flush.
    len: u64,
    _this_cpu: PhantomData<*const ()>,
}

/// Bytes are on their way to the medium and durable after the next fence.
#[must_use = "what was flushed is not durable before it is fenced"]
#[derive(Debug, Default)]
pub(crate) struct Flushed {
    /// Ranges `[start, end)` of whole pages to sync; empty on line media.
    pages: Vec<(u64, u64)>,
    /// A flush that faulted, which the fence reports.
    lost: Option<(PoolOffset, u64)>,
    _this_cpu: PhantomData<*const ()>,
}

/// Proof that what was flushed before is durable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Durable(pub(super) ());

impl Stored {
    pub(super) fn range(at: PoolOffset, len: u64) -> Stored {
        Stored { at, len, _this_cpu: PhantomData }
    }

    /// Nothing to flush.
    pub(crate) fn none() -> Stored {
        Stored::range(PoolOffset(0), 0)
    }

    /// Stored around the cache: only a fence is missing.
    pub(super) fn flushed() -> Stored {
        Stored::none()
    }

    /// Both, for one flush of all from the first to the last byte: for stores that lie close to each other.
    pub(crate) fn join(self, other: Stored) -> Stored {
        if self.len == 0 || other.len == 0 {
            return if self.len == 0 { other } else { self };
        }
        let end = (self.at.0 + self.len).max(other.at.0 + other.len);
        let at = self.at.min(other.at);
        Stored::range(at, end - at.0)
    }

    /// Leaves the store to whoever syncs the pool next, or flushes the range by [`Region::flush_range`].
    pub(crate) fn leave_unflushed(self) {}
}

impl Flushed {
    /// Nothing to fence.
    pub(crate) fn none() -> Flushed {
        Flushed::default()
    }

    /// Both, for one fence.
    pub(crate) fn join(mut self, other: Flushed) -> Flushed {
        if self.pages.is_empty() {
            self.pages = other.pages;
        } else {
            self.pages.extend(other.pages);
        }
        self.lost = self.lost.or(other.lost);
        self
    }
}

impl Region {
    /// Starts making a store durable.
    #[cfg_attr(feature = "sim", track_caller)]
    pub(crate) fn flush(&self, stored: Stored) -> Flushed {
        self.flush_range(stored.at, stored.len)
    }

    /// As [`Region::flush`] for file data: on page media it stays for the next sync, and costs nothing now.
    #[cfg_attr(feature = "sim", track_caller)]
    pub(crate) fn flush_data(&self, stored: Stored) -> Flushed {
        if self.persistence == Persistence::Page { Flushed::none() } else { self.flush(stored) }
    }

    /// As [`Region::flush_range`], for what was stored through a mapping of a file.
    #[cfg_attr(feature = "sim", track_caller)]
    pub(crate) fn flush_mapped(&self, at: PoolOffset, len: u64) -> Result<Flushed> {
        self.note_mapped(at, len)?;
        Ok(self.flush_range(at, len))
    }

    /// Tells the recorder, which sees no stores through pointers, that there were some.
    #[cfg_attr(feature = "sim", track_caller)]
    pub(crate) fn note_mapped(&self, at: PoolOffset, len: u64) -> Result<()> {
        let noted = self.noting_store(at, len, false, || Ok(()));
        noted.map_err(|lost| self.lost(lost, at, len, Intent::Store))
    }

    /// Starts making durable whatever was stored in `[at, at + len)` by ordinary stores, by anybody.
    #[cfg_attr(feature = "sim", track_caller)]
    pub(crate) fn flush_range(&self, at: PoolOffset, len: u64) -> Flushed {
        let mut flushed = Flushed::none();
        if len == 0 {
            return flushed;
        }
        match self.persistence {
            Persistence::None | Persistence::Byte => {}
            Persistence::Line => {
                let answer = match self.range(at, len) {
                    // SAFETY: a checked range of the watched pool, not empty; `cpu` was detected.
                    Ok(start) => self.noting_flush(at, len, || unsafe {
                        arch::flush(self.cpu, start.as_ptr(), bytes(len))
                    }),
                    Err(_) => Err(arch::Lost),
                };
                flushed.lost = answer.err().map(|_| (at, len));
            }
            Persistence::Page => {
                let end = at.0.saturating_add(len).next_multiple_of(BLOCK_SIZE);
                flushed.pages.push((at.0 / BLOCK_SIZE * BLOCK_SIZE, end));
            }
        }
        flushed
    }

    /// Waits until what was flushed is durable.
    ///
    /// # Errors
    /// [`ErrorKind::MediaError`] if memory was lost; the error of the failed sync on page media, after which the region
    /// stays read-only.
    #[cfg_attr(feature = "sim", track_caller)]
    pub(crate) fn fence(&self, flushed: Flushed) -> Result<Durable> {
        self.check_syncs()?;
        if let Some((at, len)) = flushed.lost {
            return Err(self.lost(arch::Lost, at, len, Intent::Load));
        }
        match self.persistence {
            Persistence::None => {}
            Persistence::Byte | Persistence::Line => self.noting_fence(arch::drain),
            Persistence::Page => self.sync_pages(flushed.pages)?,
        }
        Ok(Durable(()))
    }

    /// Waits until everything stored so far is durable: on page media whoever stored it, on line media what this CPU
    /// flushed (there every writer fences its own stores).
    #[cfg_attr(feature = "sim", track_caller)]
    pub(crate) fn barrier(&self) -> Result<Durable> {
        self.check_syncs()?;
        match self.persistence {
            Persistence::None => {}
            Persistence::Byte | Persistence::Line => self.noting_fence(arch::drain),
            Persistence::Page => self.sync_file()?,
        }
        Ok(Durable(()))
    }

    /// Why nothing can be made durable any more, if a sync has failed in this process or another.
    pub(crate) fn failed(&self) -> Option<Error> {
        self.check_syncs().err()
    }

    /// Names the word, all zeros until then, by which processes tell each other of a failed sync.
    pub(crate) fn share_failures(&self, at: PoolOffset) {
        self.syncs.shared.store(at.0, Ordering::Release);
    }

    #[inline]
    fn check_syncs(&self) -> Result<()> {
        self.syncs.check()?;
        if self.persistence == Persistence::Page { self.check_others_syncs() } else { Ok(()) }
    }

    fn check_others_syncs(&self) -> Result<()> {
        let shared = self.syncs.shared.load(Ordering::Acquire);
        if shared == 0 {
            return Ok(());
        }
        match FailedSync::decode(self.load(PoolOffset(shared))?) {
            None => Ok(()),
            Some(failed) => Err(read_only(&format!("{failed} of {} by a member", self.path().display()))),
        }
    }

    /// Makes the whole file durable, its size included. A failure is for good, as that of a barrier.
    pub(crate) fn sync_size(&self) -> Result<()> {
        self.file().sync_all().map_err(|error| self.sync_failed(SyncCall::Fsync, "fsync", &error))
    }

    /// The kernel may have dropped dirty pages: nothing that was not synced before can be trusted to be durable.
    #[cold]
    pub(super) fn sync_failed(&self, call: SyncCall, what: &str, error: &std::io::Error) -> Error {
        let failure = self.syncs.fail(format!("{what} of {} failed: {error}", self.path().display()));
        let shared = self.syncs.shared.load(Ordering::Acquire);
        let word = FailedSync { call, errno: error.raw_os_error().unwrap_or(0) }.encode();
        if shared != 0
            && let Err(error) = self.store_u64(PoolOffset(shared), word)
        {
            tracing::error!(%error, "other members do not learn of a failed sync");
        }
        failure
    }

    /// Gives the whole blocks `[at, at + len)` back to the host; they read as zeros afterwards. False where it cannot.
    pub(crate) fn discard(&self, at: PoolOffset, len: u64) -> Result<bool> {
        self.check_fork()?;
        self.range(at, len)?;
        if !at.0.is_multiple_of(BLOCK_SIZE) || !len.is_multiple_of(BLOCK_SIZE) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("discard of {len} bytes at {at}: not whole blocks"),
            ));
        }
        if len == 0 {
            return Ok(true);
        }
        let punched = file::punch_hole(self.file(), at.0, len).map_err(|error| {
            Error::os(format!("fallocate to punch a hole of {len} bytes at {at}"), error).at(self.path())
        });
        punched.inspect(|_| self.noting_discard(at, len))
    }

    /// One or two stretches are cheaper to name; for more, one flush of the whole file.
    #[cfg_attr(feature = "sim", track_caller)]
    fn sync_pages(&self, pages: Vec<(u64, u64)>) -> Result<()> {
        self.check_fork()?;
        let stretches = merge(pages);
        if stretches.len() > 2 {
            return self.sync_file();
        }
        for (start, end) in stretches {
            self.noting_flush(PoolOffset(start), end - start, || {});
            if let Err(error) = self.reservation().sync(bytes(start), bytes(end - start)) {
                let what = format!("msync of {start:#x} to {end:#x}");
                return Err(self.sync_failed(SyncCall::Msync, &what, &error));
            }
            self.noting_fence(|| {});
        }
        Ok(())
    }

    #[cfg_attr(feature = "sim", track_caller)]
    fn sync_file(&self) -> Result<()> {
        self.check_fork()?;
        self.noting_flush(PoolOffset(0), self.len(), || {});
        self.syncs.run(|| {
            if let Err(error) = self.file().sync_data() {
                drop(self.sync_failed(SyncCall::Fdatasync, "fdatasync", &error));
            }
        });
        self.syncs.check()?;
        self.noting_fence(|| {});
        Ok(())
    }
}

/// Sorted, with what touches or overlaps joined.
pub(super) fn merge(mut pages: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    pages.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::with_capacity(pages.len());
    for (start, end) in pages {
        match merged.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged
}

#[cold]
fn read_only(since: &str) -> Error {
    Error::new(ErrorKind::ReadOnly, format!("the pool is read-only since {since}; open it anew"))
}

/// Syncs of the whole file, shared by all threads that ask while one runs, and the first failure, which is for good.
#[derive(Default)]
pub(super) struct Syncs {
    failed: AtomicBool,
    failure: Mutex<String>,
    /// Where the word of [`Region::share_failures`] lies; 0: nowhere.
    shared: AtomicU64,
    state: Mutex<SyncState>,
    done: Condvar,
}

#[derive(Default)]
struct SyncState {
    running: bool,
    started: u64,
    finished: u64,
}

impl Syncs {
    #[inline]
    pub(super) fn check(&self) -> Result<()> {
        if self.failed.load(Ordering::Acquire) { Err(self.error()) } else { Ok(()) }
    }

    #[cold]
    fn error(&self) -> Error {
        read_only(&self.failure.lock())
    }

    #[cold]
    fn fail(&self, what: String) -> Error {
        let mut failure = self.failure.lock();
        if failure.is_empty() {
            *failure = what;
        }
        drop(failure);
        self.failed.store(true, Ordering::Release);
        self.error()
    }

    /// Returns after a `sync` that began after this call did, run by this thread or another.
    pub(super) fn run(&self, sync: impl FnOnce()) {
        let mut state = self.state.lock();
        let needed = state.started + 1;
        while state.running {
            self.done.wait(&mut state);
            if state.finished >= needed {
                return;
            }
        }
        state.running = true;
        state.started += 1;
        let number = state.started;
        drop(state);
        sync();
        let mut state = self.state.lock();
        state.finished = number;
        state.running = false;
        self.done.notify_all();
    }
}
