//! The hidden directory of a receive: its files, and the state that says how far it is.
//!
//! ```text
//! state   0      slot of progress      two slots, written in turns: a torn one leaves the other
//!         4096   slot of progress
//!         8192   header of the stream, records of its tree
//! ```
//!
//! Whoever receives holds a lock on the state that ends with the process, so that nobody else continues or removes it.

use std::path::PathBuf;
use std::sync::Arc;

use super::input::Records;
use crate::dax::read::read;
use crate::dax::write::{SizeChange, Source, write};
use crate::dax::{range, share};
use crate::error::{Error, ErrorKind, Result};
use crate::format::inode::Kind;
use crate::format::stream::{
    HEADER_BYTES, Header, Identity, PROGRESS_BYTES, Position, Progress, Record, bad,
};
use crate::inode::advisory::{self, Holder, LockMode};
use crate::inode::open::OpenInode;
use crate::inode::table::Table;
use crate::inode::{Core, Inode};
use crate::journal::Store;
use crate::namespace::directory::{self, Directory, Lock};
use crate::namespace::reclaim;
use crate::namespace::resolve::HIDDEN_PREFIX;
use crate::namespace::tree::{Authority, Namespace};
use crate::pmem::medium::Granularity;
use crate::snapshot::identity::{Named, directory_of_snapshots, hex, hidden_path, unhex};
use crate::units::BLOCK_SIZE;

const STATE: &str = "state";
/// Where the header and the tree begin in the state.
const TREE_AT: u64 = 2 * BLOCK_SIZE;
/// Bytes received between two notes of progress where a note costs a sync.
const SYNC_BYTES: u64 = 64 << 20;

/// What has been received of a snapshot.
pub(super) struct Hidden {
    path: PathBuf,
    directory: Directory,
    state: Inode,
    hold: Option<Hold>,
    progress: Option<Progress>,
    /// Received since progress was noted, where a note costs a sync.
    unsynced_bytes: u64,
}

/// The lock on the state.
struct Hold {
    core: Arc<Core>,
    open: Arc<OpenInode>,
    holder: Holder,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let released = advisory::release_all(&self.core.store, &self.open, &self.holder);
        if let Err(error) = released.and(self.core.open.close(&self.core.store, &self.open)) {
            tracing::error!(%error, "the state of a receive could not be closed");
        }
    }
}

/// The identities of which something has been received.
pub(super) fn identities(core: &Core) -> Result<Vec<Identity>> {
    let entries = directory::list(&core.store, &directory_of_snapshots(&core.store)?, Lock::Free)?;
    let parse =
        |name: &[u8]| -> Option<Identity> { unhex(name.strip_prefix(HIDDEN_PREFIX)?)?.try_into().ok() };
    Ok(entries.iter().filter_map(|entry| parse(&entry.name)).collect())
}

/// Runs `change` as one marked operation under a file's lock.
pub(super) fn change<T>(store: &Store, inode: &Inode, change: impl FnOnce(&Inode) -> Result<T>) -> Result<T> {
    let _mark = store.runtime.enter()?;
    let _held = inode.lock(store)?;
    inode.settle_size(store)?;
    change(inode)
}

/// As [`change`], with the lock of a second file.
pub(super) fn change_both<T>(
    store: &Store,
    target: &Inode,
    source: &Inode,
    change: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let _mark = store.runtime.enter()?;
    let mut both = vec![target, source];
    both.sort_by_key(|inode| inode.number);
    both.dedup();
    let mut held = Vec::with_capacity(2);
    for inode in both {
        held.push(inode.lock(store)?);
    }
    target.settle_size(store)?;
    change()
}

impl Hidden {
    /// A new one; what an earlier receive has left under the same identity goes.
    pub(super) fn create(core: &Arc<Core>, header: &Header) -> Result<Hidden> {
        if let Some(old) = Hidden::open(core, header.identity)? {
            old.remove(core)?;
        }
        let path = hidden_path(header.identity);
        {
            let namespace = Namespace::lock(&core.store, Authority::Snapshots)?;
            // What a crash has left without a state is no receive, but has the name.
            if namespace.resolve(&path).is_err() {
                namespace.create_dir(&path)?;
            }
            namespace.create_file(&path.join(STATE), false)?;
        }
        Hidden::open(core, header.identity)?
            .ok_or_else(|| Error::new(ErrorKind::Busy, "another process receives the same snapshot"))
    }

    /// The one that is there, held against all others. Busy while another process receives into it.
    pub(super) fn open(core: &Arc<Core>, identity: Identity) -> Result<Option<Hidden>> {
        let Some(mut hidden) = Hidden::peek(core, identity)? else { return Ok(None) };
        let store = &core.store;
        let generation = hidden.state.kind(store)?.generation;
        let open = core.open.open(store, hidden.state.number, generation)?;
        let hold = Hold { core: core.clone(), open, holder: Holder::default() };
        if !advisory::try_lock(store, &hold.open, &hold.holder, 0, LockMode::Exclusive)? {
            let message = format!("snapshot {} is being received by another process", hex(&identity));
            return Err(Error::new(ErrorKind::Busy, message));
        }
        hidden.hold = Some(hold);
        // Who had it may have gone on until a moment ago.
        hidden.progress = read_progress(store, &hidden.state)?;
        Ok(Some(hidden))
    }

    /// The one that is there, to be looked at.
    pub(super) fn peek(core: &Core, identity: Identity) -> Result<Option<Hidden>> {
        let store = &core.store;
        let path = hidden_path(identity);
        let namespace = Namespace::lock(store, Authority::Snapshots)?;
        let found = namespace.resolve(&path).and_then(|found| found.directory());
        let state = namespace.resolve(&path.join(STATE));
        drop(namespace);
        match (found, state) {
            (Ok(directory), Ok(state)) => {
                let progress = read_progress(store, &state.inode)?;
                let state = state.inode;
                Ok(Some(Hidden { path, directory, state, hold: None, progress, unsynced_bytes: 0 }))
            }
            (Err(error), _) | (_, Err(error)) if error.kind() == ErrorKind::NotFound => Ok(None),
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    /// The hidden directory itself.
    pub(super) fn top(&self) -> Inode {
        self.directory.inode
    }

    /// How far it is; nothing before the tree is complete.
    pub(super) fn progress(&self) -> Option<Progress> {
        self.progress
    }

    /// Notes the header and the tree, and makes the files.
    pub(super) fn begin(
        &mut self,
        core: &Core,
        header: &Header,
        tree: &[u8],
        parent: Option<&Named>,
    ) -> Result<()> {
        let store = &core.store;
        let mut bytes = header.encode().0;
        bytes.extend(tree);
        change(store, &self.state, |state| {
            write(store, state, TREE_AT, Source::Bytes(&bytes), SizeChange::Durable)
        })?;
        let mut records = Records(tree);
        while let Some(record) = records.next()? {
            if let Record::File { id, size, base, .. } = record {
                self.make_file(core, id, size, base, parent)?;
            }
        }
        self.note(core, Position { file: 1, offset: 0 }, bytes.len() as u64)
    }

    /// A file of the stream: the parent's contents, if it builds upon them, at its new size.
    fn make_file(
        &self,
        core: &Core,
        id: u32,
        size: u64,
        base: Option<&[u8]>,
        parent: Option<&Named>,
    ) -> Result<()> {
        let store = &core.store;
        let path = self.path.join(id.to_string());
        let file = Namespace::lock(store, Authority::Snapshots)?.create_file(&path, true)?.0.inode;
        if let (Some(base), Some(parent)) = (base, parent) {
            let base = file_of(store, &parent.top, base)?;
            change_both(store, &file, &base, || share::replace_contents(store, &file, &base))?;
        }
        change(store, &file, |file| match file.size(store)? {
            there if there == size => Ok(()),
            _ => range::set_len(store, file, size),
        })
    }

    /// The file with a number.
    pub(super) fn file(&self, store: &Store, id: u32) -> Result<Inode> {
        let entry = directory::lookup(store, &self.directory, id.to_string().as_bytes(), Lock::Free)?;
        let entry = entry.ok_or_else(|| bad(format!("contents of file {id}, which has not come")))?;
        Table::get(store, entry.inode)
    }

    /// Notes that everything before a position has been received, `bytes` more than when this was called last.
    pub(super) fn advance(&mut self, core: &Core, position: Position, bytes: u64) -> Result<()> {
        let Some(progress) = self.progress else { return Ok(()) };
        if core.store.runtime.region.granularity() == Granularity::Page {
            self.unsynced_bytes = self.unsynced_bytes.saturating_add(bytes);
            if self.unsynced_bytes < SYNC_BYTES {
                return Ok(());
            }
        }
        self.unsynced_bytes = 0;
        self.note(core, position, progress.tree_bytes)
    }

    fn note(&mut self, core: &Core, position: Position, tree_bytes: u64) -> Result<()> {
        let store = &core.store;
        if store.runtime.region.granularity() == Granularity::Page {
            store.space.settle()?;
        }
        let sequence = self.progress.map_or(1, |progress| progress.sequence + 1);
        let progress = Progress { sequence, position, tree_bytes };
        let slot = sequence % 2 * BLOCK_SIZE;
        change(store, &self.state, |state| {
            write(store, state, slot, Source::Bytes(&progress.encode()), SizeChange::Durable)
        })?;
        self.progress = Some(progress);
        Ok(())
    }

    /// The header of the stream it was begun by.
    pub(super) fn header(&self, core: &Core) -> Result<Header> {
        self.split(&self.saved(core)?).map(|(header, _)| header)
    }

    /// The records of the tree.
    pub(super) fn tree(&self, core: &Core) -> Result<Vec<u8>> {
        let saved = self.saved(core)?;
        let (header, _) = self.split(&saved)?;
        Ok(saved[HEADER_BYTES + header.name.len()..].to_vec())
    }

    fn saved(&self, core: &Core) -> Result<Vec<u8>> {
        let bytes = self.progress.map_or(0, |progress| progress.tree_bytes);
        let there = self.state.size(&core.store)?.saturating_sub(TREE_AT);
        let mut saved = vec![0; usize::try_from(bytes.min(there)).unwrap_or(0)];
        read(&core.store, &self.state, TREE_AT, &mut saved)?;
        Ok(saved)
    }

    fn split(&self, saved: &[u8]) -> Result<(Header, u32)> {
        let cut = || bad("what was received has lost its header");
        let (fixed, rest) = saved.split_first_chunk::<HEADER_BYTES>().ok_or_else(cut)?;
        let name = rest.get(..Header::name_len(fixed)?).ok_or_else(cut)?;
        Header::decode(fixed, name)
    }

    /// Bytes of all its blocks.
    pub(super) fn allocated_bytes(&self, core: &Core) -> Result<u64> {
        let store = &core.store;
        let mut blocks = 0;
        for entry in directory::list(store, &self.directory, Lock::Free)? {
            let inode = Table::get(store, entry.inode)?;
            blocks +=
                crate::extent_map::Tree::of(&store.space, inode.place)?.allocated_blocks(&store.space)?;
        }
        Ok(blocks * BLOCK_SIZE)
    }

    /// Removes it with all it holds.
    pub(super) fn remove(mut self, core: &Core) -> Result<()> {
        let store = &core.store;
        let detached = Namespace::lock(store, Authority::Snapshots)?.detach(&self.path);
        self.hold = None;
        match detached? {
            Some(top) => reclaim::reclaim_tree(store, &top).map(drop),
            None => Ok(()),
        }
    }
}

/// The file at a path of a snapshot, components between slashes.
pub(super) fn file_of(store: &Store, top: &Directory, path: &[u8]) -> Result<Inode> {
    let missing = || {
        let path = String::from_utf8_lossy(path).into_owned();
        Error::new(
            ErrorKind::WrongBase,
            format!("the snapshot that the stream builds upon has no file {path}"),
        )
    };
    let mut at = *top;
    let mut names = path.split(|&byte| byte == b'/').peekable();
    while let Some(name) = names.next() {
        let entry = directory::lookup(store, &at, name, Lock::Free)?.ok_or_else(missing)?;
        match (entry.kind, names.peek()) {
            (Kind::Directory, Some(_)) => at = Directory::of(store, &entry)?,
            (Kind::File, None) => return Table::get(store, entry.inode),
            _ => return Err(missing()),
        }
    }
    Err(missing())
}

fn read_progress(store: &Store, state: &Inode) -> Result<Option<Progress>> {
    let mut latest: Option<Progress> = None;
    for slot in 0..2 {
        let mut bytes = [0; PROGRESS_BYTES];
        if read(store, state, slot * BLOCK_SIZE, &mut bytes)? < PROGRESS_BYTES {
            continue;
        }
        let found = Progress::decode(&bytes);
        if found.is_some_and(|found| latest.is_none_or(|latest| found.sequence > latest.sequence)) {
            latest = found;
        }
    }
    Ok(latest)
}
