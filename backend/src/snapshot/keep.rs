//! Snapshots under `/.snapshots`: create, list, delete.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::build::{Built, build};
use super::cut::Cut;
use super::{ATTRIBUTE_SCOPE, ATTRIBUTE_WAY};
use crate::error::{Error, ErrorKind, Result};
use crate::format::dirent::NAME_MAX;
use crate::format::inode::{Kind, SNAPSHOT_DIRECTORY};
use crate::inode::Core;
use crate::inode::table::Table;
use crate::journal::Store;
use crate::namespace::check_depth;
use crate::namespace::directory::{self, Directory, Lock};
use crate::namespace::path::components;
use crate::namespace::reclaim;
use crate::namespace::resolve::{self, HIDDEN_PREFIX, is_hidden};
use crate::namespace::tree::{Authority, Namespace};
use crate::namespace::visited::Visited;
use crate::pmem::Flushed;
use crate::pmem::medium::Granularity;

/// A snapshot as it is listed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SnapshotInfo {
    /// Its name under `/.snapshots`.
    pub name: String,
    /// When it was made.
    pub created: SystemTime,
    /// The paths it was made of; `/` for the whole pool.
    pub paths: Vec<PathBuf>,
    /// Files in it, counted by name.
    pub files: u64,
}

/// The path of snapshot `name`, which must be one component.
pub(crate) fn path_of(name: &str) -> Result<PathBuf> {
    let invalid = |message: String| Err(Error::new(ErrorKind::InvalidInput, message));
    if name.len() > NAME_MAX {
        return Err(Error::new(
            ErrorKind::NameTooLong,
            format!("the snapshot name has {} bytes, 255 are allowed", name.len()),
        ));
    }
    if name.as_bytes().starts_with(HIDDEN_PREFIX) {
        return invalid(format!(
            "{name:?} cannot name a snapshot: such names are for what is being received"
        ));
    }
    if name.is_empty() || name == "." || name == ".." || name.bytes().any(|byte| byte == b'/' || byte == 0) {
        return invalid(format!("{name:?} cannot name a snapshot: one path component is expected"));
    }
    Ok(Path::new("/.snapshots").join(name))
}

/// The paths of a scope as components: none for the whole pool. Paths below others of the scope fall away.
fn scope_of<P: AsRef<Path>>(paths: &[P]) -> Result<Vec<Vec<Vec<u8>>>> {
    let mut scope: Vec<Vec<Vec<u8>>> = Vec::new();
    for path in paths {
        let names: Vec<Vec<u8>> = components(path.as_ref())?.into_iter().map(<[u8]>::to_vec).collect();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        if names[0] == crate::namespace::SNAPSHOT_DIRECTORY_NAME {
            return Err(
                Error::new(ErrorKind::InvalidInput, "a snapshot of snapshots cannot be made").at(path)
            );
        }
        scope.push(names);
    }
    scope.sort();
    scope.dedup_by(|path, before| path.starts_with(before));
    Ok(scope)
}

/// Makes snapshot `name` of `paths`, or of the whole pool where there are none: all files at one instant. Durable at return.
pub(crate) fn create<P: AsRef<Path>>(core: &Core, name: &str, paths: &[P]) -> Result<SnapshotInfo> {
    let store = &core.store;
    let path = path_of(name)?;
    let scope = scope_of(paths)?;
    // Behind the gate: before, a member that stands still in the middle of a change of names would be waited for.
    let cut = Cut::of_scope(core, &scope, || match resolve::exists_with(store, &path, Lock::Gate)? {
        true => Err(Error::new(ErrorKind::AlreadyExists, format!("there is a snapshot {name} already"))),
        false => Ok(()),
    })?;
    let built = place(store, cut, &path, true)?;
    let created = time_of(Table::get(store, built.top.number)?.birth(store)?.created);
    let paths = if scope.is_empty() {
        vec![PathBuf::from("/")]
    } else {
        scope.iter().map(|names| joined(names)).collect()
    };
    Ok(SnapshotInfo { name: name.to_owned(), created, paths, files: built.files })
}

/// A tree that has got its name.
pub(crate) struct Placed {
    top: crate::inode::Inode,
    files: u64,
}

/// Makes a tree of `cut` and gives it the name `path`.
fn place(store: &Store, cut: Cut, path: &Path, snapshot: bool) -> Result<Placed> {
    if store.runtime.region.granularity() == Granularity::Page
        && let Err(error) = store.space.settle()
    {
        cut.cancel(store)?;
        return Err(error);
    }
    let authority = if snapshot { Authority::Snapshots } else { Authority::Caller };
    let namespace = match Namespace::lock(store, authority) {
        Ok(namespace) => namespace,
        Err(error) => {
            cut.cancel(store)?;
            return Err(error);
        }
    };
    let built = match build(store, &cut, snapshot) {
        Ok(built) => built,
        Err(error) => {
            drop(namespace);
            cut.cancel(store)?;
            return Err(error);
        }
    };
    let adopted = namespace.adopt(path, &built.top, Flushed::none());
    drop(namespace);
    match adopted {
        Ok(()) => Ok(Placed { top: built.top, files: cut.files }),
        Err(error) => {
            discard(store, &built)?;
            Err(error)
        }
    }
}

/// Frees a tree that got no name.
pub(crate) fn discard(store: &Store, built: &Built) -> Result<()> {
    match built.kind {
        Kind::Directory => {
            let directory = Directory { inode: built.top, generation: built.generation };
            reclaim::reclaim_tree(store, &directory).map(|_| ())
        }
        _ => {
            let _namespace = Namespace::lock(store, Authority::Snapshots)?;
            reclaim::release(store, &built.top, built.generation);
            Ok(())
        }
    }
}

/// Makes a writable copy of `from` at `to`, sharing all blocks: a file, or a directory with everything below it at one
/// instant.
pub(crate) fn clone_tree(core: &Core, from: &Path, to: &Path) -> Result<()> {
    let store = &core.store;
    let cut = Cut::of_path(core, from, || {
        if resolve::exists_with(store, to, Lock::Gate)? {
            return Err(Error::new(ErrorKind::AlreadyExists, "the target of a clone exists already").at(to));
        }
        // Says too whether callers may see it.
        resolve::resolve_with(store, from, Lock::Gate).map(drop)
    })?;
    place(store, cut, to, false).map(|_| ())
}

/// All snapshots, the oldest first.
pub(crate) fn list(core: &Core) -> Result<Vec<SnapshotInfo>> {
    let store = &core.store;
    let inode = Table::get(store, SNAPSHOT_DIRECTORY)?;
    let all = Directory { inode, generation: inode.kind(store)?.generation };
    let mut snapshots = Vec::new();
    for entry in directory::list(store, &all, Lock::Free)? {
        if is_hidden(&all.inode, &entry.name) {
            continue;
        }
        let top = Directory::of(store, &entry)?;
        let mut info = SnapshotInfo {
            name: String::from_utf8_lossy(&entry.name).into_owned(),
            created: time_of(top.inode.birth(store)?.created),
            paths: Vec::new(),
            files: 0,
        };
        match describe(store, &top, &mut Vec::new(), &mut Visited::default(), &mut info) {
            Ok(()) => snapshots.push(info),
            // It was deleted while it was looked at.
            Err(error) if error.kind() == ErrorKind::Stale => {}
            Err(error) => return Err(error),
        }
    }
    snapshots.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
    Ok(snapshots)
}

fn describe(
    store: &Store,
    at: &Directory,
    way: &mut Vec<Vec<u8>>,
    visited: &mut Visited,
    info: &mut SnapshotInfo,
) -> Result<()> {
    check_depth(way.len())?;
    // No name in a snapshot ever moves.
    visited.enter(store, at, &joined(way), Lock::Held)?;
    if at.inode.birth(store)?.attribute == ATTRIBUTE_SCOPE {
        info.paths.push(joined(way));
    }
    for entry in directory::list(store, at, Lock::Free)? {
        way.push(entry.name.clone());
        if entry.kind == Kind::Directory {
            describe(store, &Directory::of(store, &entry)?, way, visited, info)?;
        } else {
            info.files += 1;
            if Table::get(store, entry.inode)?.birth(store)?.attribute == ATTRIBUTE_SCOPE {
                info.paths.push(joined(way));
            }
        }
        way.pop();
    }
    info.paths.sort();
    Ok(())
}

/// Removes snapshot `name`: the name at once, in one transaction; the space in bounded steps before this returns.
pub(crate) fn delete(core: &Core, name: &str) -> Result<()> {
    let path = path_of(name)?;
    let namespace = Namespace::lock(&core.store, Authority::Snapshots)?;
    let detached = namespace.detach(&path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::new(ErrorKind::NotFound, format!("there is no snapshot {name}")),
        _ => error,
    })?;
    drop(namespace);
    match detached {
        Some(top) => reclaim::reclaim_tree(&core.store, &top).map(|_| ()),
        None => Ok(()),
    }
}

/// Whether a directory of a snapshot only leads to what was asked for.
pub(crate) const fn is_way(attribute: u64) -> bool {
    attribute == ATTRIBUTE_WAY
}

/// The absolute path of some components.
pub(crate) fn joined(names: &[Vec<u8>]) -> PathBuf {
    let mut path = PathBuf::from("/");
    path.extend(names.iter().map(|name| OsStr::from_bytes(name)));
    path
}

fn time_of(nanoseconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(nanoseconds)
}
