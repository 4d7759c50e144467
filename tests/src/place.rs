//! Where test pools live: a directory of its own for each test, removed when the test ends.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A directory for pools. `DAXCOW_TEST_DIR` says where such directories are made; by default in /dev/shm where that
/// can be written, else in the system's temporary directory.
#[derive(Debug)]
pub struct Place(TempDir);

impl Place {
    /// A new directory in the default place.
    ///
    /// # Panics
    /// If no directory can be made.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a directory on the host is no default value")]
    pub fn new() -> Place {
        match std::env::var_os("DAXCOW_TEST_DIR") {
            Some(directory) => Place::within(Path::new(&directory)),
            None => match tempfile::tempdir_in("/dev/shm") {
                Ok(directory) => Place(directory),
                Err(_) => Place::within(&std::env::temp_dir()),
            },
        }
    }

    /// A new directory in `parent`.
    ///
    /// # Panics
    /// If no directory can be made.
    #[must_use]
    pub fn within(parent: &Path) -> Place {
        let made = tempfile::tempdir_in(parent);
        Place(made.unwrap_or_else(|error| panic!("no test directory in {}: {error}", parent.display())))
    }

    /// A new directory on an ordinary disk: pools there have page granularity.
    ///
    /// # Panics
    /// If no directory can be made.
    #[must_use]
    pub fn on_disk() -> Place {
        Place::within(Path::new(option_env!("CARGO_TARGET_TMPDIR").unwrap_or("/var/tmp")))
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The path of a pool in it.
    #[must_use]
    pub fn pool(&self) -> PathBuf {
        self.0.path().join("test.pool")
    }
}
