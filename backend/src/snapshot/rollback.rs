//! Putting a snapshot back in place.
//!
//! Everything the snapshot was asked for is built anew from it, and one transaction gives the old names to the new
//! trees. What they named before has no name from then on: open handles of it turn stale, and it is reclaimed.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::build::{Built, build_source};
use super::cut::{Cut, Source, What};
use super::keep::{discard, is_way, joined, path_of};
use crate::error::{Error, ErrorKind, Result};
use crate::format::dirent::{Dirent, SLOT_BYTES, slots_for};
use crate::format::inode::{Kind, SNAPSHOT_DIRECTORY, at};
use crate::inode::open::is_open_anywhere;
use crate::inode::table::Table;
use crate::inode::{Core, Inode};
use crate::journal::Store;
use crate::namespace::SNAPSHOT_DIRECTORY_NAME;
use crate::namespace::directory::{self, Directory, Lock};
use crate::namespace::edit::Edit;
use crate::namespace::reclaim;
use crate::namespace::tree::{Authority, Namespace};
use crate::runtime::member::Member;
use crate::space::Reference;

/// How a rollback treats what is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RollbackOptions {
    /// Roll back even where files are open: their handles turn stale.
    pub force: bool,
}

/// One path of the snapshot on its way back.
struct Return {
    names: Vec<Vec<u8>>,
    parent: Option<Directory>,
    old: Option<Dirent>,
    /// What is open of it.
    open: Vec<Inode>,
    built: Built,
}

/// Paths that one transaction puts back. Their names must find room in one bucket at the worst.
const PATHS_AT_ONCE: usize = 8;

/// Puts snapshot `name` back: every path it was made of becomes what it was, all in one transaction if there are
/// up to 8. Busy, naming the members, while a file there is open, unless forced. The snapshot stays.
pub(crate) fn rollback(core: &Core, name: &str, options: RollbackOptions) -> Result<()> {
    let store = &core.store;
    let path = path_of(name)?;
    let cut = Cut::of_path(core, &path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::new(ErrorKind::NotFound, format!("there is no snapshot {name}")),
        _ => error,
    })?;
    let mut scope = Vec::new();
    collect(store, &cut.top, &mut Vec::new(), &mut scope)?;
    let namespace = Namespace::lock(store, Authority::Caller)?;
    // What is refused is refused before anything is made.
    if let Err(error) = scope.iter().try_for_each(|(names, _)| refuse(store, &namespace, names, options)) {
        drop(namespace);
        scope.iter().try_for_each(|(_, source)| lower(store, source))?;
        return Err(error);
    }
    let mut returns = Vec::new();
    for (index, (names, source)) in scope.iter().enumerate() {
        match prepare(store, &namespace, names, source, options) {
            Ok(ready) => returns.push(ready),
            Err(error) => {
                drop(namespace);
                returns.iter().try_for_each(|ready| discard(store, &ready.built))?;
                scope[index..].iter().try_for_each(|(_, source)| lower(store, source))?;
                return Err(error);
            }
        }
    }
    let mut done = 0;
    let mut failure = None;
    for together in returns.chunks(PATHS_AT_ONCE) {
        if let Err(error) = swap(store, together) {
            failure = Some(error);
            break;
        }
        done += together.len();
    }
    drop(namespace);
    returns[done..].iter().try_for_each(|ready| discard(store, &ready.built))?;
    returns[..done].iter().try_for_each(|done| clear_away(store, done))?;
    failure.map_or(Ok(()), Err)
}

/// The sources of a snapshot that were asked for by their path.
fn collect<'a>(
    store: &Store,
    source: &'a Source,
    way: &mut Vec<Vec<u8>>,
    scope: &mut Vec<(Vec<Vec<u8>>, &'a Source)>,
) -> Result<()> {
    match &source.what {
        What::Directory(children) if is_way(source.inode.birth(store)?.attribute) => {
            for (name, child) in children {
                way.push(name.clone());
                collect(store, child, way, scope)?;
                way.pop();
            }
        }
        _ => scope.push((way.clone(), source)),
    }
    Ok(())
}

fn lower(store: &Store, source: &Source) -> Result<()> {
    match &source.what {
        What::File { root, .. } => {
            match crate::extent_map::Tree::from_word(source.inode.field(at::ROOT), *root)?.root {
                Some(root) => store.space.lower_all(&[Reference::of_root(root)]),
                None => Ok(()),
            }
        }
        What::Directory(children) => children.iter().try_for_each(|(_, child)| lower(store, child)),
    }
}

/// Fails where a path leads through a file, and where a file there is open, unless forced.
fn refuse(
    store: &Store,
    namespace: &Namespace<'_>,
    names: &[Vec<u8>],
    options: RollbackOptions,
) -> Result<()> {
    let path = joined(names);
    match namespace.resolve(&path) {
        Ok(found) => find_open(store, found.inode, found.kind, &path, options.force, &mut Vec::new()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn prepare(
    store: &Store,
    namespace: &Namespace<'_>,
    names: &[Vec<u8>],
    source: &Source,
    options: RollbackOptions,
) -> Result<Return> {
    let (parent, old) = match names.split_last() {
        None => (None, None),
        Some((name, above)) => {
            let parent = namespace.create_dir_all(&joined(above))?.directory()?;
            (Some(parent), directory::lookup(store, &parent, name, Lock::Held)?)
        }
    };
    let replaced = match (&old, &parent) {
        (Some(entry), _) => Some((Table::get(store, entry.inode)?, entry.kind)),
        (None, None) => Some((Directory::root(store)?.inode, Kind::Directory)),
        (None, Some(_)) => None,
    };
    let mut open = Vec::new();
    if let Some((inode, kind)) = replaced {
        find_open(store, inode, kind, &joined(names), options.force, &mut open)?;
    }
    Ok(Return { names: names.to_vec(), parent, old, open, built: build_source(store, source, false)? })
}

/// Finds the files at or below `inode` that are open. Busy at the first one, unless forced.
fn find_open(
    store: &Store,
    inode: Inode,
    kind: Kind,
    path: &Path,
    force: bool,
    open: &mut Vec<Inode>,
) -> Result<()> {
    if kind == Kind::Directory {
        let directory = Directory { inode, generation: inode.kind(store)?.generation };
        for entry in directory::list(store, &directory, Lock::Held)? {
            if entry.inode != SNAPSHOT_DIRECTORY {
                let below = path.join(OsStr::from_bytes(&entry.name));
                find_open(store, Table::get(store, entry.inode)?, entry.kind, &below, force, open)?;
            }
        }
        return Ok(());
    }
    if !is_open_anywhere(store, &inode)? {
        return Ok(());
    }
    let holders: Vec<String> =
        holders(store, &inode)?.into_iter().map(|member| store.runtime.describe(member)).collect();
    if !force && !holders.is_empty() {
        let message =
            format!("{} have it open; a forced rollback makes their handles stale", holders.join(", "));
        return Err(Error::new(ErrorKind::Busy, message).at(path));
    }
    open.push(inode);
    Ok(())
}

/// The live members that have an inode open; dead ones are recovered on the way.
fn holders(store: &Store, inode: &Inode) -> Result<Vec<Member>> {
    let mut holders = Vec::new();
    for record in store.runtime.members()? {
        let member = record.member;
        let (word, bit) = crate::inode::open::mask_bit(inode, member.slot);
        if store.runtime.region.load(word)? & bit != 0
            && !store.runtime.recover_if_dead(member.slot, member.generation)?
        {
            holders.push(member);
        }
    }
    Ok(holders)
}

/// The one transaction.
fn swap(store: &Store, returns: &[Return]) -> Result<()> {
    make_room(store, returns)?;
    let mut edit = Edit::new();
    let mut directories: Vec<Directory> = Vec::new();
    for Return { names, parent, built, .. } in returns {
        match (parent, names.last()) {
            (Some(parent), Some(name)) => {
                edit.insert(store, parent, &built.entry(store, name))?;
                edit.set_links(&built.top, 1);
                directories.push(*parent);
            }
            _ => {
                let new = Directory { inode: built.top, generation: built.generation };
                let root = Directory::root(store)?;
                edit.insert(store, &new, &snapshots_entry(store, &root)?)?;
                directories.extend([root, new]);
            }
        }
    }
    for Return { parent, old, built, .. } in returns {
        match (parent, old) {
            (Some(parent), Some(old)) => {
                edit.remove(store, parent, old)?;
                edit.unlink(store, &Table::get(store, old.inode)?)?;
            }
            (Some(_), None) => {}
            (None, _) => {
                let root = Directory::root(store)?;
                edit.remove(store, &root, &snapshots_entry(store, &root)?)?;
                edit.swap_contents(store, &root.inode, &built.top)?;
            }
        }
    }
    directories.sort_by_key(|directory| directory.inode.number);
    directories.dedup();
    edit.commit(store, &directories)
}

/// Makes sure that all new names of a directory find room, should they all fall into one bucket.
fn make_room(store: &Store, returns: &[Return]) -> Result<()> {
    for Return { names, parent, .. } in returns {
        let (Some(parent), Some(name)) = (parent, names.last()) else { continue };
        let together = returns
            .iter()
            .filter(|other| other.parent == Some(*parent))
            .filter_map(|other| other.names.last());
        let bytes = together.map(|name| slots_for(name.len()) * SLOT_BYTES).sum::<usize>();
        directory::make_room(store, parent, directory::hash(store, name), bytes)?;
    }
    Ok(())
}

fn snapshots_entry(store: &Store, root: &Directory) -> Result<Dirent> {
    directory::lookup(store, root, SNAPSHOT_DIRECTORY_NAME, Lock::Held)?
        .ok_or_else(|| Error::corrupt("root directory", root.inode.number, "an entry .snapshots", "none"))
}

/// Reclaims what a path named before, and makes the handles of what is open of it stale.
fn clear_away(store: &Store, done: &Return) -> Result<()> {
    reclaim_old(store, done)?;
    for inode in &done.open {
        if inode.links(store)? == 0 {
            inode.set_replaced(store, true)?;
        }
    }
    Ok(())
}

fn reclaim_old(store: &Store, done: &Return) -> Result<()> {
    match (&done.parent, &done.old) {
        // The new inode of the root has got the old contents.
        (None, _) => discard(store, &done.built),
        (Some(_), Some(old)) if old.kind == Kind::Directory => {
            reclaim::reclaim_tree(store, &Directory::of(store, old)?).map(|_| ())
        }
        (Some(_), Some(old)) => {
            let _namespace = Namespace::lock(store, Authority::Caller)?;
            let inode = Table::get(store, old.inode)?;
            if inode.links(store)? == 0 {
                reclaim::release(store, &inode, old.generation);
            }
            Ok(())
        }
        (Some(_), None) => Ok(()),
    }
}
