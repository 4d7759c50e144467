//! The end of a receive: the tree is built of what was received and of what the parent has, and gets its name.

use std::collections::{BTreeMap, HashMap};

use super::hidden::Hidden;
use super::input::Records;
use crate::error::{Error, ErrorKind, Result};
use crate::extent_map::Tree;
use crate::format::inode::at;
use crate::format::stream::{Attributes, Header, NO_PARENT, Record, bad};
use crate::inode::{Core, Inode};
use crate::journal::Store;
use crate::namespace::tree::{Authority, Namespace};
use crate::pmem::Flushed;
use crate::pmem::medium::Granularity;
use crate::snapshot::build::{Received, build_source};
use crate::snapshot::cut::{Cut, Past, Source, What};
use crate::snapshot::identity::{self, Named};
use crate::snapshot::keep::{discard, path_of};
use crate::units::InodeNumber;

/// Names the snapshot, in one transaction.
pub(super) fn publish(
    core: &Core,
    header: &Header,
    hidden: &Hidden,
    parent: Option<&Named>,
    name: &str,
) -> Result<()> {
    let store = &core.store;
    if store.runtime.region.granularity() == Granularity::Page {
        store.space.settle()?;
    }
    let path = path_of(name)?;
    let source = assemble(core, header, hidden, parent)?;
    let namespace = match Namespace::lock(store, Authority::Snapshots) {
        Ok(namespace) => namespace,
        Err(error) => {
            source.lower(store)?;
            return Err(error);
        }
    };
    let received = Received { identity: header.identity, created: header.created };
    let built = match build_source(store, &source, true, Some(received)) {
        Ok(built) => built,
        Err(error) => {
            drop(namespace);
            source.lower(store)?;
            return Err(error);
        }
    };
    let adopted = namespace.adopt(&path, &built.top, Flushed::none());
    drop(namespace);
    adopted.or_else(|error| discard(store, &built).and(Err(error)))
}

/// A directory of the tree, in the making.
struct Directory {
    inode: Inode,
    past: Past,
    children: BTreeMap<Vec<u8>, Child>,
}

enum Child {
    /// What the parent has there, all roots raised.
    Kept(Source),
    Directory(u32),
    File(u32),
}

/// The tree, with all roots raised.
fn assemble(core: &Core, header: &Header, hidden: &Hidden, parent: Option<&Named>) -> Result<Source> {
    let store = &core.store;
    let cut = parent.map(|parent| {
        let name = String::from_utf8_lossy(&parent.name).into_owned();
        Cut::of_path(core, &path_of(&name)?, || Ok(()))
    });
    let mut assembly = Assembly {
        store,
        top: hidden.top(),
        directories: HashMap::new(),
        files: HashMap::new(),
        surplus: Vec::new(),
    };
    let mut kept = cut.transpose()?.map(|cut| cut.top);
    let recorded = kept.as_mut().map_or(Ok(()), |kept| record_past(store, kept));
    // Nothing that was read of the parent may be of another inode by now.
    let tree = recorded.and_then(|()| still_there(store, header)).and_then(|()| hidden.tree(core));
    if tree.is_err() {
        assembly.surplus.extend(kept.take());
    }
    let assembled = tree.and_then(|tree| assembly.read(&tree, kept, hidden)).and_then(|()| assembly.take(0));
    // What the new tree does not take over: all of it where there is none.
    let surplus = assembly.surplus.iter().chain(assembly.left()).try_for_each(|source| source.lower(store));
    match assembled {
        Ok(source) => surplus.map(|()| source),
        Err(error) => Err(error),
    }
}

/// Lets what is kept of a snapshot have the past that was recorded there.
fn record_past(store: &Store, source: &mut Source) -> Result<()> {
    source.past = Past::recorded(store, &source.inode)?;
    match &mut source.what {
        What::File { .. } => Ok(()),
        What::Directory(children) => children.iter_mut().try_for_each(|(_, child)| record_past(store, child)),
    }
}

fn still_there(store: &Store, header: &Header) -> Result<()> {
    if header.parent == NO_PARENT || identity::find(store, header.parent)?.is_some() {
        return Ok(());
    }
    let message = "the snapshot that the stream builds upon was deleted while it was received";
    Err(Error::new(ErrorKind::WrongBase, message))
}

struct Assembly<'a> {
    store: &'a Store,
    top: Inode,
    directories: HashMap<u32, Directory>,
    files: HashMap<u32, (Inode, Past)>,
    surplus: Vec<Source>,
}

impl Assembly<'_> {
    fn read(&mut self, tree: &[u8], mut kept: Option<Source>, hidden: &Hidden) -> Result<()> {
        let mut records = Records(tree);
        let read = loop {
            match records.next() {
                Ok(Some(record)) => {
                    if let Err(error) = self.record(&record, &mut kept, hidden) {
                        break Err(error);
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.surplus.extend(kept);
        read
    }

    fn record(&mut self, record: &Record<'_>, kept: &mut Option<Source>, hidden: &Hidden) -> Result<()> {
        match *record {
            Record::Directory { id, above, changed, attributes, name } => {
                let before = match id {
                    0 => kept.take(),
                    _ => self.replace(above, name, Child::Directory(id))?,
                };
                let children = match before {
                    Some(Source { what: What::Directory(children), .. }) if changed => children,
                    other => {
                        if changed {
                            self.surplus.extend(other);
                            return Err(missing(name));
                        }
                        self.surplus.extend(other);
                        Vec::new()
                    }
                };
                let children = children.into_iter().map(|(name, child)| (name, Child::Kept(child))).collect();
                let directory = Directory { inode: self.top, past: past_of(&attributes), children };
                self.directories.insert(id, directory);
                Ok(())
            }
            Record::Absent { directory, name } => {
                let removed = self.children(directory)?.remove(name);
                match removed {
                    Some(Child::Kept(source)) => {
                        self.surplus.push(source);
                        Ok(())
                    }
                    _ => Err(missing(name)),
                }
            }
            Record::File { id, attributes, .. } => {
                self.files.insert(id, (hidden.file(self.store, id)?, past_of(&attributes)));
                Ok(())
            }
            Record::Name { directory, file, name } => {
                let before = self.replace(directory, name, Child::File(file))?;
                self.surplus.extend(before);
                Ok(())
            }
            _ => Err(bad("contents in the saved tree")),
        }
    }

    fn children(&mut self, directory: u32) -> Result<&mut BTreeMap<Vec<u8>, Child>> {
        match self.directories.get_mut(&directory) {
            Some(directory) => Ok(&mut directory.children),
            None => Err(bad(format!("a name in directory {directory}, which has not come"))),
        }
    }

    /// Puts a child in the place of what the parent has there.
    fn replace(&mut self, directory: u32, name: &[u8], child: Child) -> Result<Option<Source>> {
        match self.children(directory)?.insert(name.to_vec(), child) {
            Some(Child::Kept(source)) => Ok(Some(source)),
            Some(_) => Err(bad("a name comes twice")),
            None => Ok(None),
        }
    }

    /// The directory with a number and all below it, out of the assembly.
    fn take(&mut self, id: u32) -> Result<Source> {
        let Directory { inode, past, children } =
            self.directories.remove(&id).ok_or_else(|| bad(format!("no directory {id}")))?;
        let mut taken = Vec::with_capacity(children.len());
        let mut failure = None;
        for (name, child) in children {
            let source = match child {
                Child::Kept(source) => Ok(source),
                Child::Directory(id) => self.take(id),
                Child::File(id) => self.file(id),
            };
            match source {
                Ok(source) => taken.push((name, source)),
                Err(error) => failure = Some(error),
            }
        }
        let source = Source { inode, past, what: What::Directory(taken) };
        match failure {
            None => Ok(source),
            Some(error) => {
                self.surplus.push(source);
                Err(error)
            }
        }
    }

    /// A file that was received, its root raised once for this name.
    fn file(&mut self, id: u32) -> Result<Source> {
        let store = self.store;
        let &(inode, past) = self.files.get(&id).ok_or_else(|| bad(format!("no file {id}")))?;
        let _mark = store.runtime.enter()?;
        let _held = inode.lock(store)?;
        let place = inode.field(at::ROOT);
        let root = store.runtime.region.load(place)?;
        if let Some(root) = Tree::from_word(place, root)?.root {
            store.space.raise(root.entry.block)?;
        }
        Ok(Source { inode, past, what: What::File { root, size: inode.size(store)? } })
    }

    /// What the parent has in directories that were not taken.
    fn left(&self) -> impl Iterator<Item = &Source> {
        let children = self.directories.values().flat_map(|directory| directory.children.values());
        children.filter_map(|child| match child {
            Child::Kept(source) => Some(source),
            _ => None,
        })
    }
}

fn past_of(attributes: &Attributes) -> Past {
    let Attributes { scope, created, modified, origin } = *attributes;
    Past { attribute: scope.into(), origin: InodeNumber(origin), created, modified }
}

#[cold]
fn missing(name: &[u8]) -> Error {
    let name = String::from_utf8_lossy(name).into_owned();
    let message = format!("the snapshot that the stream builds upon has not the {name} that it should have");
    Error::new(ErrorKind::WrongBase, message)
}
