//! Names in a pool: directories, links, what is there.

use std::path::Path;

use super::Pool;
use crate::error::Result;
use crate::file::File;
use crate::namespace::resolve::{self, KnownName};
use crate::pmem::Access;
use crate::stat::{DirEntry, Metadata};

impl Pool {
    /// Creates a directory.
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound` for a missing parent, `NotADirectory`, `ReadOnly`, `NoSpace`, `NoInodes`.
    pub fn create_dir(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        self.marked(path, |namespace| namespace.create_dir(path).map(drop))
    }

    /// Creates a directory and those above it that are missing.
    ///
    /// # Errors
    /// As [`Pool::create_dir`]; a directory that exists is none.
    pub fn create_dir_all(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        self.marked(path, |namespace| namespace.create_dir_all(path).map(drop))
    }

    /// Removes the name of a file. An open file lives until it is closed.
    ///
    /// # Errors
    /// `NotFound`, `IsADirectory`, `ReadOnly`.
    pub fn remove_file(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        self.marked(path, |namespace| namespace.remove_file(path))
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, `DirectoryNotEmpty`, `ReadOnly`.
    pub fn remove_dir(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        self.marked(path, |namespace| namespace.remove_dir(path))
    }

    /// Removes a file, or a directory with everything below it: its name in one transaction, the rest in bounded steps.
    ///
    /// # Errors
    /// `NotFound`, `ReadOnly`, `InvalidInput` for the root.
    pub fn remove_dir_all(&self, path: impl AsRef<Path>) -> Result<()> {
        self.writable()?;
        self.core().remove_dir_all(path.as_ref())
    }

    /// Gives `from` the name `to`, replacing a file by a file and an empty directory by a directory, as rename(2): in one
    /// transaction, so that after a crash exactly one of the two names is there.
    ///
    /// # Errors
    /// `NotFound`, `IsADirectory`, `NotADirectory`, `DirectoryNotEmpty`, `InvalidInput` where a directory would move below
    /// itself, `ReadOnly`, `NoSpace`.
    pub fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
        let (from, to) = (from.as_ref(), to.as_ref());
        self.marked(from, |namespace| namespace.rename(from, to))
    }

    /// Gives the file `existing` another name.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists`, `IsADirectory`, `TooManyLinks`, `ReadOnly`, `NoSpace`.
    pub fn hard_link(&self, existing: impl AsRef<Path>, new: impl AsRef<Path>) -> Result<()> {
        let (existing, new) = (existing.as_ref(), new.as_ref());
        self.marked(new, |namespace| namespace.hard_link(existing, new))
    }

    /// Gives files of this pool names, all of them in one transaction: further ones, or the first one of a file that was
    /// made by [`Pool::open_unnamed`] or whose last name was removed.
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound` for a missing directory, `NotADirectory`, `TooManyLinks`, `ReadOnly`, `NoSpace`,
    /// `InvalidInput` for a file of another pool and for too many names: then no name was given.
    pub fn link<P: AsRef<Path>>(&self, files: &[(&File, P)]) -> Result<()> {
        let mut links = Vec::with_capacity(files.len());
        for (file, path) in files {
            links.push((file.located_in(self)?, path.as_ref()));
        }
        let first = links.first().map_or(Path::new("/"), |(_, path)| *path);
        self.marked(first, |namespace| namespace.link(links))
    }

    /// What is known about what `path` names.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`.
    pub fn metadata(&self, path: impl AsRef<Path>) -> Result<Metadata> {
        resolve::metadata(&self.core().store, path.as_ref()).map(Metadata::of)
    }

    /// Whether `path` names anything.
    ///
    /// # Errors
    /// `NameTooLong`, `InvalidInput`, `Corrupt`.
    pub fn exists(&self, path: impl AsRef<Path>) -> Result<bool> {
        resolve::exists(&self.core().store, path.as_ref())
    }

    /// As [`Pool::exists`], for who asks again and again: `known` remembers the answer until a directory on the way changes,
    /// in whatever process. It belongs to this pool and path.
    ///
    /// # Errors
    /// As [`Pool::exists`].
    pub fn exists_known(&self, path: impl AsRef<Path>, known: &mut KnownName) -> Result<bool> {
        match self.core().store.runtime.region.access() {
            Access::ReadWrite => resolve::exists_known(&self.core().store, path.as_ref(), known),
            _ => self.exists(path),
        }
    }

    /// The entries of a directory, sorted by name.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`.
    pub fn read_dir(&self, path: impl AsRef<Path>) -> Result<Vec<DirEntry>> {
        let entries = resolve::read_dir(&self.core().store, path.as_ref())?;
        Ok(entries.into_iter().map(DirEntry::of).collect())
    }
}
