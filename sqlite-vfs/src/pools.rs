//! The pools that this process has open, each for as long as a file in it is.

use daxcow::{PerProcess, Place, Pool, PoolPath};
use parking_lot::{Mutex, RwLock};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// An open pool.
pub(crate) struct OpenPool {
    pub(crate) pool: Pool,
    /// The host path of the pool, absolute and free of links, and a slash: what every name in it begins with.
    prefix: Vec<u8>,
    /// When this process last looked through its snapshots for what others have left.
    swept: Mutex<Option<Instant>>,
}

pub(crate) type PoolRef = Arc<OpenPool>;

static OPEN: PerProcess<RwLock<Vec<Weak<OpenPool>>>> = PerProcess::new(RwLock::default);

impl OpenPool {
    /// Whether nobody here has looked through its snapshots for so long; whoever asks looks.
    pub(crate) fn is_sweep_due(&self, after: Duration) -> bool {
        let mut swept = self.swept.lock();
        let due = swept.is_none_or(|at| at.elapsed() > after);
        if due {
            *swept = Some(Instant::now());
        }
        due
    }

    /// The path in this pool that the full name `name` stands for, if it is one.
    pub(crate) fn inner_of<'n>(&self, name: &'n [u8]) -> Option<&'n Path> {
        let inner = name.strip_prefix(self.prefix.as_slice()).filter(|inner| !inner.is_empty())?;
        Some(Path::new(OsStr::from_bytes(inner)))
    }

    /// The name under which SQLite opens `inner`, a path in this pool.
    pub(crate) fn full_name(&self, inner: &Path) -> Vec<u8> {
        let inner = inner.as_os_str().as_bytes();
        let inner = inner.strip_prefix(b"/").unwrap_or(inner);
        [&self.prefix, inner].concat()
    }
}

/// Where `name` leads: the pool's host path without links, and the normal path in it. `None` if it leads through no pool.
pub(crate) fn resolve(name: &[u8]) -> daxcow::Result<Option<PoolPath>> {
    let path = std::path::absolute(OsStr::from_bytes(name))
        .map_err(|error| daxcow::Error::os("finding the working directory", error))?;
    // Below a directory there is no pool: pools are files, and all ancestors of a directory are directories.
    if path.parent().is_none_or(Path::is_dir) {
        return Ok(None);
    }
    let Some(found) = daxcow::split_pool_path(&path)? else { return Ok(None) };
    let inner: PathBuf = found.normal().components().skip(1).collect();
    if inner.as_os_str().is_empty() {
        return Ok(None);
    }
    let pool =
        found.pool.canonicalize().map_err(|error| daxcow::Error::os("resolving the pool's path", error))?;
    Ok(Some(PoolPath { pool, inner }))
}

/// The pool at the host path `path`, opened if need be; only for reading where more is not permitted.
pub(crate) fn open(path: &Path) -> daxcow::Result<PoolRef> {
    let pool = Place::open_pool(path)?;
    let prefix = [path.as_os_str().as_bytes(), b"/"].concat();
    let open = Arc::new(OpenPool { pool, prefix, swept: Mutex::default() });
    let mut list = OPEN.get().write();
    list.retain(|pool| pool.strong_count() > 0);
    list.push(Arc::downgrade(&open));
    Ok(open)
}

/// Calls `body` with the pool that the full name `name` leads through and the path in it, without a system call where the
/// pool is open already; `None` if it leads through no pool.
pub(crate) fn with_name<R>(
    name: &[u8],
    body: impl FnOnce(&PoolRef, &Path) -> daxcow::Result<R>,
) -> daxcow::Result<Option<R>> {
    let newest = |list: &[Weak<OpenPool>]| {
        let mut pools = list.iter().rev().filter_map(Weak::upgrade);
        pools.find_map(|pool| pool.inner_of(name).map(|inner| (pool, inner)))
    };
    let found = newest(&OPEN.get().read());
    if let Some((pool, inner)) = found {
        return body(&pool, inner).map(Some);
    }
    let Some(path) = resolve(name)? else { return Ok(None) };
    body(&open(&path.pool)?, &path.inner).map(Some)
}
