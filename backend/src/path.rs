//! Host paths that go through a pool.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::{Component, Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::format::superblock::MAGIC;

/// A host path split where it enters a pool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PoolPath {
    /// The host path of the pool.
    pub pool: PathBuf,
    /// The path inside it, absolute.
    pub inner: PathBuf,
}

impl PoolPath {
    /// The path inside, absolute and without `.` and `..`.
    #[must_use]
    pub fn normal(&self) -> PathBuf {
        normal(&self.inner)
    }
}

/// A path in a pool, absolute and without `.` and `..`.
pub(crate) fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => normal.push(name),
            Component::ParentDir => drop(normal.pop()),
            _ => {}
        }
    }
    normal
}

/// Splits `/dir/app.pool/sub/main.db` into the pool and the path inside: the first component that is no directory and
/// begins with a pool's magic is the pool. Nothing where the path goes through no pool, exists or not.
///
/// # Errors
/// `PermissionDenied` where a component that may be the pool cannot be read.
pub fn split_pool_path(path: &Path) -> Result<Option<PoolPath>> {
    let mut host = PathBuf::new();
    let mut components = path.components();
    while let Some(component) = components.next() {
        host.push(component);
        let Ok(metadata) = std::fs::metadata(&host) else { return Ok(None) };
        if metadata.is_dir() {
            continue;
        }
        if !(metadata.is_file() || metadata.file_type().is_char_device()) || !is_pool(&host)? {
            return Ok(None);
        }
        let inner = Path::new("/").join(components.as_path());
        return Ok(Some(PoolPath { pool: host, inner }));
    }
    Ok(None)
}

fn is_pool(path: &Path) -> Result<bool> {
    let mut magic = [0; MAGIC.len()];
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) => {
            let error = Error::os("open", error);
            return if error.kind() == ErrorKind::NotFound { Ok(false) } else { Err(error.at(path)) };
        }
    };
    // A device that cannot be read but only mapped says so by EINVAL; it is taken for a pool and judged when it is opened.
    match file.read_exact(&mut magic) {
        Ok(()) => Ok(magic == MAGIC),
        Err(error) => Ok(error.raw_os_error() == Some(libc::EINVAL)),
    }
}
