//! The public pool handle: a tree of files, and what can be done to all of it.

mod names;
#[cfg(feature = "sim")]
mod record;
mod snapshots;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::dax::batch;
use crate::error::{Error, ErrorKind, Result};
use crate::file::{Batch, File, FileOptions};
use crate::inode::Core;
use crate::mount::check::{CheckReport, Problem};
use crate::mount::info::PoolInfo;
use crate::mount::open::Opening;
use crate::mount::repair::RepairReport;
use crate::mount::usage::SpaceUsage;
use crate::mount::{self, CreateOptions, OpenOptions};
use crate::namespace::tree::Authority;
use crate::namespace::tree::Namespace;
use crate::namespace::{format_namespace, resolve};
use crate::os::file::identity;
use crate::os::per_process::PerProcess;
use crate::pmem::Access;
use crate::pmem::medium::Durability;

/// An open pool. Clones are handles of the same membership; the last one to go ends it. All calls may be made from any
/// thread, and by any number of processes (up to 256 at once) that have the same pool open.
///
/// Paths lead from the pool's root, with or without a slash at the front; `.` and `..` are resolved in the path itself.
#[derive(Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

/// A pool that may have been closed by everybody who held it.
pub(crate) struct WeakPool(Weak<Inner>);

impl WeakPool {
    /// The pool, if somebody still holds it and this process opened it.
    pub(crate) fn upgrade(&self) -> Option<Pool> {
        let pool = Pool { inner: self.0.upgrade()? };
        (!pool.is_inherited()).then_some(pool)
    }
}

struct Inner {
    /// Taken by the close; there until then.
    core: Arc<Core>,
    path: PathBuf,
    opening: Opening,
}

/// Pools opened by [`Pool::open_shared`], by device and inode of the host file.
static SHARED: PerProcess<Mutex<SharedPools>> = PerProcess::new(Mutex::default);

type SharedPools = HashMap<(u64, u64), WeakPool>;

impl Pool {
    /// Creates a pool and opens it.
    ///
    /// # Errors
    /// `AlreadyExists` unless told to overwrite, `Busy` where that is a pool in use, `InvalidInput` for a size out of
    /// range, `NoSpace` where the host has not that much, `UnsupportedMedium` for network file systems and where
    /// `Dax::Always` cannot be had.
    pub fn create(path: impl AsRef<Path>, options: &CreateOptions) -> Result<Pool> {
        let path = path.as_ref();
        let core = mount::create::create(path, options, format_namespace)?;
        let opening = Opening { clean: true, recovery: None };
        Ok(Pool { inner: Arc::new(Inner { core, path: path.to_owned(), opening }) })
    }

    /// Opens a pool: joins its members, or is the first, and then recovers it if it was not closed.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied`, `NotAPool`, `UnsupportedVersion`, `UnsupportedMedium`, `Corrupt` where the file is
    /// truncated or damaged, `Busy` where all member slots are taken, or another process is opening, closing or repairing the
    /// pool for longer than a minute, as a stopped one may.
    pub fn open(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Pool> {
        let path = path.as_ref();
        let (core, opening) = mount::open::open(path, options)?;
        Ok(Pool { inner: Arc::new(Inner { core, path: path.to_owned(), opening }) })
    }

    /// As [`Pool::open`], but a process that has the same pool open by this call already gets another handle of it.
    ///
    /// # Errors
    /// As [`Pool::open`].
    pub fn open_shared(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Pool> {
        let path = path.as_ref();
        let host = std::fs::File::open(path).map_err(|error| Error::os("open", error).at(path))?;
        let node = identity(&host).map_err(|error| Error::os("stat", error).at(path))?;
        let mut shared = SHARED.get().lock();
        let key = (node.device, node.inode);
        if let Some(pool) = shared.get(&key).and_then(WeakPool::upgrade) {
            return Ok(pool);
        }
        let pool = Pool::open(path, options)?;
        shared.insert(key, pool.downgrade());
        Ok(pool)
    }

    /// Ends this handle. The last one gives back what the process held, and says whether that went well; dropping does the
    /// same and says nothing.
    ///
    /// # Errors
    /// `Io` where the last sync failed; `Busy` where another process is opening or closing the pool for longer than a minute,
    /// after which this one counts as dead, and whoever opens next recovers; `MediaError`.
    pub fn close(self) -> Result<()> {
        match Arc::try_unwrap(self.inner) {
            Ok(inner) => mount::close::close(inner.core),
            Err(_) => Ok(()),
        }
    }

    /// Whether a process that this one was forked from has opened the pool: then all calls fail with `Forked`.
    #[must_use]
    pub fn is_inherited(&self) -> bool {
        self.core().store.runtime.region.check_fork().is_err()
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.inner.core
    }

    pub(crate) fn downgrade(&self) -> WeakPool {
        WeakPool(Arc::downgrade(&self.inner))
    }

    /// Whether both are handles of one opening of one pool.
    pub(crate) fn is_same(&self, other: &Pool) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Fails where the pool may only be read.
    pub(crate) fn writable(&self) -> Result<()> {
        let region = &self.core().store.runtime.region;
        match region.access() {
            Access::ReadWrite => region.failed().map_or(Ok(()), Err),
            _ => Err(Error::new(ErrorKind::ReadOnly, "the pool is open for reading only").at(self.path())),
        }
    }

    fn marked<T>(&self, path: &Path, change: impl FnOnce(&Namespace<'_>) -> Result<T>) -> Result<T> {
        self.writable()?;
        let changed = {
            let namespace = Namespace::lock(&self.core().store, Authority::Caller)?;
            change(&namespace)
        };
        self.reclaim_queued();
        changed
            .map_err(|error| error.context(format_args!("{}:{}", self.inner.path.display(), path.display())))
    }

    /// Frees what the recovery of a dead member has left for an operation that holds no lock.
    pub(crate) fn reclaim_queued(&self) {
        if let Err(error) = mount::recover::reclaim(self.core()) {
            tracing::warn!(%error, "inodes without a name stay until somebody frees them");
        }
    }

    /// The host path it was opened by.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// What the pool is, who uses it, and what it survives.
    ///
    /// # Errors
    /// `MediaError`, `Corrupt`.
    pub fn info(&self) -> Result<PoolInfo> {
        mount::info::info(self.core(), &self.inner.opening)
    }

    /// What its medium survives.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.core().store.runtime.region.durability().clone()
    }

    /// How full it is.
    ///
    /// # Errors
    /// `MediaError`.
    pub fn usage(&self) -> Result<SpaceUsage> {
        mount::usage::usage(self.core())
    }

    /// Enlarges the pool to `new_size` bytes while it is in use; other members follow by themselves.
    ///
    /// # Errors
    /// `InvalidInput` for a size that is not greater, `TooLarge` beyond the address space reserved at open, `NoSpace` of the
    /// host.
    pub fn grow(&self, new_size: u64) -> Result<()> {
        self.writable()?;
        mount::grow::grow(self.core(), new_size)
    }

    /// Gives the memory or disk space of free blocks back to the host; answers how many bytes. The host gives it again when
    /// it is needed.
    ///
    /// # Errors
    /// `Io`.
    pub fn trim(&self) -> Result<u64> {
        self.writable()?;
        mount::trim::trim(self.core())
    }

    /// Makes everything durable that any member has written, as far as the medium can.
    ///
    /// # Errors
    /// `Io`; from then on the pool is read-only.
    pub fn sync(&self) -> Result<()> {
        mount::sync::sync(self.core())
    }

    /// Puts right what contradicts the format in the pool at `path`, as far as that needs no guessing; nobody may have it open. Counts
    /// are made right, names that lead nowhere are taken away, what has no name gets one in `/lost+found`, a file that shares a
    /// block with a directory gets a copy of its own, and ranges of files behind damaged words are given up as lost: they read as
    /// [`Corrupt`](ErrorKind::Corrupt), and what can be read of the file stays. It can be killed at any moment and run again.
    ///
    /// # Errors
    /// `Busy` where somebody has the pool open; those of [`Pool::open`]. What cannot be put right is in the report.
    pub fn repair(path: impl AsRef<Path>, options: &OpenOptions) -> Result<RepairReport> {
        mount::repair::repair(path.as_ref(), options)
    }

    /// Looks for contradictions in the whole pool while nothing changes in it, and repairs nothing.
    ///
    /// # Errors
    /// `Busy` where operations in flight do not end, `MediaError`. What is found is in the report.
    pub fn check(&self) -> Result<CheckReport> {
        mount::check::check(self.core())
    }

    /// Reads every byte of every file and map once: memory that is lost, by every path (of files, directories and
    /// snapshots) that leads to it and the range that is gone. Others may work meanwhile.
    ///
    /// # Errors
    /// `MediaError` where the root directory is lost. What else is lost is no error, but among the problems.
    pub fn scrub(&self) -> Result<Vec<Problem>> {
        mount::scrub::scrub(&self.core().store)
    }

    /// Opens or creates the file at `path`.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists`, `NotADirectory`, `IsADirectory`, `NameTooLong`, `InvalidInput`, `ReadOnly` for writing in
    /// a snapshot, `NoSpace`, `NoInodes`.
    pub fn open_file(&self, path: impl AsRef<Path>, options: &FileOptions) -> Result<File> {
        let path = path.as_ref();
        options.check(path)?;
        for _ in 0..16 {
            match self.try_open_file(path, options) {
                // The file was removed or replaced between its name and its inode.
                Err(error) if error.kind() == ErrorKind::Stale => {}
                opened => return opened,
            }
        }
        // Nothing moves while the namespace is locked: a name that is stale then leads nowhere.
        let namespace = self.core().namespace()?;
        let found = namespace.resolve(path)?;
        match found.inode.expect(&self.core().store, found.kind, found.generation) {
            Err(error) if error.kind() == ErrorKind::Stale => {
                let expected = format!("{:?} of generation {}", found.kind, found.generation);
                Err(Error::corrupt("directory entry", path.display(), expected, "another inode"))
            }
            Err(error) => Err(error.at(path)),
            Ok(_) => Err(Error::new(ErrorKind::Busy, "the file is replaced again and again").at(path)),
        }
    }

    fn try_open_file(&self, path: &Path, options: &FileOptions) -> Result<File> {
        let store = &self.core().store;
        let located = if options.create_new || options.create && !resolve::exists(store, path)? {
            self.marked(path, |namespace| namespace.create_file(path, options.create_new))?.0
        } else {
            resolve::resolve(store, path)?
        };
        if located.directory().is_ok() {
            return Err(Error::new(ErrorKind::IsADirectory, "it is a directory").at(path));
        }
        if located.read_only && options.write {
            return Err(Error::new(ErrorKind::ReadOnly, "it is part of a snapshot").at(path));
        }
        let open = self.core().open.open(store, located.inode.number, located.generation)?;
        let file = File::new(self.clone(), open, *options);
        if options.truncate {
            file.set_len(0)?;
        }
        Ok(file)
    }

    /// A file without a name, as O_TMPFILE: gone with its last handle.
    ///
    /// # Errors
    /// `NoSpace`, `NoInodes`, `ReadOnly`.
    pub fn open_unnamed(&self) -> Result<File> {
        self.writable()?;
        let store = &self.core().store;
        let open = {
            let _namespace = Namespace::lock(store, Authority::Caller)?;
            let new = crate::inode::table::NewInode::empty(crate::format::inode::Kind::File);
            let (inode, flushed) = crate::inode::table::Table::create(store, new)?;
            store.runtime.region.fence(flushed)?;
            self.core().open.open(store, inode.number, inode.kind(store)?.generation)?
        };
        Ok(File::new(self.clone(), open, FileOptions::new().read(true).write(true)))
    }

    /// Commits batches of different files, and removes the file `unlink`, in one transaction.
    ///
    /// # Errors
    /// `NoSpace`, `NotFound` for `unlink`, `InvalidInput` for too many batches: nothing is published and the batches are as
    /// before.
    pub fn commit_batches(&self, batches: &mut [&mut Batch], unlink: Option<&Path>) -> Result<()> {
        let store = &self.core().store;
        let mut sides = Vec::with_capacity(batches.len());
        for batch in batches {
            sides.push(batch.side_of(self)?);
        }
        match unlink {
            None => {
                let _mark = store.runtime.enter()?;
                batch::commit(store, &mut sides, &[], crate::pmem::Flushed::none())
            }
            Some(path) => self.marked(path, |namespace| {
                namespace.remove_file_with(path, |records, flushed| {
                    batch::commit(store, &mut sides, records, flushed)
                })
            }),
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("path", &self.inner.path).finish_non_exhaustive()
    }
}
