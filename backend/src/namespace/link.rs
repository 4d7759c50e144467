//! Further names of files, and first ones of files without a name: any number of them in one lane transaction, whose words
//! are the links of the files and the names' bits.

use std::path::Path;

use super::directory;
use super::edit::Edit;
use super::resolve::Located;
use super::tree::{Namespace, Place, error};
use crate::error::{Error, ErrorKind, Result};
use crate::format::dirent::{SLOT_BYTES, slots_for};
use crate::format::inode::Kind;
use crate::format::lane::RECORDS_MAX;

/// Names that one transaction can make: each stores a word for the name and one for the links.
const NAMES_MAX: usize = RECORDS_MAX / 2;

/// A name that is to be.
struct New<'p> {
    place: Place<'p>,
    file: Located,
}

impl Namespace<'_> {
    /// Gives the file `existing` the further name `new`.
    ///
    /// # Errors
    /// As [`Namespace::link`], and those of finding `existing`.
    pub(crate) fn hard_link(&self, existing: &Path, new: &Path) -> Result<()> {
        let file = self.resolve(existing)?;
        if file.kind == Kind::Directory {
            return error(ErrorKind::IsADirectory, "a directory has one name only")
                .map_err(|e: Error| e.at(existing));
        }
        self.link(vec![(file, new)])
    }

    /// Gives each file its name, all or none. A file may have no name yet, if somebody has it open.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`], [`ErrorKind::NotFound`], [`ErrorKind::NotADirectory`], [`ErrorKind::ReadOnly`],
    /// [`ErrorKind::TooManyLinks`], [`ErrorKind::NoSpace`], [`ErrorKind::InvalidInput`] for too many names.
    pub(crate) fn link(&self, files: Vec<(Located, &Path)>) -> Result<()> {
        if files.is_empty() {
            return Ok(());
        }
        if files.len() > NAMES_MAX {
            let message = format!("{} names are too many for one transaction", files.len());
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let mut names: Vec<New<'_>> = Vec::with_capacity(files.len());
        for (file, path) in files {
            let new =
                self.new_name(file, path).and_then(|new| match names.iter().any(|other| other.is(&new)) {
                    true => error(ErrorKind::AlreadyExists, "the name is given twice"),
                    false => Ok(new),
                });
            names.push(new.map_err(|error| error.at(path))?);
        }
        for New { place, .. } in &names {
            // Should all names of the directory fall into one bucket.
            let beside = names.iter().filter(|other| other.place.directory == place.directory);
            let bytes = beside.map(|new| slots_for(new.place.name.len()) * SLOT_BYTES).sum();
            directory::make_room(
                self.store,
                &place.directory,
                directory::hash(self.store, place.name),
                bytes,
            )?;
        }
        let mut edit = Edit::new();
        for New { place, file } in &names {
            edit.link(self.store, &file.inode)?;
            edit.insert(self.store, &place.directory, &self.named(file, place.name))?;
        }
        let mut directories: Vec<_> = names.iter().map(|new| new.place.directory).collect();
        directories.sort_by_key(|directory| directory.inode.number);
        directories.dedup();
        edit.commit(self.store, &directories)
    }

    fn new_name<'p>(&self, file: Located, path: &'p Path) -> Result<New<'p>> {
        let Some(place) = self.place(path)? else {
            return error(ErrorKind::AlreadyExists, "it is the root");
        };
        if self.entry(&place)?.is_some() {
            return error(ErrorKind::AlreadyExists, "the name exists already");
        }
        self.writable(place.read_only || file.read_only)?;
        Ok(New { place, file })
    }
}

impl New<'_> {
    fn is(&self, other: &New<'_>) -> bool {
        self.place.directory == other.place.directory && self.place.name == other.place.name
    }
}
