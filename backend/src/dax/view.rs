//! Views: pointers into the pool, unchanged while they live.
//!
//! A view stands on a pin: a reference to the file's root that makes everything below it shared, so that writers copy
//! instead of overwriting, and that is noted in the member's ledger, so that it ends with the member. Views of one handle
//! that were made from the same state share a pin.

use std::ptr::NonNull;
use std::sync::Arc;

use super::read::index;
use crate::error::Result;
use crate::extent_map::Tree;
use crate::inode::{Core, Inode};
use crate::iomap::read_mapping;
use crate::pmem::ViewGuard;
use crate::space::Reference;
use crate::space::ledger::Pin;
use crate::units::{InodeNumber, PoolOffset};

/// Readable bytes beyond every view: SQLite's decoder may look that far past a page.
const SLACK: u64 = 256;

/// A state of a file that does not change while this lives.
pub(crate) struct Pinned {
    pub(super) core: Arc<Core>,
    number: InodeNumber,
    pub(super) tree: Tree,
    pub(super) size: u64,
    pin: Option<Pin>,
}

impl Pinned {
    /// Pins the file's present state.
    pub(crate) fn new(core: &Arc<Core>, inode: &Inode) -> Result<Pinned> {
        let store = &core.store;
        let _mark = store.runtime.enter()?;
        let _held = inode.lock(store)?;
        inode.protect_mapped(store, 0..u64::MAX)?;
        let tree = Tree::of(&store.space, inode.place)?;
        let size = inode.size(store)?;
        let pin = match tree.root {
            Some(root) => {
                store.space.raise(root.entry.block)?;
                let reference = Reference::of_root(root);
                match store.space.pin(reference) {
                    Ok(pin) => Some(pin),
                    Err(error) => {
                        store.space.lower_all(&[reference])?;
                        return Err(error);
                    }
                }
            }
            None => None,
        };
        Ok(Pinned { core: core.clone(), number: inode.number, tree, size, pin })
    }

    /// Where byte `offset` lies, if it is data, and how many bytes from there on, up to `len`, lie next to each other or are
    /// a hole together.
    pub(super) fn run(&self, offset: u64, len: u64) -> Result<(Option<PoolOffset>, u64)> {
        let store = &self.core.store;
        let (first, mut bytes) = read_mapping(store, self.number, &self.tree, offset, len)?;
        while bytes < len {
            let (next, more) = read_mapping(store, self.number, &self.tree, offset + bytes, len - bytes)?;
            if next != first.map(|first| first.add(bytes)) {
                break;
            }
            bytes += more;
        }
        Ok((first, bytes))
    }

    /// Fills `into`, all of which lies before the end, from byte `offset` on; holes leave what is there.
    pub(super) fn read(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let region = &self.core.store.runtime.region;
        let mut done = 0;
        while done < into.len() {
            let (place, bytes) = self.run(offset + done as u64, (into.len() - done) as u64)?;
            let end = done + index(bytes);
            if let Some(place) = place {
                region.read(place, &mut into[done..end])?;
            }
            done = end;
        }
        Ok(())
    }

    /// Whether the file is still in this state.
    pub(crate) fn is_current(&self, inode: &Inode) -> Result<bool> {
        Ok(Tree::of(&self.core.store.space, inode.place)? == self.tree
            && inode.size(&self.core.store)? == self.size)
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let store = &self.core.store;
        if let Some(pin) = self.pin.take() {
            let lowered = store.runtime.enter().and_then(|_mark| {
                let reference = store.space.unpin(pin)?;
                store.space.lower_all(&[reference])
            });
            if let Err(error) = lowered {
                tracing::error!(%error, "a pin could not be released");
            }
        }
    }
}

/// A pointer to bytes of a file, valid and unchanged until it is dropped, whatever is written, truncated or removed
/// meanwhile. May be used from any thread; 256 bytes beyond it can be read too and hold anything.
pub struct View {
    guard: ViewGuard,
    _pinned: Arc<Pinned>,
}

/// All of a file in one unchanging state, readable in place: see [`crate::File::views`].
pub struct Views {
    /// In order, apart from each other only where there are holes or the file is not in one piece in the pool.
    pieces: Vec<(u64, View)>,
    len: u64,
}

impl Views {
    /// The pieces of a pinned state. What is not data has none.
    pub(crate) fn of(pinned: &Arc<Pinned>) -> Result<Views> {
        let mut pieces = Vec::new();
        let mut at = 0;
        while at < pinned.size {
            let (place, bytes) = pinned.run(at, pinned.size - at)?;
            if place.is_some()
                && let Some(view) = View::of(pinned, at, bytes)?
            {
                pieces.push((at, view));
            }
            at += bytes;
        }
        Ok(Views { pieces, len: pinned.size })
    }

    /// The file's size in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the file has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A pointer to the `len` bytes at `offset`, valid and unchanged until this is dropped, and the view they are part of;
    /// nothing where they are not data in one piece of the pool, or pass the end.
    #[must_use]
    pub fn find(&self, offset: u64, len: usize) -> Option<(*const u8, &View)> {
        let after = self.pieces.partition_point(|&(start, _)| start <= offset);
        let (start, view) = self.pieces.get(after.checked_sub(1)?)?;
        let within = usize::try_from(offset - start).ok()?;
        let fits = within.checked_add(len).is_some_and(|end| end <= view.len());
        fits.then(|| (view.as_ptr().wrapping_add(within), view))
    }
}

impl View {
    /// The bytes at `[offset, offset + len)`; nothing where they are not all data in one piece of the pool.
    pub(crate) fn of(pinned: &Arc<Pinned>, offset: u64, len: u64) -> Result<Option<View>> {
        if len == 0 || offset.checked_add(len).is_none_or(|end| end > pinned.size) {
            return Ok(None);
        }
        let store = &pinned.core.store;
        let (Some(place), contiguous) = pinned.run(offset, len)? else { return Ok(None) };
        if contiguous < len || place.0 + len + SLACK > store.runtime.region.len() {
            return Ok(None);
        }
        let guard = store.runtime.region.register_view(place, len, SLACK)?;
        Ok(Some(View { guard, _pinned: pinned.clone() }))
    }

    /// The first byte.
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        self.pointer().as_ptr()
    }

    fn pointer(&self) -> NonNull<u8> {
        self.guard.pointer()
    }

    /// Bytes that are valid.
    #[must_use]
    pub fn len(&self) -> usize {
        self.guard.len()
    }

    /// Never: a view has at least one byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the medium lost some of these bytes; they read as zeros from then on.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.guard.failed()
    }
}
