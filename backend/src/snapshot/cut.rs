//! The state of a set of paths at one instant.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{ATTRIBUTE_SCOPE, ATTRIBUTE_WAY};
use crate::error::{Error, ErrorKind, Result};
use crate::extent_map::Tree;
use crate::format::inode::{Kind, SNAPSHOT_DIRECTORY, at};
use crate::inode::table::Table;
use crate::inode::{Core, Inode};
use crate::journal::Store;
use crate::namespace::check_depth;
use crate::namespace::directory::{self, Directory, Lock};
use crate::namespace::path::components;
use crate::namespace::visited::Visited;
use crate::pmem::{Mistake, mistake};
use crate::space::Reference;
use crate::units::InodeNumber;

/// So many entries ahead of where a walk is, inodes are asked for.
const PREFETCH: usize = 8;

/// A file or directory as it was when the gate was closed.
pub(crate) struct Source {
    pub(crate) inode: Inode,
    pub(crate) past: Past,
    pub(crate) what: What,
}

/// What is told of a source's past.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Past {
    pub(crate) attribute: u64,
    /// What it was made of: a file and what a snapshot has of it have this and the time of creation in common.
    pub(crate) origin: InodeNumber,
    /// Nanoseconds since 1970.
    pub(crate) created: u64,
    /// Nanoseconds since 1970.
    pub(crate) modified: u64,
}

impl Past {
    /// That of a live inode.
    fn of(store: &Store, inode: &Inode, attribute: u64) -> Result<Past> {
        let created = inode.birth(store)?.created;
        Ok(Past { attribute, origin: inode.number, created, modified: inode.modified(store)? })
    }

    /// That of an inode of a snapshot, as it was recorded there.
    pub(crate) fn recorded(store: &Store, inode: &Inode) -> Result<Past> {
        let birth = inode.birth(store)?;
        let modified = inode.modified(store)?;
        Ok(Past { attribute: birth.attribute, origin: birth.origin, created: birth.created, modified })
    }
}

impl Source {
    /// Lowers the roots that were raised for it and all below it.
    pub(crate) fn lower(&self, store: &Store) -> Result<()> {
        match &self.what {
            What::File { root, .. } => match Tree::from_word(self.inode.field(at::ROOT), *root)?.root {
                Some(root) => store.space.lower_all(&[Reference::of_root(root)]),
                None => Ok(()),
            },
            What::Directory(children) => children.iter().try_for_each(|(_, child)| child.lower(store)),
        }
    }
}

/// What a source is.
pub(crate) enum What {
    /// A file: its root word, which has been raised, and its size.
    File { root: u64, size: u64 },
    /// A directory: its entries.
    Directory(Vec<(Vec<u8>, Source)>),
}

/// Everything found, and what was raised for it.
pub(crate) struct Cut {
    pub(crate) top: Source,
    pub(crate) files: u64,
    raised: Vec<Reference>,
}

impl Cut {
    /// Lowers what was raised: nothing was made of it.
    pub(crate) fn cancel(self, store: &Store) -> Result<()> {
        store.space.lower_all(&self.raised)
    }

    /// One path and all below it. `may` is asked first, with the gate closed: it may look names up by [`Lock::Gate`].
    pub(crate) fn of_path(core: &Core, path: &Path, may: impl FnOnce() -> Result<()>) -> Result<Cut> {
        let names = components(path)?;
        Cut::take(core, |finder| {
            may()?;
            let (inode, kind) = finder.resolve(&names).map_err(|error| error.at(path))?;
            finder.source(inode, kind, 0, 0)
        })
    }

    /// The whole pool, or some paths of it with the directories that lead to them. `may` as in [`Cut::of_path`].
    pub(crate) fn of_scope(
        core: &Core,
        scope: &[Vec<Vec<u8>>],
        may: impl FnOnce() -> Result<()>,
    ) -> Result<Cut> {
        Cut::take(core, |finder| {
            may()?;
            let root = Directory::root(&core.store)?.inode;
            if scope.is_empty() {
                return finder.source(root, Kind::Directory, ATTRIBUTE_SCOPE, 0);
            }
            let mut top = finder.way(root)?;
            for names in scope {
                finder.add(&mut top, names)?;
            }
            Ok(top)
        })
    }

    fn take(core: &Core, find: impl FnOnce(&mut Finder<'_>) -> Result<Source>) -> Result<Cut> {
        let mut finder = Finder {
            store: &core.store,
            files: 0,
            raised: Vec::new(),
            visited: Visited::default(),
            way: PathBuf::new(),
        };
        let gate = core.store.runtime.cut()?;
        let found = find(&mut finder);
        drop(gate);
        match found {
            Ok(top) => Ok(Cut { top, files: finder.files, raised: finder.raised }),
            Err(error) => {
                core.store.space.lower_all(&finder.raised)?;
                Err(error)
            }
        }
    }
}

/// Walks the namespace while the gate is closed.
struct Finder<'a> {
    store: &'a Store,
    files: u64,
    raised: Vec<Reference>,
    visited: Visited,
    /// From the top of the cut to where the walk is.
    way: PathBuf,
}

impl Finder<'_> {
    fn resolve(&self, names: &[&[u8]]) -> Result<(Inode, Kind)> {
        let mut at = (Directory::root(self.store)?, Kind::Directory);
        for name in names {
            if at.1 != Kind::Directory {
                return Err(Error::new(ErrorKind::NotADirectory, "a component of the path is a file"));
            }
            at = self.child(&at.0, name)?;
        }
        Ok((at.0.inode, at.1))
    }

    fn child(&self, directory: &Directory, name: &[u8]) -> Result<(Directory, Kind)> {
        let found = directory::lookup(self.store, directory, name, Lock::Held)?;
        let entry = found.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("there is no {}", String::from_utf8_lossy(name)))
        })?;
        Ok((Directory::of(self.store, &entry)?, entry.kind))
    }

    fn directory(&self, inode: Inode) -> Result<Directory> {
        Ok(Directory { inode, generation: inode.kind(self.store)?.generation })
    }

    /// Adds one path of a scope below `top`, with the directories on its way.
    fn add(&mut self, top: &mut Source, names: &[Vec<u8>]) -> Result<()> {
        let mut at = top;
        check_depth(names.len())?;
        for (depth, name) in names.iter().enumerate() {
            let directory = self.directory(at.inode)?;
            let What::Directory(children) = &mut at.what else {
                return Err(Error::new(ErrorKind::NotADirectory, "a component of the path is a file"));
            };
            let index = match children.iter().position(|(known, _)| known == name) {
                Some(index) => index,
                None => {
                    let (found, kind) = self.child(&directory, name)?;
                    let source = if depth + 1 == names.len() {
                        self.source(found.inode, kind, ATTRIBUTE_SCOPE, depth + 1)?
                    } else if kind == Kind::Directory {
                        self.way(found.inode)?
                    } else {
                        return Err(Error::new(
                            ErrorKind::NotADirectory,
                            "a component of the path is a file",
                        ));
                    };
                    children.push((name.clone(), source));
                    children.len() - 1
                }
            };
            at = &mut children[index].1;
        }
        Ok(())
    }

    /// A directory that leads to what was asked for.
    fn way(&self, inode: Inode) -> Result<Source> {
        let past = Past::of(self.store, &inode, ATTRIBUTE_WAY)?;
        Ok(Source { inode, past, what: What::Directory(vec![]) })
    }

    /// An inode, `depth` levels below the top, and everything below it.
    fn source(&mut self, inode: Inode, kind: Kind, attribute: u64, depth: usize) -> Result<Source> {
        if kind == Kind::File {
            return self.file(inode, attribute);
        }
        check_depth(depth)?;
        let directory = self.directory(inode)?;
        self.visited.enter(self.store, &directory, &self.way, Lock::Held)?;
        let entries = directory::list(self.store, &directory, Lock::Held)?;
        let mut children = Vec::with_capacity(entries.len());
        let mut ahead: Vec<InodeNumber> = entries.iter().map(|entry| entry.inode).collect();
        ahead.reverse();
        for _ in 0..PREFETCH {
            ahead.pop().iter().for_each(|&number| Table::prefetch(self.store, number));
        }
        for entry in entries {
            ahead.pop().iter().for_each(|&number| Table::prefetch(self.store, number));
            if entry.inode == SNAPSHOT_DIRECTORY {
                continue;
            }
            let below = Table::get(self.store, entry.inode)?;
            self.way.push(OsStr::from_bytes(&entry.name));
            children.push((entry.name, self.source(below, entry.kind, 0, depth + 1)?));
            self.way.pop();
        }
        let past = Past::of(self.store, &inode, attribute)?;
        Ok(Source { inode, past, what: What::Directory(children) })
    }

    fn file(&mut self, inode: Inode, attribute: u64) -> Result<Source> {
        // Who stores to it next waits until the gate opens, and so does whatever follows from that store: the cut is one
        // instant for what is mapped too.
        inode.protect_mapped(self.store, 0..u64::MAX)?;
        let place = inode.field(at::ROOT);
        let word = self.store.runtime.region.load(place)?;
        let size = inode.size(self.store)?;
        if let Some(root) = Tree::from_word(place, word)?.root
            && !mistake(Mistake::CutNotRaised)
        {
            self.store.space.raise(root.entry.block)?;
            self.raised.push(Reference::of_root(root));
        }
        self.files += 1;
        let past = Past::of(self.store, &inode, attribute)?;
        Ok(Source { inode, past, what: What::File { root: word, size } })
    }
}
