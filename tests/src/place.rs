//! Where test pools live: a directory of its own for each test, removed when the test ends.

use std::path::{Path, PathBuf};

use daxcow::CreateOptions;
use tempfile::TempDir;

use crate::system;

/// A directory for pools. `DAXCOW_TEST_DIR` says where such directories are made; by default in /dev/shm where that
/// can be written, else in the system's temporary directory. Where `DAXCOW_TEST_DEVICE` names a DAX device, the pool of every place is
/// that device: for tests that have one pool, one after another.
#[derive(Debug)]
pub struct Place(TempDir);

/// The DAX device that tests are to use.
fn device() -> Option<PathBuf> {
    std::env::var_os("DAXCOW_TEST_DEVICE").map(PathBuf::from)
}

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
        device().unwrap_or_else(|| self.0.path().join("test.pool"))
    }

    /// How a pool of so many bytes is made here: sparse on the host, and over another test's pool where that is on a device.
    #[must_use]
    pub fn options(&self, bytes: u64) -> CreateOptions {
        CreateOptions::new().size(bytes).sparse(true).overwrite(device().is_some())
    }
}

/// A small tmpfs of its own, which a test fills; unmounted when this is dropped.
#[derive(Debug)]
pub struct SmallTmpfs {
    directory: TempDir,
}

impl SmallTmpfs {
    /// Mounts one of so many bytes; nothing, and a line that says so, where that is not allowed.
    ///
    /// # Panics
    /// If no directory can be made.
    #[must_use]
    pub fn mount(bytes: u64) -> Option<SmallTmpfs> {
        let directory = tempfile::tempdir().expect("a directory to mount on");
        match system::mount_tmpfs(directory.path(), bytes, false) {
            Ok(()) => Some(SmallTmpfs { directory }),
            Err(error) => {
                println!("SKIPPED: no tmpfs can be mounted: {error}");
                None
            }
        }
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Takes all the space that is left.
    ///
    /// # Panics
    /// If that fails in another way than by filling the file system.
    pub fn fill(&self) {
        let mut file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path().join("filler"))
            .expect("a file that fills");
        let full = loop {
            if let Err(error) = std::io::Write::write_all(&mut file, &[1; 4096]) {
                break error;
            }
        };
        assert_eq!(full.raw_os_error(), Some(libc::ENOSPC), "{full}");
    }

    /// Gives back what [`SmallTmpfs::fill`] took.
    ///
    /// # Panics
    /// If nothing was filled.
    pub fn make_room(&self) {
        std::fs::remove_file(self.path().join("filler")).expect("the file that fills");
    }
}

impl Drop for SmallTmpfs {
    fn drop(&mut self) {
        if let Err(error) = system::unmount(self.path()) {
            println!("{} stays mounted: {error}", self.path().display());
        }
    }
}
