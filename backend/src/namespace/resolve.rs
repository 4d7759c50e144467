//! What a path names. Nothing here takes a lock unless writers keep a reader from getting through.

use std::path::Path;

use super::directory::{self, Directory, Lock};
use super::path::components;
use crate::error::{Error, ErrorKind, Result};
use crate::extent_map::Tree;
use crate::format::dirent::Dirent;
use crate::format::inode::{Kind, SNAPSHOT_DIRECTORY};
use crate::inode::Inode;
use crate::inode::table::Table;
use crate::journal::Store;
use crate::units::{InodeNumber, PoolOffset};

/// What a path names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Located {
    pub(crate) inode: Inode,
    pub(crate) generation: u32,
    pub(crate) kind: Kind,
    /// `/.snapshots`, or something below it.
    pub(crate) read_only: bool,
}

/// What is known of an inode, at one instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stat {
    pub(crate) number: InodeNumber,
    pub(crate) kind: Kind,
    /// Bytes; 0 for a directory.
    pub(crate) size: u64,
    /// Data blocks that are mapped, written or not.
    pub(crate) allocated_blocks: u64,
    pub(crate) links: u32,
    /// Nanoseconds since 1970.
    pub(crate) created: u64,
    /// Nanoseconds since 1970.
    pub(crate) modified: u64,
    /// `/.snapshots`, or something below it.
    pub(crate) read_only: bool,
}

/// Whether a name of `directory` is one that callers do not see: what has been received of a snapshot so far.
pub(crate) fn is_hidden(directory: &Inode, name: &[u8]) -> bool {
    directory.number == SNAPSHOT_DIRECTORY && name.starts_with(HIDDEN_PREFIX)
}

/// How the hidden names in `/.snapshots` begin.
pub(crate) const HIDDEN_PREFIX: &[u8] = b".receiving-";

/// Where a walk from the root came to.
enum Walked {
    To(Located),
    /// A directory on the way, or at the end, lacks the name.
    Missing,
    /// Something on the way is a file.
    ThroughFile,
}

impl Located {
    pub(super) fn of(store: &Store, entry: &Dirent, above_read_only: bool) -> Result<Located> {
        Ok(Located {
            inode: Table::get(store, entry.inode)?,
            generation: entry.generation,
            kind: entry.kind,
            read_only: above_read_only || entry.inode == SNAPSHOT_DIRECTORY,
        })
    }

    /// It as a directory.
    pub(crate) fn directory(&self) -> Result<Directory> {
        match self.kind {
            Kind::Directory => Ok(Directory { inode: self.inode, generation: self.generation }),
            _ => Err(Error::new(ErrorKind::NotADirectory, "it is a file")),
        }
    }
}

fn walk(
    store: &Store,
    names: &[&[u8]],
    lock: Lock,
    mut pass: impl FnMut(&Inode) -> Result<()>,
) -> Result<Walked> {
    let root = Directory::root(store)?;
    let mut at =
        Located { inode: root.inode, generation: root.generation, kind: Kind::Directory, read_only: false };
    for name in names {
        pass(&at.inode)?;
        if at.kind != Kind::Directory {
            return Ok(Walked::ThroughFile);
        }
        let directory = Directory { inode: at.inode, generation: at.generation };
        if lock != Lock::Held && is_hidden(&at.inode, name) {
            return Ok(Walked::Missing);
        }
        match directory::lookup(store, &directory, name, lock) {
            Ok(Some(entry)) => at = Located::of(store, &entry, at.read_only)?,
            Ok(None) => return Ok(Walked::Missing),
            // It was removed after its name had been read.
            Err(error) if error.kind() == ErrorKind::Stale && lock == Lock::Free => {
                return Ok(Walked::Missing);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Walked::To(at))
}

fn located(walked: Walked) -> Result<Located> {
    match walked {
        Walked::To(located) => Ok(located),
        Walked::Missing => Err(Error::new(ErrorKind::NotFound, "no such file or directory")),
        Walked::ThroughFile => Err(Error::new(ErrorKind::NotADirectory, "a component of the path is a file")),
    }
}

/// What `path` names.
///
/// # Errors
/// [`ErrorKind::NotFound`], [`ErrorKind::NotADirectory`], and those of [`components`].
pub(crate) fn resolve(store: &Store, path: &Path) -> Result<Located> {
    resolve_with(store, path, Lock::Free)
}

/// As [`resolve`], for who may hold the namespace lock or have closed the gate.
pub(crate) fn resolve_with(store: &Store, path: &Path, lock: Lock) -> Result<Located> {
    let names = components(path)?;
    walk(store, &names, lock, |_| Ok(())).and_then(located).map_err(|error| error.at(path))
}

/// Resolves all of `names`, and says of each directory on the way what its inode is. The caller holds the namespace lock.
pub(super) fn resolve_names(
    store: &Store,
    names: &[&[u8]],
    mut pass: impl FnMut(InodeNumber),
) -> Result<Located> {
    let pass = |inode: &Inode| {
        pass(inode.number);
        Ok(())
    };
    walk(store, names, Lock::Held, pass).and_then(located)
}

/// Whether `path` names anything.
///
/// # Errors
/// Those of [`components`], and damage; a file on the way is none.
pub(crate) fn exists(store: &Store, path: &Path) -> Result<bool> {
    exists_with(store, path, Lock::Free)
}

/// As [`exists`], for who may hold the namespace lock or have closed the gate.
pub(crate) fn exists_with(store: &Store, path: &Path, lock: Lock) -> Result<bool> {
    walked_exists(walk(store, &components(path)?, lock, |_| Ok(()))).map_err(|error| error.at(path))
}

fn walked_exists(walked: Result<Walked>) -> Result<bool> {
    walked.map(|walked| matches!(walked, Walked::To(_)))
}

/// The answer of [`exists`], for as long as no directory on the way changes.
#[derive(Clone, Default, Debug)]
pub struct KnownName {
    /// Each directory on the way, and what its sequence counter was before it was looked into; empty if nothing is known.
    way: Vec<(PoolOffset, u64)>,
    exists: bool,
}

/// As [`exists`], answered from `known` where that still holds.
///
/// # Errors
/// As [`exists`].
pub(crate) fn exists_known(store: &Store, path: &Path, known: &mut KnownName) -> Result<bool> {
    let mut holds = !known.way.is_empty();
    for &(directory, sequence) in &known.way {
        holds = holds && store.runtime.unchanged_since(directory, sequence)?;
    }
    if holds {
        return Ok(known.exists);
    }
    let mut way = std::mem::take(&mut known.way);
    way.clear();
    let mut at_rest = true;
    let walked = walk(store, &components(path)?, Lock::Free, |directory| {
        match store.runtime.sequence(directory.place)? {
            Some(sequence) => way.push((directory.place, sequence)),
            None => at_rest = false,
        }
        Ok(())
    });
    known.exists = walked_exists(walked).map_err(|error| error.at(path))?;
    if at_rest {
        known.way = way;
    }
    Ok(known.exists)
}

/// The entries of the directory that `path` names, sorted by name.
///
/// # Errors
/// Those of [`resolve`].
pub(crate) fn read_dir(store: &Store, path: &Path) -> Result<Vec<Dirent>> {
    let found = resolve(store, path)?;
    let listed = found.directory().and_then(|found| directory::list(store, &found, Lock::Free));
    let mut entries = listed.map_err(|error| not_found_if_stale(error).at(path))?;
    entries.retain(|entry| !is_hidden(&found.inode, &entry.name));
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// What is known of what `path` names.
///
/// # Errors
/// Those of [`resolve`].
pub(crate) fn metadata(store: &Store, path: &Path) -> Result<Stat> {
    let found = resolve(store, path)?;
    stat(store, &found).map_err(|error| not_found_if_stale(error).at(path))
}

fn not_found_if_stale(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Stale => Error::new(ErrorKind::NotFound, "no such file or directory"),
        _ => error,
    }
}

/// What is known of an inode.
///
/// # Errors
/// [`ErrorKind::Stale`] if it has been removed.
pub(crate) fn stat(store: &Store, located: &Located) -> Result<Stat> {
    let inode = &located.inode;
    if let Some(answer) = store.runtime.look_unlocked(inode.place, || read_stat(store, located))? {
        return answer;
    }
    // A file changes under its own lock, a directory under that of the namespace.
    let _held = match located.kind {
        Kind::Directory => store.runtime.lock(crate::runtime::at::NAMESPACE)?,
        _ => inode.lock(store)?,
    };
    read_stat(store, located)
}

fn read_stat(store: &Store, located: &Located) -> Result<Stat> {
    let inode = &located.inode;
    let kind = inode.expect(store, located.kind, located.generation)?;
    Ok(Stat {
        number: inode.number,
        kind: kind.kind,
        size: inode.size(store)?,
        allocated_blocks: Tree::of(&store.space, inode.place)?.allocated_blocks(&store.space)?,
        links: inode.links(store)?,
        created: inode.birth(store)?.created,
        modified: inode.modified(store)?,
        read_only: located.read_only || kind.snapshot,
    })
}
