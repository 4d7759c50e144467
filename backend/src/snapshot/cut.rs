//! The state of a set of paths at one instant.

use std::path::Path;

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
use crate::space::Reference;

/// A file or directory as it was when the gate was closed.
pub(crate) struct Source {
    pub(crate) inode: Inode,
    pub(crate) attribute: u64,
    pub(crate) what: What,
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

    /// One path and all below it.
    pub(crate) fn of_path(core: &Core, path: &Path) -> Result<Cut> {
        let names = components(path)?;
        Cut::take(core, |finder| {
            let (inode, kind) = finder.resolve(&names).map_err(|error| error.at(path))?;
            finder.source(inode, kind, 0, 0)
        })
    }

    /// The whole pool, or some paths of it with the directories that lead to them.
    pub(crate) fn of_scope(core: &Core, scope: &[Vec<Vec<u8>>]) -> Result<Cut> {
        Cut::take(core, |finder| {
            let root = Directory::root(&core.store)?.inode;
            if scope.is_empty() {
                return finder.source(root, Kind::Directory, ATTRIBUTE_SCOPE, 0);
            }
            let mut top = Source { inode: root, attribute: ATTRIBUTE_WAY, what: What::Directory(vec![]) };
            for names in scope {
                finder.add(&mut top, names)?;
            }
            Ok(top)
        })
    }

    fn take(core: &Core, find: impl FnOnce(&mut Finder<'_>) -> Result<Source>) -> Result<Cut> {
        let mut finder = Finder { store: &core.store, files: 0, raised: Vec::new() };
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
                        Source { inode: found.inode, attribute: ATTRIBUTE_WAY, what: What::Directory(vec![]) }
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

    /// An inode, `depth` levels below the top, and everything below it.
    fn source(&mut self, inode: Inode, kind: Kind, attribute: u64, depth: usize) -> Result<Source> {
        if kind == Kind::File {
            return self.file(inode, attribute);
        }
        check_depth(depth)?;
        let mut children = Vec::new();
        for entry in directory::list(self.store, &self.directory(inode)?, Lock::Held)? {
            if entry.inode == SNAPSHOT_DIRECTORY {
                continue;
            }
            let below = Table::get(self.store, entry.inode)?;
            children.push((entry.name, self.source(below, entry.kind, 0, depth + 1)?));
        }
        Ok(Source { inode, attribute, what: What::Directory(children) })
    }

    fn file(&mut self, inode: Inode, attribute: u64) -> Result<Source> {
        // Who stores to it next waits until the gate opens, and so does whatever follows from that store: the cut is one
        // instant for what is mapped too.
        inode.protect_mapped(self.store, 0..u64::MAX)?;
        let place = inode.field(at::ROOT);
        let word = self.store.runtime.region.load(place)?;
        let size = inode.size(self.store)?;
        if let Some(root) = Tree::from_word(place, word)?.root {
            self.store.space.raise(root.entry.block)?;
            self.raised.push(Reference::of_root(root));
        }
        self.files += 1;
        Ok(Source { inode, attribute, what: What::File { root: word, size } })
    }
}
