//! The tree of a stream: directories, files and names, as far as the parent does not have them.

use std::collections::{BTreeMap, HashMap};

use crate::error::{Error, ErrorKind, Result};
use crate::extent_map::Tree;
use crate::format::dirent::Dirent;
use crate::format::inode::Kind;
use crate::format::stream::{Attributes, Record};
use crate::inode::table::Table;
use crate::inode::{Core, Inode};
use crate::journal::Store;
use crate::namespace::check_depth;
use crate::namespace::directory::{self, Directory, Lock};
use crate::snapshot::cut::Past;
use crate::units::InodeNumber;

/// A record of the tree.
pub(super) enum Item {
    Directory { id: u32, above: u32, changed: bool, attributes: Attributes, name: Vec<u8> },
    Absent { directory: u32, name: Vec<u8> },
    File { id: u32, size: u64, attributes: Attributes, base: Option<Vec<u8>> },
    Name { directory: u32, file: u32, name: Vec<u8> },
}

impl Item {
    pub(super) fn record(&self) -> Record<'_> {
        match self {
            Item::Directory { id, above, changed, attributes, name } => {
                Record::Directory { id: *id, above: *above, changed: *changed, attributes: *attributes, name }
            }
            Item::Absent { directory, name } => Record::Absent { directory: *directory, name },
            Item::File { id, size, attributes, base } => {
                Record::File { id: *id, size: *size, attributes: *attributes, base: base.as_deref() }
            }
            Item::Name { directory, file, name } => Record::Name { directory: *directory, file: *file, name },
        }
    }
}

/// A file of a snapshot.
#[derive(Clone, Copy)]
pub(super) struct Frozen {
    pub(super) inode: Inode,
    pub(super) size: u64,
}

impl Frozen {
    fn of(store: &Store, entry: &Dirent) -> Result<Frozen> {
        let inode = Table::get(store, entry.inode)?;
        inode.expect(store, Kind::File, entry.generation)?;
        Ok(Frozen { inode, size: inode.size(store)? })
    }
}

/// A file whose contents are to be sent, and what the receiver begins with.
pub(super) struct Job {
    pub(super) file: Frozen,
    pub(super) base: Option<Frozen>,
}

/// What a stream says of the tree, and the files that follow; the first has number 1.
pub(super) struct Plan {
    pub(super) items: Vec<Item>,
    pub(super) jobs: Vec<Job>,
    /// All files of the parent by their paths.
    pub(super) parent: Vec<(Vec<u8>, Frozen)>,
}

/// Looks at all names of `top`, and of the parent if there is one.
pub(super) fn plan(core: &Core, top: &Directory, parent: Option<&Directory>) -> Result<Plan> {
    let store = &core.store;
    let mut planner = Planner {
        store,
        plan: Plan { items: vec![], jobs: vec![], parent: vec![] },
        by_identity: HashMap::new(),
        linked: HashMap::new(),
        directories: 0,
    };
    if let Some(parent) = parent {
        planner.look_at_parent(parent, &mut Vec::new(), 0)?;
    }
    planner.directory(top, parent, 0, b"", &mut Vec::new(), 0)?;
    Ok(planner.plan)
}

struct Planner<'a> {
    store: &'a Store,
    plan: Plan,
    /// The parent's files by what they were made of, as places in the list of them.
    by_identity: HashMap<(InodeNumber, u64), usize>,
    /// Files with several names that have a number already.
    linked: HashMap<InodeNumber, u32>,
    directories: u32,
}

impl Planner<'_> {
    fn look_at_parent(&mut self, at: &Directory, way: &mut Vec<u8>, depth: usize) -> Result<()> {
        check_depth(depth)?;
        for (name, entry) in entries(self.store, at)? {
            let before = push(way, &name);
            if entry.kind == Kind::Directory {
                self.look_at_parent(&Directory::of(self.store, &entry)?, way, depth + 1)?;
            } else {
                let frozen = Frozen::of(self.store, &entry)?;
                let past = Past::recorded(self.store, &frozen.inode)?;
                self.by_identity.insert((past.origin, past.created), self.plan.parent.len());
                self.plan.parent.push((way.clone(), frozen));
            }
            way.truncate(before);
        }
        Ok(())
    }

    /// A directory and what is below it; `old` is what the parent has at the same path.
    fn directory(
        &mut self,
        new: &Directory,
        old: Option<&Directory>,
        above: u32,
        name: &[u8],
        way: &mut Vec<u8>,
        depth: usize,
    ) -> Result<()> {
        check_depth(depth)?;
        let store = self.store;
        let id = self.directories;
        self.directories += 1;
        let attributes = attributes(store, &new.inode)?;
        let at = self.plan.items.len();
        let changed = old.is_some();
        self.plan.items.push(Item::Directory { id, above, changed, attributes, name: name.to_vec() });
        let mut there = old.map_or_else(|| Ok(BTreeMap::new()), |old| entries(store, old))?;
        for (name, entry) in entries(store, new)? {
            let before = there.remove(&name);
            let length = push(way, &name);
            match entry.kind {
                Kind::Directory => {
                    let old = before.filter(|before| before.kind == Kind::Directory);
                    let old = old.map(|old| Directory::of(store, &old)).transpose()?;
                    let new = Directory::of(store, &entry)?;
                    self.directory(&new, old.as_ref(), id, &name, way, depth + 1)?;
                }
                _ => self.file(&entry, before.as_ref(), id, &name, way)?,
            }
            way.truncate(length);
        }
        let absent = there.into_keys().map(|name| Item::Absent { directory: id, name });
        self.plan.items.extend(absent);
        let is_same = |old: &Directory| self::attributes(store, &old.inode).map(|old| old == attributes);
        if depth > 0 && self.plan.items.len() == at + 1 && old.map_or(Ok(false), is_same)? {
            self.plan.items.pop();
        }
        Ok(())
    }

    fn file(
        &mut self,
        entry: &Dirent,
        before: Option<&Dirent>,
        directory: u32,
        name: &[u8],
        way: &[u8],
    ) -> Result<()> {
        let store = self.store;
        if let Some(&file) = self.linked.get(&entry.inode) {
            self.plan.items.push(Item::Name { directory, file, name: name.to_vec() });
            return Ok(());
        }
        let file = Frozen::of(store, entry)?;
        let attributes = attributes(store, &file.inode)?;
        let before = before.filter(|before| before.kind == Kind::File);
        let before = before.map(|before| Frozen::of(store, before)).transpose()?;
        let links = file.inode.links(store)?;
        // A file with one name there and here is the parent's; names of one file must stay names of one file.
        if let Some(before) = before.filter(|_| links == 1)
            && before.size == file.size
            && before.inode.links(store)? == 1
            && self::attributes(store, &before.inode)? == attributes
            && Tree::of(&store.space, before.inode.place)?.root
                == Tree::of(&store.space, file.inode.place)?.root
        {
            return Ok(());
        }
        let known = self.by_identity.get(&(InodeNumber(attributes.origin), attributes.created));
        let base = match (known, before) {
            (Some(&index), _) => Some(self.plan.parent[index].clone()),
            (None, Some(before)) => Some((way.to_vec(), before)),
            (None, None) => None,
        };
        let id = u32::try_from(self.plan.jobs.len() + 1)
            .map_err(|_| Error::new(ErrorKind::TooLarge, "a stream holds at most 2^32 - 1 files"))?;
        if links > 1 {
            self.linked.insert(entry.inode, id);
        }
        let (path, base) = base.unzip();
        self.plan.items.push(Item::File { id, size: file.size, attributes, base: path });
        self.plan.items.push(Item::Name { directory, file: id, name: name.to_vec() });
        self.plan.jobs.push(Job { file, base });
        Ok(())
    }
}

fn attributes(store: &Store, inode: &Inode) -> Result<Attributes> {
    let Past { attribute, origin, created, modified } = Past::recorded(store, inode)?;
    let scope = u8::try_from(attribute).unwrap_or(0);
    Ok(Attributes { scope, created, modified, origin: origin.0 })
}

fn entries(store: &Store, directory: &Directory) -> Result<BTreeMap<Vec<u8>, Dirent>> {
    let entries = directory::list(store, directory, Lock::Free)?;
    Ok(entries.into_iter().map(|entry| (entry.name.clone(), entry)).collect())
}

/// Adds a name to a path; how long the path was.
fn push(way: &mut Vec<u8>, name: &[u8]) -> usize {
    let length = way.len();
    if length > 0 {
        way.push(b'/');
    }
    way.extend(name);
    length
}
