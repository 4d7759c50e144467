//! Where a host path leads: the pool it goes through, opened, and the path in it. What adapters ask for each name.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use parking_lot::RwLock;

use crate::error::{Error, ErrorKind, Result};
use crate::mount::OpenOptions;
use crate::os::per_process::PerProcess;
use crate::path::{normal, split_pool_path};
use crate::pool::{Pool, WeakPool};

/// A path in an open pool.
#[derive(Clone)]
pub struct Place {
    /// The pool, shared with all places of this process that lead into it.
    pub pool: Pool,
    /// The normal path in it: absolute, without `.` and `..`.
    pub path: PathBuf,
    /// The host path of the pool, absolute and free of links.
    host: PathBuf,
}

/// A pool that places lead into, for as long as somebody holds it.
struct Known {
    /// The host path of the pool and a slash: what the paths of places in it begin with.
    prefix: Vec<u8>,
    pool: WeakPool,
}

static KNOWN: PerProcess<RwLock<Vec<Known>>> = PerProcess::new(RwLock::default);

impl Place {
    /// Follows `path` into the pool it goes through, which is opened if this process has it not open by this call already:
    /// for reading only where more is not permitted. Nothing where the path goes through no pool.
    ///
    /// A path that begins as [`Place::host_path`] gives it is followed without a system call while the pool is open.
    ///
    /// # Errors
    /// As [`Pool::open`].
    pub fn find(path: impl AsRef<Path>) -> Result<Option<Place>> {
        let path = path.as_ref();
        if let Some(place) = known(path) {
            return Ok(Some(place));
        }
        let path = std::path::absolute(path)
            .map_err(|error| Error::os("finding the working directory", error).at(path))?;
        // Without the slash that asks for a directory at the end: it may be the pool's.
        let path: PathBuf = path.components().collect();
        // Below a directory there is no pool: pools are files, and all ancestors of a directory are directories.
        if path.parent().is_none_or(Path::is_dir) && !path.is_file() {
            return Ok(None);
        }
        let Some(found) = split_pool_path(&path)? else { return Ok(None) };
        let host = found.pool.canonicalize().map_err(|error| Error::os("realpath", error).at(&found.pool))?;
        let pool = Place::open_pool(&host)?;
        let prefix = [host.as_os_str().as_bytes(), b"/"].concat();
        let mut list = KNOWN.get().write();
        list.retain(|known| known.prefix != prefix && known.pool.upgrade().is_some());
        list.push(Known { prefix, pool: pool.downgrade() });
        Ok(Some(Place { pool, path: found.normal(), host }))
    }

    /// The pool at a host path, shared as by [`Pool::open_shared`]; for reading only where more is not permitted.
    ///
    /// # Errors
    /// As [`Pool::open`].
    pub fn open_pool(host: &Path) -> Result<Pool> {
        match Pool::open_shared(host, &OpenOptions::new()) {
            Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnly) => {
                Pool::open_shared(host, &OpenOptions::new().read_only(true))
            }
            opened => opened,
        }
    }

    /// The host path that leads here.
    #[must_use]
    pub fn host_path(&self) -> PathBuf {
        self.host.components().chain(self.path.components().skip(1)).collect()
    }

    /// Another path in the same pool.
    #[must_use]
    pub fn beside(&self, path: impl AsRef<Path>) -> Place {
        Place { path: normal(path.as_ref()), ..self.clone() }
    }

    /// Whether both lead into the same pool.
    #[must_use]
    pub fn is_in_pool_of(&self, other: &Place) -> bool {
        self.pool.is_same(&other.pool)
    }
}

/// The place of a normal path below the host path of a pool that is open.
fn known(path: &Path) -> Option<Place> {
    let bytes = path.as_os_str().as_bytes();
    let list = KNOWN.get().read();
    let known = list.iter().find(|known| bytes.starts_with(&known.prefix))?;
    let inner = &bytes[known.prefix.len() - 1..];
    let host = Path::new(OsStr::from_bytes(&known.prefix[..known.prefix.len() - 1]));
    Some(Place {
        pool: known.pool.upgrade()?,
        path: normal(Path::new(OsStr::from_bytes(inner))),
        host: host.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mount::CreateOptions;

    #[test]
    fn a_path_leads_into_the_pool_it_goes_through_and_only_there() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        let file = real.join("app.pool");
        let pool = Pool::create(&file, &CreateOptions::new().size(16 << 20)).unwrap();
        pool.close().unwrap();
        std::fs::write(real.join("plain"), "text").unwrap();
        std::os::unix::fs::symlink(&file, real.join("link")).unwrap();

        for outside in ["plain", "plain/x", "absent", "absent/x", "", "."] {
            assert!(Place::find(real.join(outside)).unwrap().is_none(), "{outside:?} leads through no pool");
        }
        let cases = [
            ("app.pool", "/"),
            ("app.pool/", "/"),
            ("app.pool/db/x", "/db/x"),
            ("app.pool/db/./../x/", "/x"),
            ("app.pool/../../x", "/x"),
            ("link/db", "/db"),
        ];
        // Once with the pool closed in between, once with it open.
        for keep in [None, Place::find(&file).unwrap()] {
            for (path, inner) in cases {
                let place = Place::find(real.join(path)).unwrap().expect(path);
                assert_eq!(place.path, Path::new(inner), "{path}");
                assert_eq!(place.host_path(), file.join(&inner[1..]), "{path}");
                assert!(keep.as_ref().is_none_or(|keep| keep.is_in_pool_of(&place)), "{path}");
            }
        }
    }

    #[test]
    fn a_pool_that_took_the_place_of_another_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().canonicalize().unwrap().join("app.pool");
        for round in 0..2 {
            let pool = Pool::create(&file, &CreateOptions::new().size(16 << 20).overwrite(true)).unwrap();
            let place = Place::find(file.join("x")).unwrap().unwrap();
            place.pool.create_dir(format!("/dir{round}")).unwrap();
            assert!(pool.exists(format!("/dir{round}")).unwrap(), "round {round}");
        }
    }
}
