//! How a file is opened.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};

/// How a file is opened, as with [`std::fs::OpenOptions`].
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct FileOptions {
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) create: bool,
    pub(crate) create_new: bool,
    pub(crate) truncate: bool,
}

impl FileOptions {
    /// Nothing is allowed yet.
    pub const fn new() -> FileOptions {
        FileOptions { read: false, write: false, create: false, create_new: false, truncate: false }
    }

    /// Allows reading.
    pub const fn read(self, read: bool) -> FileOptions {
        FileOptions { read, ..self }
    }

    /// Allows writing.
    pub const fn write(self, write: bool) -> FileOptions {
        FileOptions { write, ..self }
    }

    /// Creates the file if it is not there; needs `write`.
    pub const fn create(self, create: bool) -> FileOptions {
        FileOptions { create, ..self }
    }

    /// Creates the file and fails with `AlreadyExists` if it is there; needs `write`.
    pub const fn create_new(self, create_new: bool) -> FileOptions {
        FileOptions { create_new, ..self }
    }

    /// Cuts the file to no bytes when it is opened; needs `write`.
    pub const fn truncate(self, truncate: bool) -> FileOptions {
        FileOptions { truncate, ..self }
    }

    pub(crate) fn check(self, path: &Path) -> Result<()> {
        let invalid = |message: &str| Err(Error::new(ErrorKind::InvalidInput, message).at(path));
        if !self.read && !self.write {
            return invalid("a file is opened for reading, writing or both; neither was asked for");
        }
        if !self.write && (self.create || self.create_new || self.truncate) {
            return invalid("creating or truncating needs write access");
        }
        Ok(())
    }
}
