//! What names a snapshot in every pool it is sent to.
//!
//! A snapshot made here is named by the pool, the inode of its top and when that was made; one that was received keeps
//! the name it came with. So a chain of incremental streams can go on from any pool that has its last snapshot.

use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

use super::keep::path_of;
use crate::error::{Error, ErrorKind, Result};
use crate::format::inode::SNAPSHOT_DIRECTORY;
use crate::format::stream::Identity;
use crate::inode::table::Table;
use crate::journal::Store;
use crate::namespace::directory::{self, Directory, Lock};
use crate::namespace::resolve::{is_hidden, resolve};

/// A snapshot and what names it.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) name: Vec<u8>,
    pub(super) top: Directory,
    pub(super) identity: Identity,
}

/// The snapshot `name`.
pub(super) fn by_name(store: &Store, name: &str) -> Result<Named> {
    let path = path_of(name)?;
    let missing = |error: Error| match error.kind() {
        ErrorKind::NotFound => Error::new(ErrorKind::NotFound, format!("there is no snapshot {name}")),
        _ => error,
    };
    let top = resolve(store, &path).map_err(missing)?.directory()?;
    Ok(Named { name: name.as_bytes().to_vec(), top, identity: of(store, &top)? })
}

/// A snapshot with this identity, if there is one.
pub(super) fn find(store: &Store, identity: Identity) -> Result<Option<Named>> {
    let all = directory_of_snapshots(store)?;
    for entry in directory::list(store, &all, Lock::Free)? {
        if is_hidden(&all.inode, &entry.name) {
            continue;
        }
        let top = Directory::of(store, &entry)?;
        match of(store, &top) {
            Ok(found) if found == identity => return Ok(Some(Named { name: entry.name, top, identity })),
            Err(error) if error.kind() != ErrorKind::Stale => return Err(error),
            _ => {}
        }
    }
    Ok(None)
}

/// `/.snapshots`.
pub(super) fn directory_of_snapshots(store: &Store) -> Result<Directory> {
    let inode = Table::get(store, SNAPSHOT_DIRECTORY)?;
    Ok(Directory { inode, generation: inode.kind(store)?.generation })
}

fn of(store: &Store, top: &Directory) -> Result<Identity> {
    top.is_snapshot(store)?;
    if let Some(given) = top.inode.identity(store)? {
        return Ok(given);
    }
    let mut named = store.settings.uuid.to_vec();
    named.extend(top.inode.number.0.to_le_bytes());
    named.extend(top.generation.to_le_bytes());
    named.extend(top.inode.birth(store)?.created.to_le_bytes());
    Ok(xxh3_128(&named).to_le_bytes())
}

/// An identity as people see it.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of an even number of hexadecimal digits.
pub(super) fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks(2).map(byte).collect()
}

/// The hidden directory of what has been received of a snapshot.
pub(super) fn hidden_path(identity: Identity) -> std::path::PathBuf {
    Path::new("/.snapshots").join(format!(".receiving-{}", hex(&identity)))
}
