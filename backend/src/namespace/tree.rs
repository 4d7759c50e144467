//! Making, moving and removing names: each one lane transaction under the namespace lock.
//!
//! | operation | words of its transaction |
//! |---|---|
//! | create | links of the new inode, the name's bit |
//! | rename | the new name's bit, the old one's, the replaced one's, links of what was replaced |
//! | remove | links, the name's bit |
//!
//! `/.snapshots` and all below it is for the snapshot layer only, which says so when it takes the lock.

use std::path::Path;

use super::directory::{self, Directory, Lock};
use super::edit::Edit;
use super::path::components;
use super::reclaim;
use super::resolve::{self, Located};
use crate::error::{Error, ErrorKind, Result};
use crate::format::dirent::Dirent;
use crate::format::inode::{Kind, SNAPSHOT_DIRECTORY};
use crate::format::lane::Record;
use crate::inode::table::{NewInode, Table};
use crate::inode::{Core, Inode};
use crate::journal::Store;
use crate::pmem::{Flushed, Mistake, mistake};
use crate::runtime::at;
use crate::runtime::gate::Mark;
use crate::runtime::robust::Held;
use crate::units::InodeNumber;

/// In whose name names are changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Authority {
    /// A caller's: what is part of a snapshot is read-only.
    Caller,
    /// The snapshot layer's.
    Snapshots,
}

/// The namespace, locked: nobody else changes any name or any inode's links.
#[must_use]
pub(crate) struct Namespace<'a> {
    pub(super) store: &'a Store,
    authority: Authority,
    _held: Held<'a>,
    _mark: Mark<'a>,
}

/// The directory and the name that a path ends in.
pub(super) struct Place<'p> {
    pub(super) directory: Directory,
    pub(super) name: &'p [u8],
    pub(super) read_only: bool,
    /// The inodes of all directories from the root to `directory`.
    way: Vec<InodeNumber>,
}

pub(super) fn error<T>(kind: ErrorKind, message: &str) -> Result<T> {
    Err(Error::new(kind, message))
}

impl Core {
    /// Begins a mutating operation and locks the namespace for it.
    pub(crate) fn namespace(&self) -> Result<Namespace<'_>> {
        Namespace::lock(&self.store, Authority::Caller)
    }

    /// Removes a file or a directory and all below it: its name goes at once, in one transaction, the rest is given back
    /// in bounded steps. Files that are open live until they are closed.
    pub(crate) fn remove_dir_all(&self, path: &Path) -> Result<()> {
        // Reclaiming locks the namespace for each of its steps.
        let detached = self.namespace()?.detach(path)?;
        match detached {
            Some(top) => match reclaim::reclaim_tree(&self.store, &top) {
                Ok(_) => Ok(()),
                Err(error) => {
                    // Its name is gone; what is left of it waits for the next try.
                    self.orphans.add([top.inode]);
                    self.store.runtime.leave_doubt();
                    Err(error.at(path))
                }
            },
            None => Ok(()),
        }
    }
}

impl<'a> Namespace<'a> {
    /// Begins a mutating operation and locks the namespace for it.
    pub(crate) fn lock(store: &'a Store, authority: Authority) -> Result<Namespace<'a>> {
        let mark = store.runtime.enter()?;
        let held = store.runtime.lock(at::NAMESPACE)?;
        Ok(Namespace { store, authority, _held: held, _mark: mark })
    }

    /// What `path` names.
    pub(crate) fn resolve(&self, path: &Path) -> Result<Located> {
        resolve::resolve_with(self.store, path, Lock::Held)
    }

    /// Makes the empty file `path`, or answers the one that is there unless it must be new. Says whether it was made.
    ///
    /// # Errors
    /// Apart from those of resolving: [`ErrorKind::AlreadyExists`], [`ErrorKind::IsADirectory`], [`ErrorKind::ReadOnly`],
    /// [`ErrorKind::NoSpace`], [`ErrorKind::NoInodes`].
    pub(crate) fn create_file(&self, path: &Path, must_be_new: bool) -> Result<(Located, bool)> {
        let create = || {
            let Some(place) = self.place(path)? else {
                return error(ErrorKind::IsADirectory, "it is the root");
            };
            match self.entry(&place)? {
                Some(_) if must_be_new => error(ErrorKind::AlreadyExists, "the name exists already"),
                Some(entry) if entry.kind == Kind::Directory => {
                    error(ErrorKind::IsADirectory, "it is a directory")
                }
                Some(entry) => Ok((self.located(&place, &entry)?, false)),
                None => Ok((self.create(&place, Kind::File)?, true)),
            }
        };
        create().map_err(|error| error.at(path))
    }

    /// Makes the directory `path`.
    ///
    /// # Errors
    /// As [`Namespace::create_file`].
    pub(crate) fn create_dir(&self, path: &Path) -> Result<Located> {
        let create = || match self.place(path)? {
            Some(place) if self.entry(&place)?.is_none() => self.create(&place, Kind::Directory),
            _ => error(ErrorKind::AlreadyExists, "the name exists already"),
        };
        create().map_err(|error| error.at(path))
    }

    /// Makes the directory `path` and those above it, as far as they do not exist.
    ///
    /// # Errors
    /// As [`Namespace::create_file`], [`ErrorKind::NotADirectory`] where one of them is a file.
    pub(crate) fn create_dir_all(&self, path: &Path) -> Result<Located> {
        let create = || {
            let names = components(path)?;
            let mut at = resolve::resolve_names(self.store, &[], |_| {})?;
            for &name in &names {
                let place = Place { directory: at.directory()?, name, read_only: at.read_only, way: vec![] };
                at = match self.entry(&place)? {
                    Some(entry) => self.located(&place, &entry)?,
                    None => self.create(&place, Kind::Directory)?,
                };
            }
            at.directory().map(|_| at)
        };
        create().map_err(|error| error.at(path))
    }

    /// Removes the name `path` of a file. What has no name left lives until it is closed everywhere.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::IsADirectory`], [`ErrorKind::ReadOnly`].
    pub(crate) fn remove_file(&self, path: &Path) -> Result<()> {
        let remove = || {
            let (place, entry) = self.existing(path)?;
            if entry.kind == Kind::Directory {
                return error(ErrorKind::IsADirectory, "it is a directory");
            }
            self.remove(&place, &entry)
        };
        remove().map_err(|error| error.at(path))
    }

    /// Removes the empty directory `path`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::NotADirectory`], [`ErrorKind::DirectoryNotEmpty`], [`ErrorKind::ReadOnly`],
    /// [`ErrorKind::InvalidInput`] for the root.
    pub(crate) fn remove_dir(&self, path: &Path) -> Result<()> {
        let remove = || {
            let (place, entry) = self.existing(path)?;
            self.writable(place.read_only || entry.inode == SNAPSHOT_DIRECTORY)?;
            if entry.kind != Kind::Directory {
                return error(ErrorKind::NotADirectory, "it is a file");
            }
            self.refuse_entries(&entry)?;
            self.remove(&place, &entry)
        };
        remove().map_err(|error| error.at(path))
    }

    /// Removes the name of a file as part of the transaction that `commit` makes of the words.
    pub(crate) fn remove_file_with(
        &self,
        path: &Path,
        commit: impl FnOnce(&[Record], Flushed) -> Result<()>,
    ) -> Result<()> {
        let (place, entry) = self.existing(path)?;
        if entry.kind == Kind::Directory {
            return error(ErrorKind::IsADirectory, "it is a directory");
        }
        if let (inode, 0) = self.take_name_by(&place, &entry, commit)? {
            reclaim::release(self.store, &inode, entry.generation);
        }
        Ok(())
    }

    /// Takes the name of what `path` names away, whatever is below it. A directory that was detached is answered, and is to
    /// be given to [`reclaim::reclaim_tree`] once the namespace is unlocked; should that not happen it is an orphan.
    pub(crate) fn detach(&self, path: &Path) -> Result<Option<Directory>> {
        let detach = || {
            let (place, entry) = self.existing(path)?;
            if entry.kind != Kind::Directory {
                return self.remove(&place, &entry).map(|()| None);
            }
            self.take_name(&place, &entry)?;
            Directory::of(self.store, &entry).map(Some)
        };
        detach().map_err(|error| error.at(path))
    }

    /// Gives what `from` names the name `to`, which replaces a file by a file and an empty directory by a directory.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::IsADirectory`], [`ErrorKind::NotADirectory`],
    /// [`ErrorKind::DirectoryNotEmpty`], [`ErrorKind::InvalidInput`] where a directory would move below itself,
    /// [`ErrorKind::ReadOnly`], [`ErrorKind::NoSpace`].
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let (source, moved) = self.existing(from).map_err(|error| error.at(from))?;
        let rename = || {
            let Some(target) = self.place(to)? else {
                return error(ErrorKind::InvalidInput, "it is the root");
            };
            self.writable(source.read_only || target.read_only || moved.inode == SNAPSHOT_DIRECTORY)?;
            if target.way.contains(&moved.inode) {
                return error(ErrorKind::InvalidInput, "a directory cannot move below itself");
            }
            match self.entry(&target)? {
                Some(replaced) if replaced.inode == moved.inode => Ok(()),
                Some(replaced) => {
                    self.replaceable(&moved, &replaced)?;
                    self.rename_entry(&source, &moved, &target, Some(&replaced))
                }
                None => self.rename_entry(&source, &moved, &target, None),
            }
        };
        rename().map_err(|error| error.at(to))
    }

    fn replaceable(&self, moved: &Dirent, replaced: &Dirent) -> Result<()> {
        self.writable(replaced.inode == SNAPSHOT_DIRECTORY)?;
        match (moved.kind, replaced.kind) {
            (Kind::Directory, Kind::Directory) => self.refuse_entries(replaced),
            (Kind::Directory, _) => error(ErrorKind::NotADirectory, "a directory cannot replace a file"),
            (_, Kind::Directory) => error(ErrorKind::IsADirectory, "a file cannot replace a directory"),
            _ => Ok(()),
        }
    }

    fn rename_entry(
        &self,
        source: &Place<'_>,
        moved: &Dirent,
        target: &Place<'_>,
        replaced: Option<&Dirent>,
    ) -> Result<()> {
        let hash = directory::hash(self.store, target.name);
        let entry = Dirent { hash, name: target.name.to_vec(), ..moved.clone() };
        let mut edit = Edit::new();
        edit.insert(self.store, &target.directory, &entry)?;
        if !mistake(Mistake::OldNameKept) {
            edit.remove(self.store, &source.directory, moved)?;
        }
        let mut unlinked = None;
        if let Some(replaced) = replaced {
            let inode = Table::get(self.store, replaced.inode)?;
            edit.remove(self.store, &target.directory, replaced)?;
            unlinked = Some((inode, edit.unlink(self.store, &inode)?, replaced.generation));
        }
        if source.directory == target.directory {
            edit.commit(self.store, &[target.directory])?;
        } else {
            edit.commit(self.store, &[source.directory, target.directory])?;
        }
        if let Some((inode, 0, generation)) = unlinked {
            reclaim::release(self.store, &inode, generation);
        }
        Ok(())
    }

    /// Gives `path`, which must not exist, to an inode that the caller made by [`Table::create`] and that has no link yet.
    /// `made` covers it and all it refers to. On failure it is an orphan, for the caller to take back.
    pub(crate) fn adopt(&self, path: &Path, inode: &Inode, made: Flushed) -> Result<()> {
        let adopt = || {
            let Some(place) = self.place(path)? else {
                return error(ErrorKind::AlreadyExists, "it is the root");
            };
            if self.entry(&place)?.is_some() {
                return error(ErrorKind::AlreadyExists, "the name exists already");
            }
            self.writable(place.read_only)?;
            let kind = inode.kind(self.store)?;
            let (generation, kind) = (kind.generation, kind.kind);
            let located = Located { inode: *inode, generation, kind, read_only: place.read_only };
            self.first_link(&place, &located, made)?.commit(self.store, &[place.directory])
        };
        adopt().map_err(|error| error.at(path))
    }

    fn create(&self, place: &Place<'_>, kind: Kind) -> Result<Located> {
        self.writable(place.read_only)?;
        // A full pool is found out before there is an inode to take back.
        let hash = directory::hash(self.store, place.name);
        directory::make_room(self.store, &place.directory, hash, place.name.len())?;
        let (inode, made) = Table::create(self.store, NewInode::empty(kind))?;
        let generation = inode.kind(self.store)?.generation;
        let located = Located { inode, generation, kind, read_only: place.read_only };
        match self.first_link(place, &located, made) {
            Ok(edit) => edit.commit(self.store, &[place.directory])?,
            Err(error) => {
                reclaim::release(self.store, &inode, generation);
                return Err(error);
            }
        }
        Ok(located)
    }

    /// The edit that gives an inode its first name.
    fn first_link(&self, place: &Place<'_>, located: &Located, made: Flushed) -> Result<Edit> {
        let mut edit = Edit::after(made);
        edit.set_links(&located.inode, 1);
        edit.insert(self.store, &place.directory, &self.named(located, place.name))?;
        Ok(edit)
    }

    fn remove(&self, place: &Place<'_>, entry: &Dirent) -> Result<()> {
        if let (inode, 0) = self.take_name(place, entry)? {
            reclaim::release(self.store, &inode, entry.generation);
        }
        Ok(())
    }

    /// Takes a name and a link away, in one transaction: the inode, and how many links it has left.
    fn take_name(&self, place: &Place<'_>, entry: &Dirent) -> Result<(Inode, u32)> {
        self.take_name_by(place, entry, |records, flushed| {
            self.store.journal.commit(records, flushed).map(drop)
        })
    }

    fn take_name_by(
        &self,
        place: &Place<'_>,
        entry: &Dirent,
        commit: impl FnOnce(&[Record], Flushed) -> Result<()>,
    ) -> Result<(Inode, u32)> {
        self.writable(place.read_only || entry.inode == SNAPSHOT_DIRECTORY)?;
        let inode = Table::get(self.store, entry.inode)?;
        let mut edit = Edit::new();
        let links = edit.unlink(self.store, &inode)?;
        edit.remove(self.store, &place.directory, entry)?;
        edit.commit_by(self.store, &[place.directory], commit)?;
        Ok((inode, links))
    }

    fn refuse_entries(&self, entry: &Dirent) -> Result<()> {
        match directory::is_empty(self.store, &Directory::of(self.store, entry)?)? {
            true => Ok(()),
            false => error(ErrorKind::DirectoryNotEmpty, "the directory has entries"),
        }
    }

    pub(super) fn writable(&self, read_only: bool) -> Result<()> {
        match self.authority {
            Authority::Caller if read_only => error(ErrorKind::ReadOnly, "snapshots are read-only"),
            _ => Ok(()),
        }
    }

    /// The directory and the name that `path` ends in; nothing for the root.
    pub(super) fn place<'p>(&self, path: &'p Path) -> Result<Option<Place<'p>>> {
        let names = components(path)?;
        let Some((&name, above)) = names.split_last() else { return Ok(None) };
        let mut way = Vec::with_capacity(names.len());
        let located = resolve::resolve_names(self.store, above, |number| way.push(number))?;
        way.push(located.inode.number);
        Ok(Some(Place { directory: located.directory()?, name, read_only: located.read_only, way }))
    }

    fn existing<'p>(&self, path: &'p Path) -> Result<(Place<'p>, Dirent)> {
        let Some(place) = self.place(path)? else {
            return error(ErrorKind::InvalidInput, "the root can neither move nor go");
        };
        match self.entry(&place)? {
            Some(entry) => Ok((place, entry)),
            None => error(ErrorKind::NotFound, "no such file or directory"),
        }
    }

    pub(super) fn entry(&self, place: &Place<'_>) -> Result<Option<Dirent>> {
        directory::lookup(self.store, &place.directory, place.name, Lock::Held)
    }

    fn located(&self, place: &Place<'_>, entry: &Dirent) -> Result<Located> {
        Located::of(self.store, entry, place.read_only)
    }

    pub(super) fn named(&self, located: &Located, name: &[u8]) -> Dirent {
        Dirent {
            inode: located.inode.number,
            generation: located.generation,
            kind: located.kind,
            hash: directory::hash(self.store, name),
            name: name.to_vec(),
        }
    }
}
