//! From a path the user typed to a pool and a path in it, or to a path of the host.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use daxcow::{ErrorKind, OpenOptions, Pool, split_pool_path};

/// The pools one command has open: each is opened once, however many paths go through it.
#[derive(Default)]
pub(crate) struct Pools {
    by_real_path: RefCell<HashMap<PathBuf, Pool>>,
}

/// A path that goes through a pool.
#[derive(Clone)]
pub(crate) struct Inside {
    /// The pool, open.
    pub(crate) pool: Pool,
    /// The pool's real path on the host: two places with the same one can share blocks.
    pub(crate) real_path: PathBuf,
    /// The path within the pool.
    pub(crate) inner: PathBuf,
    /// The whole path as the user would write it.
    pub(crate) shown: PathBuf,
}

/// Where a path leads.
#[derive(Clone)]
pub(crate) enum Place {
    Host(PathBuf),
    Pool(Inside),
}

impl Pools {
    /// Where `path` leads; the pool is opened if it goes through one.
    pub(crate) fn locate(&self, path: &Path) -> Result<Place> {
        let Some(split) = split_pool_path(path).with_context(|| path.display().to_string())? else {
            return Ok(Place::Host(path.to_owned()));
        };
        let real_path = fs::canonicalize(&split.pool).with_context(|| split.pool.display().to_string())?;
        let pool = self.open(&split.pool, &real_path)?;
        Ok(Place::Pool(Inside { pool, real_path, inner: split.inner, shown: path.to_owned() }))
    }

    /// The same for a path that must go through a pool.
    pub(crate) fn inside(&self, path: &Path) -> Result<Inside> {
        match self.locate(path)? {
            Place::Pool(inside) => Ok(inside),
            Place::Host(path) => bail!("{}", why_not_in_a_pool(&path)),
        }
    }

    /// The pool that `path` names or goes through.
    pub(crate) fn pool(&self, path: &Path) -> Result<Pool> {
        Ok(self.inside(path)?.pool)
    }

    fn open(&self, path: &Path, real_path: &Path) -> Result<Pool> {
        if let Some(pool) = self.by_real_path.borrow().get(real_path) {
            return Ok(pool.clone());
        }
        let options = OpenOptions::new();
        let pool = match Pool::open(path, &options) {
            // Without permission to write, snapshots can still be read.
            Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnly) => {
                Pool::open(path, &options.read_only(true))
            }
            opened => opened,
        };
        let pool = pool.with_context(|| path.display().to_string())?;
        self.by_real_path.borrow_mut().insert(real_path.to_owned(), pool.clone());
        Ok(pool)
    }

    /// Closes all of them; on media that need it, this is where the last bytes become durable.
    pub(crate) fn close(self) -> Result<()> {
        for (path, pool) in self.by_real_path.into_inner() {
            pool.close().with_context(|| path.display().to_string())?;
        }
        Ok(())
    }
}

fn why_not_in_a_pool(path: &Path) -> String {
    let what = match fs::metadata(path) {
        Ok(found) if found.is_file() => "not a daxcow pool",
        Ok(_) => "not in a pool",
        Err(_) => "no such pool, and no pool on the way there",
    };
    format!("{}: {what}", path.display())
}

impl Inside {
    /// The entry `name` of this directory.
    pub(crate) fn join(&self, name: impl AsRef<Path>) -> Inside {
        let name = name.as_ref();
        Inside { inner: self.inner.join(name), shown: self.shown.join(name), ..self.clone() }
    }

    /// Whether this is the pool's root directory.
    pub(crate) fn is_root(&self) -> bool {
        names_root(&self.inner)
    }

    /// Whether this lies in a snapshot, where nothing changes any more.
    pub(crate) fn is_in_snapshot(&self) -> bool {
        let first =
            self.inner.components().find(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
        first == Some(Component::Normal(SNAPSHOTS.as_ref()))
    }

    /// The name this has in its directory; a root has its pool's.
    pub(crate) fn name(&self) -> Option<OsString> {
        self.shown.file_name().map(OsString::from)
    }

    /// The entries of this directory by name; the root's without `.snapshots`.
    pub(crate) fn entries(&self) -> Result<Vec<daxcow::DirEntry>> {
        let mut entries =
            self.pool.read_dir(&self.inner).with_context(|| self.shown.display().to_string())?;
        if self.is_root() {
            entries.retain(|entry| entry.name != SNAPSHOTS);
        }
        Ok(entries)
    }

    /// What is there, or None.
    pub(crate) fn metadata(&self) -> Result<Option<daxcow::Metadata>> {
        match self.pool.metadata(&self.inner) {
            Ok(metadata) => Ok(Some(metadata)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| self.shown.display().to_string()),
        }
    }
}

/// The directory of a pool's root that holds its snapshots.
pub(crate) const SNAPSHOTS: &str = ".snapshots";

/// Whether a path within a pool names the pool's root.
pub(crate) fn names_root(inner: &Path) -> bool {
    let mut depth = 0_usize;
    for part in inner.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::ParentDir => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    depth == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_has_many_names() {
        for path in ["", "/", ".", "/.", "..", "a/..", "/a/../.."] {
            assert!(names_root(Path::new(path)), "{path}");
        }
        assert!(!names_root(Path::new("a")));
        assert!(!names_root(Path::new("../a")));
    }
}
