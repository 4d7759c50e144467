//! Reading from a pinned state of a file: in place, as contiguous memory, and by copying from places that are known.

use std::sync::Arc;

use super::File;
use crate::dax::mapping::{Mapping, out_of_mappings};
use crate::dax::settled::Settled;
use crate::dax::view::{Pinned, View, Views};
use crate::error::Result;

impl File {
    /// A pointer to the `len` bytes at `offset`, valid and unchanged until it is dropped; nothing where they are not data
    /// in one piece of the pool, or pass the end.
    ///
    /// # Errors
    /// `NoSpace` if the pin cannot be noted; `TooManyLinks`, `MediaError`, `Corrupt`.
    pub fn view(&self, offset: u64, len: usize) -> Result<Option<View>> {
        View::of(&self.pinned()?, offset, len as u64)
    }

    /// All of the file, readable in place as it is now, whatever is written, truncated or removed meanwhile.
    ///
    /// # Errors
    /// As [`File::view`].
    pub fn views(&self) -> Result<Views> {
        Views::of(&self.pinned()?)
    }

    /// Maps `[offset, offset + len)` as contiguous memory that holds the present state and does not change, whatever is written,
    /// truncated or removed afterwards. `offset` is a multiple of 4096. See [`Mapping`].
    ///
    /// # Errors
    /// `InvalidInput` for an offset that is not aligned and a range that is empty or passes the end;
    /// `NoSpace` if the pin cannot be noted; `TooManyLinks`, `MediaError`, `Corrupt`, `Io`.
    pub fn map(&self, offset: u64, len: u64) -> Result<Mapping> {
        Mapping::new(&self.pinned()?, offset, len)
    }

    /// As [`File::read_at`], for a file that has stopped changing: the first call notes where its bytes lie, pinned until the
    /// handle is dropped, and others look nothing up. Once the file changes, and where it is in many pieces, reads are those of
    /// [`File::read_at`]; a writer copies what is pinned, as under a [`View`].
    ///
    /// # Errors
    /// As [`File::read_at`].
    pub fn read_settled_at(&self, into: &mut [u8], offset: u64) -> Result<usize> {
        if let Some(settled) = self.settled.get_or_init(|| self.settle())
            && let Some(read) = out_of_mappings(into, |into| settled.read(self.target(), offset, into))?
        {
            return Ok(read);
        }
        self.read_at(into, offset)
    }

    /// Where the bytes lie now, unless that changes or cannot be pinned.
    fn settle(&self) -> Option<Settled> {
        let version = self.version().ok()??;
        let settled = Settled::of(self.pinned().ok()?, version).ok()??;
        (self.version().ok()? == Some(version)).then_some(settled)
    }

    /// The present state, pinned; views and mappings made of the same state share the pin.
    fn pinned(&self) -> Result<Arc<Pinned>> {
        self.readable()?;
        let mut cached = self.pinned.lock();
        match cached.upgrade() {
            Some(pinned) if pinned.is_current(self.target())? => Ok(pinned),
            _ => {
                let pinned = Arc::new(Pinned::new(self.core(), self.target())?);
                *cached = Arc::downgrade(&pinned);
                Ok(pinned)
            }
        }
    }
}
