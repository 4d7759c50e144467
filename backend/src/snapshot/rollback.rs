//! Putting a snapshot back in place.
//!
//! Everything the snapshot was asked for is built anew from it, and one transaction gives the old names to the new
//! trees. What they named before has no name from then on: open handles of it turn stale, and it is reclaimed.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::build::{Built, build_source};
use super::cut::{Cut, Source, What};
use super::keep::{discard, is_way, joined, path_of};
use crate::error::{Error, ErrorKind, Result};
use crate::format::dirent::{Dirent, SLOT_BYTES, slots_for};
use crate::format::inode::{Kind, SNAPSHOT_DIRECTORY};
use crate::inode::open::is_open_anywhere;
use crate::inode::table::Table;
use crate::inode::{Core, Inode};
use crate::journal::Store;
use crate::namespace::directory::{self, Directory, Lock};
use crate::namespace::edit::Edit;
use crate::namespace::reclaim;
use crate::namespace::tree::{Authority, Namespace};
use crate::namespace::visited::Visited;
use crate::namespace::{SNAPSHOT_DIRECTORY_NAME, check_depth};
use crate::runtime::member::Member;

/// How a rollback treats what is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RollbackOptions {
    /// Roll back even where files are open: their handles turn stale. Without this, a file that is opened while the
    /// rollback is going on turns stale too.
    pub force: bool,
}

/// One path of the snapshot on its way back.
struct Return {
    names: Vec<Vec<u8>>,
    parent: Option<Directory>,
    old: Option<Dirent>,
    built: Built,
}

/// Paths that one transaction puts back. Their names must find room in one bucket at the worst.
const PATHS_AT_ONCE: usize = 8;

/// Puts snapshot `name` back: every path it was made of becomes what it was, all in one transaction if there are
/// up to 8. Busy, naming the members, while a file there is open, unless forced. The snapshot stays.
pub(crate) fn rollback(core: &Core, name: &str, options: RollbackOptions) -> Result<()> {
    let store = &core.store;
    let path = path_of(name)?;
    let cut = Cut::of_path(core, &path, || Ok(())).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::new(ErrorKind::NotFound, format!("there is no snapshot {name}")),
        _ => error,
    })?;
    let mut scope = Vec::new();
    let locked = collect(store, &cut.top, &mut Vec::new(), &mut scope)
        .and_then(|()| Namespace::lock(store, Authority::Caller));
    let namespace = match locked {
        Ok(namespace) => namespace,
        Err(error) => {
            cut.top.lower(store)?;
            return Err(error);
        }
    };
    let Outcome { done, left, failure, made } = put_back(store, &namespace, &scope, options);
    if done.is_empty() {
        remove_ways(&namespace, &made);
    }
    drop(namespace);
    left.iter().try_for_each(|left| discard(store, &left.built))?;
    let reclaimed = done.iter().try_for_each(|done| reclaim_old(store, done));
    if reclaimed.is_err() {
        // Others leave to this member what it has replaced: what is left of it is freed with its next operation.
        core.orphans.add(done.iter().filter_map(|done| replaced(store, done)));
    }
    reclaimed?;
    failure.map_or(Ok(()), Err)
}

/// How far a rollback came.
#[derive(Default)]
struct Outcome {
    /// What got its name.
    done: Vec<Return>,
    /// What was built and got none.
    left: Vec<Return>,
    failure: Option<Error>,
    /// Directories that were missing on the way.
    made: Vec<PathBuf>,
}

/// Builds everything and gives it its names.
fn put_back(
    store: &Store,
    namespace: &Namespace<'_>,
    scope: &[(Vec<Vec<u8>>, &Source)],
    options: RollbackOptions,
) -> Outcome {
    let mut outcome = Outcome::default();
    let refused = if options.force { Ok(()) } else { refuse_open(store, namespace, scope) };
    let prepared = refused.and_then(|()| {
        for (names, source) in scope {
            let ready = prepare(store, namespace, names, source, &mut outcome.made)?;
            outcome.left.push(ready);
        }
        Ok(())
    });
    let unbuilt = &scope[outcome.left.len()..];
    let lowered = unbuilt.iter().try_for_each(|(_, source)| source.lower(store));
    outcome.failure = prepared.and(lowered).err();
    while outcome.failure.is_none() && !outcome.left.is_empty() {
        let together = PATHS_AT_ONCE.min(outcome.left.len());
        match swap(store, &outcome.left[..together]) {
            Ok(()) => outcome.done.extend(outcome.left.drain(..together)),
            Err(error) => outcome.failure = Some(error),
        }
    }
    outcome
}

/// Removes directories that were made for what then did not come, as far as nobody has put anything there.
fn remove_ways(namespace: &Namespace<'_>, made: &[PathBuf]) {
    for path in made.iter().rev() {
        if let Err(error) = namespace.remove_dir(path) {
            tracing::warn!(%error, path = %path.display(), "a directory made for a rollback stays");
        }
    }
}

/// Busy at the first file that is open at or below the paths of the scope.
fn refuse_open(store: &Store, namespace: &Namespace<'_>, scope: &[(Vec<Vec<u8>>, &Source)]) -> Result<()> {
    scope.iter().try_for_each(|(names, _)| match namespace.resolve(&joined(names)) {
        Ok(there) => {
            let mut finder = OpenFiles { store, visited: Visited::default() };
            finder.refuse(there.inode, there.kind, &joined(names), 0)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    })
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

fn prepare(
    store: &Store,
    namespace: &Namespace<'_>,
    names: &[Vec<u8>],
    source: &Source,
    made: &mut Vec<PathBuf>,
) -> Result<Return> {
    let (parent, old) = match names.split_last() {
        None => (None, None),
        Some((name, above)) => {
            let missing = (1..=above.len()).map(|depth| joined(&above[..depth]));
            made.extend(missing.filter(|path| namespace.resolve(path).is_err()));
            let parent = namespace.create_dir_all(&joined(above))?.directory()?;
            (Some(parent), directory::lookup(store, &parent, name, Lock::Held)?)
        }
    };
    Ok(Return { names: names.to_vec(), parent, old, built: build_source(store, source, false, None)? })
}

/// Looks for open files.
struct OpenFiles<'a> {
    store: &'a Store,
    visited: Visited,
}

impl OpenFiles<'_> {
    /// Busy at the first file at or below `inode`, which is `depth` levels down, that is open.
    fn refuse(&mut self, inode: Inode, kind: Kind, path: &Path, depth: usize) -> Result<()> {
        let store = self.store;
        if kind == Kind::Directory {
            check_depth(depth)?;
            let directory = Directory { inode, generation: inode.kind(store)?.generation };
            self.visited.enter(store, &directory, path, Lock::Held)?;
            for entry in directory::list(store, &directory, Lock::Held)? {
                if entry.inode != SNAPSHOT_DIRECTORY {
                    let below = path.join(OsStr::from_bytes(&entry.name));
                    self.refuse(Table::get(store, entry.inode)?, entry.kind, &below, depth + 1)?;
                }
            }
            return Ok(());
        }
        if !is_open_anywhere(store, &inode)? {
            return Ok(());
        }
        let holders: Vec<String> =
            holders(store, &inode)?.into_iter().map(|member| store.runtime.describe(member)).collect();
        if holders.is_empty() {
            return Ok(());
        }
        let message =
            format!("{} have it open; a forced rollback makes their handles stale", holders.join(", "));
        Err(Error::new(ErrorKind::Busy, message).at(path))
    }
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

/// The one transaction. What loses its name in it is marked as replaced before.
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
                let inode = Table::get(store, old.inode)?;
                edit.unlink(store, &inode)?;
                inode.mark_replaced(store)?;
            }
            (Some(_), None) => {}
            (None, _) => {
                let root = Directory::root(store)?;
                edit.remove(store, &root, &snapshots_entry(store, &root)?)?;
                edit.swap_contents(store, &root.inode, &built.top)?;
                built.top.mark_replaced(store)?;
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

/// What a path named before, or what the root's old contents belong to now.
fn replaced(store: &Store, done: &Return) -> Option<Inode> {
    match (&done.parent, &done.old) {
        (None, _) => Some(done.built.top),
        (Some(_), Some(old)) => Table::get(store, old.inode).ok(),
        (Some(_), None) => None,
    }
}

/// Reclaims what a path named before, and with it whatever was opened after the old names had been looked through.
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
