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
use crate::inode::table::{NewInode, Table};
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
    let mut builder = Builder {
        store,
        snapshot,
        received,
        made: Vec::new(),
        files: HashMap::new(),
        links: HashMap::new(),
        surplus: Vec::new(),
        flushed: Flushed::none(),
    };
    match builder.make(source) {
        Ok(built) => {
            builder.link_all(built.top.number)?;
            store.space.lower_all(&builder.surplus)?;
            Ok(built)
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

struct Builder<'a> {
    store: &'a Store,
    snapshot: bool,
    received: Option<Received>,
    made: Vec<Inode>,
    /// New files by the number of what they were made of: names of one file stay names of one file.
    files: HashMap<InodeNumber, (Inode, u32)>,
    links: HashMap<InodeNumber, (Inode, u32)>,
    surplus: Vec<Reference>,
    /// The kinds of what was made: durable before a directory holds its name.
    flushed: Flushed,
}

impl Builder<'_> {
    fn make(&mut self, source: &Source) -> Result<Built> {
        match &source.what {
            What::File { root, size } => self.file(source, *root, *size),
            What::Directory(children) => self.directory(source, children),
        }
    }

    fn create(&mut self, source: &Source, kind: Kind, root: u64, size: u64) -> Result<Built> {
        let Past { attribute, origin, created, modified } = source.past;
        let is_top = self.made.is_empty();
        let identity = self.received.filter(|_| is_top).map_or([0; 16], |received| received.identity);
        let made_elsewhere = self.received.map(|received| received.created);
        let new = NewInode {
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
        };
        let (inode, flushed) = Table::create(self.store, new)?;
        self.made.push(inode);
        self.flushed = std::mem::take(&mut self.flushed).join(flushed);
        Ok(Built { top: inode, kind, generation: inode.kind(self.store)?.generation })
    }

    fn file(&mut self, source: &Source, root: u64, size: u64) -> Result<Built> {
        if let Some(&(top, generation)) = self.files.get(&source.inode.number) {
            // Raised once for each name, but the file is one.
            if let Some(root) = Tree::from_word(top.field(at::ROOT), root)?.root {
                self.surplus.push(Reference::of_root(root));
            }
            return Ok(Built { top, kind: Kind::File, generation });
        }
        let built = self.create(source, Kind::File, root, size)?;
        self.files.insert(source.inode.number, (built.top, built.generation));
        Ok(built)
    }

    fn directory(&mut self, source: &Source, children: &[(Vec<u8>, Source)]) -> Result<Built> {
        let built = self.create(source, Kind::Directory, 0, 0)?;
        let mut entries = Vec::with_capacity(children.len());
        for (name, child) in children {
            let below = self.make(child)?;
            self.links.entry(below.top.number).or_insert((below.top, 0)).1 += 1;
            entries.push(below.entry(self.store, name));
        }
        if !entries.is_empty() {
            directory::fill(
                self.store,
                &Directory { inode: built.top, generation: built.generation },
                entries,
                std::mem::take(&mut self.flushed),
            )?;
        }
        Ok(built)
    }

    /// Gives every inode but the top its links.
    fn link_all(&mut self, top: InodeNumber) -> Result<()> {
        let region = &self.store.runtime.region;
        let ready = region.fence(std::mem::take(&mut self.flushed))?;
        let mut linked = Flushed::none();
        for (number, (inode, links)) in self.links.iter().filter(|(number, _)| **number != top) {
            let word = inode::encode_links(*links, *number);
            linked = linked.join(region.flush(region.publish(inode.field(at::LINKS), word, &ready)?));
        }
        region.fence(linked).map(|_| ())
    }

    /// Frees what was made. The roots of files stay raised: they are the cut's.
    fn unmake(self) -> Result<()> {
        let region = &self.store.runtime.region;
        for inode in &self.made {
            if inode.kind(self.store)?.kind == Kind::File {
                let ready = region.fence(Flushed::none())?;
                region.fence(region.flush(region.publish(inode.field(at::ROOT), 0, &ready)?))?;
            }
            Table::free(self.store, inode)?;
        }
        Ok(())
    }
}
