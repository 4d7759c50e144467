//! Making a tree of new inodes of a cut.
//!
//! Every inode is made without links and gets its link only once a directory names it; the top has none until the caller's
//! transaction. So whatever a crash leaves behind is an orphan that recovery finds.

use std::collections::HashMap;

use super::cut::{Cut, Past, Source, What};
use crate::error::Result;
use crate::extent_map::Tree;
use crate::format::dirent::Dirent;
use crate::format::inode::{self, Kind, at};
use crate::inode::Inode;
use crate::inode::table::{Made, NewInode, Table};
use crate::journal::Store;
use crate::namespace::directory::{self, Directory};
use crate::pmem::Flushed;
use crate::space::Reference;
use crate::units::InodeNumber;

/// A tree that nothing names yet.
pub(crate) struct Built {
    pub(crate) top: Inode,
    pub(crate) kind: Kind,
    pub(crate) generation: u32,
}

impl Built {
    /// The entry that gives it a name.
    pub(crate) fn entry(&self, store: &Store, name: &[u8]) -> Dirent {
        Dirent {
            inode: self.top.number,
            generation: self.generation,
            kind: self.kind,
            hash: directory::hash(store, name),
            name: name.to_vec(),
        }
    }
}

/// Makes new inodes of everything in `cut`, read-only ones for a snapshot. The caller holds the namespace lock. On failure
/// what was made is freed, and what the cut raised is still raised.
pub(crate) fn build(store: &Store, cut: &Cut, snapshot: bool) -> Result<Built> {
    build_source(store, &cut.top, snapshot, None)
}

/// As [`build`], for one part of a cut, or for what was received under an identity.
pub(crate) fn build_source(
    store: &Store,
    source: &Source,
    snapshot: bool,
    received: Option<Received>,
) -> Result<Built> {
    let mut plan = Plan { snapshot, received, inodes: Vec::new(), files: HashMap::new() };
    let top = plan.add(source);
    let mut builder = Builder {
        store,
        links: vec![0; plan.inodes.len()],
        made: Vec::with_capacity(plan.inodes.len()),
        surplus: Vec::new(),
        flushed: Flushed::none(),
    };
    let built = Table::create_all(store, &plan.inodes, &mut builder.made).and_then(|flushed| {
        builder.flushed = flushed;
        builder.fill(&top, &plan)?;
        builder.link_all()
    });
    match built {
        Ok(()) => {
            if let Err(error) = store.space.lower_all(&builder.surplus) {
                tracing::error!(%error, "a copy keeps blocks counted that it does not need");
            }
            Ok(builder.built(&top, &plan))
        }
        Err(error) => {
            builder.unmake()?;
            Err(error)
        }
    }
}

/// What a received snapshot brings along.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Received {
    pub(crate) identity: [u8; 16],
    /// When the snapshot was made where it comes from, nanoseconds since 1970.
    pub(crate) created: u64,
}

/// What will be made of a source: the number of its inode in the plan, and of what its names name.
struct Planned<'a> {
    index: usize,
    source: &'a Source,
    children: Vec<(&'a [u8], Planned<'a>)>,
}

/// All the inodes that a tree needs, each before those below it: the top first.
struct Plan {
    snapshot: bool,
    received: Option<Received>,
    inodes: Vec<NewInode>,
    /// By the number of what it will be made of: names of one file stay names of one file.
    files: HashMap<InodeNumber, usize>,
}

impl Plan {
    fn add<'a>(&mut self, source: &'a Source) -> Planned<'a> {
        match &source.what {
            What::File { root, size } => {
                let next = self.inodes.len();
                let index = *self.files.entry(source.inode.number).or_insert(next);
                if index == next {
                    self.inode(source, Kind::File, *root, *size);
                }
                Planned { index, source, children: Vec::new() }
            }
            What::Directory(children) => {
                let index = self.inode(source, Kind::Directory, 0, 0);
                let children = children.iter().map(|(name, child)| (&name[..], self.add(child))).collect();
                Planned { index, source, children }
            }
        }
    }

    fn inode(&mut self, source: &Source, kind: Kind, root: u64, size: u64) -> usize {
        let Past { attribute, origin, created, modified } = source.past;
        let is_top = self.inodes.is_empty();
        let identity = self.received.filter(|_| is_top).map_or([0; 16], |received| received.identity);
        let made_elsewhere = self.received.map(|received| received.created);
        self.inodes.push(NewInode {
            kind,
            snapshot: self.snapshot,
            root,
            size,
            origin,
            attribute: if self.snapshot { attribute } else { 0 },
            // A snapshot is as old as it is; what is in it is as old as what it was made of.
            created: if is_top { made_elsewhere } else { self.snapshot.then_some(created) },
            modified: Some(modified),
            identity,
        });
        self.inodes.len() - 1
    }
}

struct Builder<'a> {
    store: &'a Store,
    /// As planned.
    made: Vec<Made>,
    /// By how many names each is named.
    links: Vec<u32>,
    surplus: Vec<Reference>,
    /// The kinds of what was made: durable before a directory holds its name.
    flushed: Flushed,
}

impl Builder<'_> {
    fn built(&self, planned: &Planned<'_>, plan: &Plan) -> Built {
        let Made { inode, generation } = self.made[planned.index];
        Built { top: inode, kind: plan.inodes[planned.index].kind, generation }
    }

    /// Gives the directories below `planned`, and it, their names.
    fn fill(&mut self, planned: &Planned<'_>, plan: &Plan) -> Result<()> {
        let mut entries = Vec::with_capacity(planned.children.len());
        for (name, child) in &planned.children {
            match &child.source.what {
                What::Directory(_) => self.fill(child, plan)?,
                // Raised once for each name, but the file is one.
                What::File { root, .. } if self.links[child.index] > 0 => {
                    let place = self.made[child.index].inode.field(at::ROOT);
                    self.surplus.extend(Tree::from_word(place, *root)?.root.map(Reference::of_root));
                }
                What::File { .. } => {}
            }
            self.links[child.index] += 1;
            entries.push(self.built(child, plan).entry(self.store, name));
        }
        if entries.is_empty() {
            return Ok(());
        }
        let Made { inode, generation } = self.made[planned.index];
        directory::fill(
            self.store,
            &Directory { inode, generation },
            entries,
            std::mem::take(&mut self.flushed),
        )
    }

    /// Gives every inode but the top its links.
    fn link_all(&mut self) -> Result<()> {
        let region = &self.store.runtime.region;
        let ready = region.fence(std::mem::take(&mut self.flushed))?;
        let mut linked = Flushed::none();
        for (&Made { inode, .. }, &links) in self.made.iter().zip(&self.links).skip(1) {
            let word = inode::encode_links(links, inode.number);
            linked = linked.join(region.flush(region.publish(inode.field(at::LINKS), word, &ready)?));
        }
        region.fence(linked).map(|_| ())
    }

    /// Frees what was made. The roots of files stay raised: they are the cut's.
    fn unmake(self) -> Result<()> {
        let region = &self.store.runtime.region;
        for Made { inode, .. } in &self.made {
            if inode.kind(self.store)?.kind == Kind::File {
                let ready = region.fence(Flushed::none())?;
                region.fence(region.flush(region.publish(inode.field(at::ROOT), 0, &ready)?))?;
            }
            Table::free(self.store, inode)?;
        }
        Ok(())
    }
}
