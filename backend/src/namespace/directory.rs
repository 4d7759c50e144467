//! Hashed directories: a sparse file of buckets, the prefix of a name's hash says in which one the name is.
//!
//! ```text
//! hash  a3f0...  ->  bucket 0, split  ->  child 0xa, split  ->  its child 0x3: names of prefix a3
//! ```
//!
//! A bucket that is full is split: its names are written anew into 16 children, which one transaction puts into the map
//! together with the word that says so. Buckets are never merged and never shared with another directory.

use std::time::Duration;

use siphasher::sip::SipHasher24;

use super::bucket::{self, Bucket, Fresh, Node};
use crate::error::{Error, ErrorKind, Result};
use crate::extent_map::stage::stage;
use crate::extent_map::{Change, Content, Tree};
use crate::format::dirent::{self, Dirent, SPLIT};
use crate::format::inode::{Kind, ROOT_DIRECTORY};
use crate::format::lane::{RECORDS_MAX, Record};
use crate::inode::Inode;
use crate::inode::table::Table;
use crate::journal::Store;
use crate::pmem::Flushed;
use crate::runtime::at;
use crate::runtime::robust::PATIENCE;
use crate::space::Purpose;
use crate::units::{BLOCK_BYTES, BlockNumber, FileBlock, PoolOffset};

/// A directory: its inode, and which of the inode's lives is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Directory {
    pub(crate) inode: Inode,
    pub(crate) generation: u32,
}

/// Whether anything can move while the caller looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lock {
    /// The caller holds the namespace lock: nothing does.
    Held,
    /// The caller has closed the gate, and looks for somebody from whom some names are hidden: nothing does.
    Gate,
    /// Neither: what is read is validated.
    Free,
}

impl Directory {
    /// The root directory.
    pub(crate) fn root(store: &Store) -> Result<Directory> {
        let inode = Table::get(store, ROOT_DIRECTORY)?;
        Ok(Directory { inode, generation: inode.kind(store)?.generation })
    }

    /// The directory that an entry names; the entry is one of a directory.
    pub(crate) fn of(store: &Store, entry: &Dirent) -> Result<Directory> {
        Ok(Directory { inode: Table::get(store, entry.inode)?, generation: entry.generation })
    }

    /// Whether it is part of a snapshot. Stale if it has been removed.
    pub(crate) fn is_snapshot(&self, store: &Store) -> Result<bool> {
        Ok(self.inode.expect(store, Kind::Directory, self.generation)?.snapshot)
    }

    /// Runs `read` until nothing has moved meanwhile, at last under the namespace lock. Stale if the directory has been
    /// removed.
    pub(super) fn reading<T>(
        &self,
        store: &Store,
        lock: Lock,
        read: impl Fn(&Tree) -> Result<T>,
    ) -> Result<T> {
        match lock {
            Lock::Held | Lock::Gate => self.attempt(store, &read),
            Lock::Free => self.reading_within(store, PATIENCE, &read),
        }
    }

    fn attempt<T>(&self, store: &Store, read: &impl Fn(&Tree) -> Result<T>) -> Result<T> {
        self.inode.expect(store, Kind::Directory, self.generation)?;
        read(&Tree::of(&store.space, self.inode.place)?)
    }

    /// As [`Directory::reading`] for [`Lock::Free`]; Busy if the namespace lock is not to be had within `patience`.
    fn reading_within<T>(
        &self,
        store: &Store,
        patience: Duration,
        read: &impl Fn(&Tree) -> Result<T>,
    ) -> Result<T> {
        if let Some(answer) = store.runtime.look_unlocked(self.inode.place, || self.attempt(store, read))? {
            return answer;
        }
        let _held = store.runtime.lock_within(at::NAMESPACE, patience)?;
        // Who died in the middle of a change left the counter odd: nobody should have to wait for it again.
        drop(store.runtime.begin_change(self.inode.place)?);
        self.attempt(store, read)
    }
}

/// The hash of a name in this pool.
pub(crate) fn hash(store: &Store, name: &[u8]) -> u64 {
    let [key0, key1] = store.settings.hash_seed;
    SipHasher24::new_with_keys(key0, key1).hash(name)
}

/// The entry of `name` in `directory`.
///
/// # Errors
/// [`ErrorKind::Stale`] if the directory has been removed.
pub(crate) fn lookup(
    store: &Store,
    directory: &Directory,
    name: &[u8],
    lock: Lock,
) -> Result<Option<Dirent>> {
    let hash = hash(store, name);
    directory.reading(store, lock, |tree| match leaf(store, tree, hash)? {
        Some(bucket) => Ok(bucket.find(store, hash, name)?.map(|(_, entry)| entry)),
        None => Ok(None),
    })
}

/// All entries of `directory`, in no order.
///
/// # Errors
/// [`ErrorKind::Stale`] if the directory has been removed.
pub(crate) fn list(store: &Store, directory: &Directory, lock: Lock) -> Result<Vec<Dirent>> {
    directory.reading(store, lock, |tree| entries(store, tree))
}

/// How many entries `directory` has; Busy if somebody changes it, or stands still in a change, for `patience`.
pub(crate) fn count_within(store: &Store, directory: &Directory, patience: Duration) -> Result<u64> {
    directory.reading_within(store, patience, &|tree| Ok(entries(store, tree)?.len() as u64))
}

fn entries(store: &Store, tree: &Tree) -> Result<Vec<Dirent>> {
    let mut entries = Vec::new();
    walk(store, tree, &mut |bucket| {
        entries.extend(bucket.entries(store)?);
        Ok(Walk::On)
    })?;
    Ok(entries)
}

/// Whether `directory` has no entries. The caller holds the namespace lock.
pub(crate) fn is_empty(store: &Store, directory: &Directory) -> Result<bool> {
    Ok(occupied_bucket(store, directory)?.is_none())
}

/// A bucket of `directory` that holds names. The caller holds the namespace lock.
pub(super) fn occupied_bucket(store: &Store, directory: &Directory) -> Result<Option<Bucket>> {
    directory.reading(store, Lock::Held, |tree| {
        let mut found = None;
        walk(store, tree, &mut |bucket| {
            if bucket.occupied(store)? == 0 {
                return Ok(Walk::On);
            }
            found = Some(bucket);
            Ok(Walk::Stop)
        })?;
        Ok(found)
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Walk {
    On,
    Stop,
}

/// Shows `visit` all buckets that hold names, by descending from the first one.
fn walk(store: &Store, tree: &Tree, visit: &mut dyn FnMut(Bucket) -> Result<Walk>) -> Result<()> {
    let mut waiting = vec![(0, 0)];
    while let Some((node, depth)) = waiting.pop() {
        match bucket::open(store, tree, node, depth)? {
            Node::Leaf(bucket) if visit(bucket)? == Walk::Stop => return Ok(()),
            Node::Leaf(_) => {}
            Node::Absent if depth == 0 => {}
            Node::Absent => return Err(missing(tree, node)),
            Node::Split => {
                waiting
                    .extend((0..dirent::FANOUT).rev().map(|nibble| (dirent::child(node, nibble), depth + 1)));
            }
        }
    }
    Ok(())
}

fn missing(tree: &Tree, node: u64) -> Error {
    Error::corrupt("directory", tree.slot, format_args!("a block at {}", FileBlock(node)), "a hole")
}

/// The bucket for names of `hash`; nothing if the directory has no block at all yet.
pub(super) fn leaf(store: &Store, tree: &Tree, hash: u64) -> Result<Option<Bucket>> {
    let (mut node, mut depth) = (0, 0);
    loop {
        match bucket::open(store, tree, node, depth)? {
            Node::Leaf(bucket) => return Ok(Some(bucket)),
            Node::Absent if depth == 0 => return Ok(None),
            Node::Absent => return Err(missing(tree, node)),
            Node::Split => {
                node = dirent::child(node, dirent::nibble(hash, depth));
                depth += 1;
            }
        }
    }
}

/// Makes sure that a name of `hash` finds `name_bytes` bytes of room. The caller holds the namespace lock.
///
/// # Errors
/// As [`room`].
pub(crate) fn make_room(store: &Store, directory: &Directory, hash: u64, name_bytes: usize) -> Result<()> {
    room(store, directory, hash, name_bytes, |_| None).map(|_| ())
}

/// Finds room for a name of `hash` with `name_bytes` bytes, splitting buckets where there is none: the bucket, and the
/// first free slot. `pending` says which words of occupied slots are about to change to what; such a bucket cannot be split.
/// The caller holds the namespace lock.
///
/// # Errors
/// [`ErrorKind::NoSpace`], or [`ErrorKind::TooLarge`] where too many names have one hash.
pub(super) fn room(
    store: &Store,
    directory: &Directory,
    hash: u64,
    name_bytes: usize,
    pending: impl Fn(PoolOffset) -> Option<u64>,
) -> Result<(Bucket, usize)> {
    directory.is_snapshot(store)?;
    let slots = dirent::slots_for(name_bytes);
    loop {
        let tree = Tree::of(&store.space, directory.inode.place)?;
        let mut fresh = Vec::new();
        let Some(bucket) = leaf(store, &tree, hash)? else {
            bucket::pack(0, 0, vec![], &mut fresh)?;
            publish(store, directory, fresh, &[], Flushed::none())?;
            continue;
        };
        let planned = pending(bucket.occupied_place());
        if let Some(slot) =
            bucket.free_run(store, planned.map_or_else(|| bucket.occupied(store), Ok)?, slots)?
        {
            return Ok((bucket, slot));
        }
        if planned.is_some() {
            return Err(Error::new(
                ErrorKind::NoSpace,
                "one transaction cannot hold so many names of one directory",
            ));
        }
        bucket::pack_children(bucket.node, bucket.depth, bucket.entries(store)?, &mut fresh)?;
        let split = Record { place: bucket.split_place(), value: SPLIT };
        publish(store, directory, fresh, &[split], Flushed::none())?;
    }
}

/// Gives a new directory, which has no block yet, all its entries at once, after what `made` covers. The caller holds the
/// namespace lock.
pub(crate) fn fill(store: &Store, directory: &Directory, entries: Vec<Dirent>, made: Flushed) -> Result<()> {
    if Tree::of(&store.space, directory.inode.place)?.root.is_some() {
        return Err(Error::new(
            ErrorKind::DirectoryNotEmpty,
            format!("{} has entries", directory.inode.number),
        ));
    }
    let mut fresh = Vec::new();
    bucket::pack(0, 0, entries, &mut fresh)?;
    publish(store, directory, fresh, &[], made)
}

/// Writes new buckets and puts them into the map, in one transaction with `more`, after what `before` covers.
pub(super) fn publish(
    store: &Store,
    directory: &Directory,
    mut fresh: Vec<Fresh>,
    more: &[Record],
    before: Flushed,
) -> Result<()> {
    fresh.sort_unstable_by_key(|bucket| bucket.node);
    let mut taken = Vec::new();
    let staged = write(store, &fresh, &mut taken).and_then(|(changes, flushed)| {
        let tree = Tree::of(&store.space, directory.inode.place)?;
        let records_max = RECORDS_MAX - more.len();
        Ok((stage(&store.space, &tree, &changes, records_max, Purpose::Store)?, flushed))
    });
    match staged {
        Ok((staged, flushed)) => {
            let _change = store.runtime.begin_change(directory.inode.place)?;
            staged.with_fresh(taken).commit_atomic(store, flushed.join(before), more)
        }
        Err(error) => {
            store.space.give_back(&taken);
            Err(error)
        }
    }
}

/// Writes buckets, sorted by index, to new blocks; `taken` gets all of them, on failure too.
fn write(store: &Store, fresh: &[Fresh], taken: &mut Vec<BlockNumber>) -> Result<(Vec<Change>, Flushed)> {
    let region = &store.runtime.region;
    let mut reservation = store.space.reserve(fresh.len() as u64, Purpose::Store)?;
    // One by one: such blocks were in use a moment ago, and nobody gains by buckets that lie side by side.
    for _ in fresh {
        taken.push(store.space.allocate_one(&mut reservation)?);
    }
    let (mut changes, mut flushed) = (Vec::with_capacity(fresh.len()), Flushed::none());
    let mut bytes = [0; BLOCK_BYTES];
    for (bucket, &block) in fresh.iter().zip(&*taken) {
        bucket.render(&mut bytes);
        flushed = flushed.join(region.flush(region.write(block.offset(), &bytes)?));
        let content = Content::Blocks { first: block, unwritten: false };
        changes.push(Change { start: FileBlock(bucket.node), blocks: 1, content });
    }
    Ok((changes, flushed))
}
