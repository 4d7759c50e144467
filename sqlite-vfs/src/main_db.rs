//! The main database file: what SQLite writes to it is staged as one batch and published as one at commit.
//!
//! Writes go to the file directly only while a checkpoint copies the WAL into it, from FCNTL_CKPT_START to FCNTL_CKPT_DONE
//! and the truncation after that: the WAL is what makes those safe.
//!
//! A transaction is dropped by a failed write, by unlocking and by closing. Unlocking without a commit is what SQLite
//! does when rolling back has failed too; what is staged then is half a transaction.

use crate::control;
use crate::error::{Failure, OrCode, Outcome};
use crate::fetch::Fetched;
use crate::ffi::{code, iocap};
use crate::file::{Answer, Control, LockLevel, ShmAction, VfsFile};
use crate::locks::Locks;
use crate::open::sibling;
use crate::pools::PoolRef;
use crate::staging::Staging;
use crate::wal_index::WalIndex;
use daxcow::{File, FlushMode, Medium};
use std::ffi::c_int;
use std::path::PathBuf;
use std::ptr::NonNull;

/// Whether writes bypass the batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Checkpoint {
    None,
    Copying,
    /// The pages are copied; the truncation and the sync that end the checkpoint may follow.
    Copied,
}

/// How a database is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Content {
    /// It may change.
    Live,
    /// It is in a snapshot and cannot change, but has content in its WAL.
    FrozenWithWal,
    /// It cannot change, and the file is all there is.
    Frozen,
    /// It may change, and nobody else knows it: a private copy that is being recovered.
    Private,
}

/// An open main database.
pub(crate) struct MainDb {
    staging: Staging,
    pub(crate) wal_index: WalIndex,
    pub(crate) file: File,
    pub(crate) pool: PoolRef,
    /// The path in the pool; that of the snapshot, if it is one.
    pub(crate) path: PathBuf,
    pub(crate) content: Content,
    pub(crate) locks: Locks,
    checkpoint: Checkpoint,
    fetched: Fetched,
    pub(crate) settings: control::Settings,
    /// True of the medium, not of a setting.
    characteristics: c_int,
    /// SQLITE_FCNTL_NULL_IO came: the file is not to be touched again.
    detached: bool,
}

impl MainDb {
    pub(crate) fn new(pool: PoolRef, path: PathBuf, file: File, content: Content, powersafe: bool) -> MainDb {
        let characteristics = characteristics(&pool, content);
        MainDb {
            pool,
            path,
            file,
            content,
            locks: Locks::new(),
            wal_index: WalIndex::new(content != Content::Live),
            staging: Staging::new(),
            checkpoint: Checkpoint::None,
            fetched: Fetched::new(),
            settings: control::Settings::new(powersafe),
            characteristics,
            detached: false,
        }
    }

    /// The path of the rollback journal in the pool.
    pub(crate) fn journal_path(&self) -> PathBuf {
        sibling(&self.path, "-journal")
    }

    /// The path of the WAL in the pool.
    pub(crate) fn wal_path(&self) -> PathBuf {
        sibling(&self.path, "-wal")
    }

    /// Whether a transaction is staged that is not published.
    pub(crate) fn is_staged(&self) -> bool {
        self.staging.is_staged()
    }

    /// Notes the errno behind a failure, for SQLITE_FCNTL_LAST_ERRNO.
    fn noting<T>(&mut self, outcome: Outcome<T>) -> Outcome<T> {
        if let Err(Failure { errno, .. }) = &outcome {
            self.settings.last_errno = *errno;
        }
        outcome
    }

    fn usable(&self, operation: c_int) -> Outcome<()> {
        self.wal_index.check().or_code(operation)?;
        if self.detached || self.fetched.is_failed() { Err(operation.into()) } else { Ok(()) }
    }

    /// FCNTL_SYNC: all writes of the transaction are in.
    fn complete(&mut self, super_journal: Option<&[u8]>) -> Outcome<()> {
        if let Some(name) = super_journal {
            self.staging.wait_for(name, &self.pool);
            return Ok(());
        }
        self.staging.complete();
        // Playing back a journal that came from elsewhere: with synchronous=OFF there is neither an xSync nor a
        // COMMIT_PHASETWO before SQLite removes that journal.
        if !self.locks.holds_reserved() && self.is_staged() {
            let is_private = self.content == Content::Private;
            if is_private || self.pool.pool.exists(self.journal_path()).or_code(code::IOERR_ACCESS)? {
                return self.staging.publish();
            }
        }
        Ok(())
    }

    /// COMMIT_PHASETWO: SQLite has decided. What is staged yet came without a sync, or after it.
    fn commit(&mut self) -> Outcome<()> {
        let published = self.staging.publish();
        self.release_if_unlocked();
        published
    }

    /// With nolock=1 no xUnlock will say that the transaction has ended.
    fn release_if_unlocked(&mut self) {
        if self.locks.level() == LockLevel::None {
            self.staging.release_if_empty();
        }
    }
}

impl VfsFile for MainDb {
    fn read(&mut self, into: &mut [u8], offset: u64) -> Outcome<usize> {
        self.usable(code::IOERR_READ)?;
        let found = self.staging.read(&self.file, into, offset).or_code(code::IOERR_READ);
        self.noting(found)
    }

    fn write(&mut self, from: &[u8], offset: u64) -> Outcome<()> {
        self.usable(code::IOERR_WRITE)?;
        let written = if self.checkpoint == Checkpoint::Copying {
            self.file.write_at(from, offset).or_code(code::IOERR_WRITE)
        } else {
            self.checkpoint = Checkpoint::None;
            self.staging.write(&self.file, from, offset)
        };
        self.noting(written)
    }

    fn truncate(&mut self, size: u64) -> Outcome<()> {
        self.usable(code::IOERR_TRUNCATE)?;
        let truncated = if self.checkpoint == Checkpoint::None {
            self.staging.truncate(&self.file, size)
        } else {
            self.file.set_len(size).or_code(code::IOERR_TRUNCATE)
        };
        self.noting(truncated)
    }

    fn sync(&mut self) -> Outcome<()> {
        self.usable(code::IOERR_FSYNC)?;
        let synced = if self.checkpoint == Checkpoint::None {
            self.staging.publish_complete()
        } else {
            self.checkpoint = Checkpoint::None;
            self.file.sync_data().or_code(code::IOERR_FSYNC)
        };
        self.release_if_unlocked();
        self.noting(synced)
    }

    fn size(&mut self) -> Outcome<u64> {
        self.usable(code::IOERR_FSTAT)?;
        let size = self.staging.size(&self.file).or_code(code::IOERR_FSTAT);
        self.noting(size)
    }

    fn lock(&mut self, level: LockLevel) -> Outcome<()> {
        if self.content != Content::Live {
            return Ok(());
        }
        self.checkpoint = Checkpoint::None;
        let mut patience = self.settings.patience();
        let locked = loop {
            match self.locks.raise(&self.file, level) {
                Err(Failure { code: code::BUSY, .. })
                    if patience.allows_another_try(!self.locks.obstruct(&self.file, level)) => {}
                outcome => break outcome,
            }
        };
        self.noting(locked)
    }

    fn unlock(&mut self, level: LockLevel) -> Outcome<()> {
        if level < LockLevel::Reserved && self.locks.level() > LockLevel::Shared {
            self.staging.discard();
        }
        self.checkpoint = Checkpoint::None;
        let unlocked = self.locks.lower(&self.file, level);
        self.noting(unlocked)
    }

    fn is_reserved(&mut self) -> Outcome<bool> {
        self.locks.is_reserved(&self.file)
    }

    fn control(&mut self, control: Control<'_>) -> Outcome<Answer> {
        match control {
            Control::Sync { super_journal } => self.complete(super_journal.map(std::ffi::CStr::to_bytes))?,
            Control::CommitPhaseTwo => self.commit()?,
            Control::CheckpointStart => {
                self.staging.release_if_empty();
                self.checkpoint = Checkpoint::Copying;
            }
            Control::CheckpointDone => self.checkpoint = Checkpoint::Copied,
            Control::MmapSize(limit) => *limit = self.fetched.set_limit(*limit),
            Control::NullIo => {
                self.staging.discard();
                self.detached = true;
            }
            Control::Visit(visit) => visit(self),
            other => return control::answer(self, other),
        }
        Ok(Answer::Done)
    }

    fn device_characteristics(&self) -> c_int {
        let powersafe = if self.settings.powersafe { iocap::POWERSAFE_OVERWRITE } else { 0 };
        self.characteristics | powersafe
    }

    fn shm_map(&mut self, region: usize, size: usize, extend: bool) -> Outcome<Option<NonNull<u8>>> {
        let mapped = self.wal_index.map(&self.file, region, size, extend);
        self.noting(mapped)
    }

    fn shm_lock(&mut self, first: u8, count: u8, action: ShmAction) -> Outcome<()> {
        let mut patience = self.settings.patience();
        let is_short = WalIndex::is_for_writing(first, action);
        loop {
            match self.wal_index.lock(&self.file, first, count, action) {
                Err(Failure { code: code::BUSY, .. }) if patience.allows_another_try(is_short) => {}
                outcome => break self.noting(outcome),
            }
        }
    }

    fn shm_unmap(&mut self, delete: bool) -> Outcome<()> {
        let unmapped = self.wal_index.unmap(&self.file, delete);
        self.noting(unmapped)
    }

    fn fetch(&mut self, offset: u64, len: usize) -> Outcome<Option<NonNull<u8>>> {
        self.usable(code::IOERR_MMAP)?;
        if self.is_staged() {
            return Ok(None); // the transaction's own pages are in the batch
        }
        let fetched = self.fetched.fetch(&self.file, offset, len).or_code(code::IOERR_MMAP);
        self.noting(fetched)
    }

    fn unfetch(&mut self, pointer: NonNull<u8>) {
        self.fetched.unfetch(pointer);
    }
}

/// What holds on this medium of the database, and of its WAL, about which SQLite asks the database.
///
/// Where every store is durable when the call returns, writes reach the medium in order (SEQUENTIAL) and what is appended
/// before the size that covers it (SAFE_APPEND). The page cache writes back as it likes: nothing of the kind is claimed.
fn characteristics(pool: &PoolRef, content: Content) -> c_int {
    let durability = pool.pool.durability();
    let in_order = match durability.medium {
        Medium::FsDax | Medium::DevDax => durability.flush == FlushMode::On,
        Medium::Volatile => true, // survives processes only, and those see stores in order
        Medium::PageCache => false,
    };
    let ordered = if in_order { iocap::SEQUENTIAL | iocap::SAFE_APPEND } else { 0 };
    let immutable = if content == Content::Frozen { iocap::IMMUTABLE } else { 0 };
    ordered | immutable | iocap::SUBPAGE_READ
}
