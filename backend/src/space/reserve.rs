//! Promises of free blocks: a full pool is found out before anything is changed.
//!
//! A small part of the pool is kept for what gives space back: removing a file from a full pool needs a block or two of
//! shadow nodes first.

use std::cell::Cell;

use super::Space;
use crate::error::{Error, ErrorKind, Result};
use crate::format::layout;
use crate::runtime::at;
use crate::units::{BLOCK_SIZE, PoolOffset};

/// What blocks are wanted for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// Anything that stores more: may not touch the reserve.
    Store,
    /// Something that gives space back in the end: may.
    Release,
}

/// Blocks that are promised and not yet taken; the rest goes back when dropped.
#[must_use]
pub(crate) struct Reservation<'a> {
    space: &'a Space,
    left: u64,
    /// It came from a pledge, and the rest goes back there.
    pledged: bool,
}

/// Blocks promised to an operation of several steps: while this lives, reservations of this thread come from it as long as it
/// lasts, so that a later step finds no full pool.
#[must_use]
pub(crate) struct Pledge<'a> {
    space: &'a Space,
}

thread_local! {
    /// What is left of this thread's pledge.
    static PLEDGED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Blocks kept for releasing space in a pool of `pool_blocks` blocks.
pub(crate) const fn reserve_blocks(pool_blocks: u64) -> u64 {
    let share = layout::allocatable_blocks(pool_blocks) / 128;
    if share < 24 {
        24
    } else if share > 4096 {
        4096
    } else {
        share
    }
}

impl Space {
    /// Promises `blocks` free blocks to all the steps of an operation. One pledge a thread.
    pub(crate) fn pledge(&self, blocks: u64, purpose: Purpose) -> Result<Pledge<'_>> {
        debug_assert!(PLEDGED.get().is_none(), "a pledge within a pledge");
        let mut reservation = self.reserve(blocks, purpose)?;
        PLEDGED.set(Some(std::mem::take(&mut reservation.left)));
        Ok(Pledge { space: self })
    }

    /// Promises `blocks` free blocks. `NoSpace` where there are not as many.
    pub(crate) fn reserve(&self, blocks: u64, purpose: Purpose) -> Result<Reservation<'_>> {
        if let Some(left) = PLEDGED.get().and_then(|pledged| pledged.checked_sub(blocks)) {
            PLEDGED.set(Some(left));
            return Ok(Reservation { space: self, left: blocks, pledged: true });
        }
        #[cfg(feature = "sim")]
        if super::refuse::refused(purpose) {
            return Err(self.no_space(blocks));
        }
        match self.try_reserve(blocks, purpose)? {
            Some(reservation) => Ok(reservation),
            None if self.deferred()? > 0 => {
                self.settle()?;
                self.try_reserve(blocks, purpose)?.ok_or_else(|| self.no_space(blocks))
            }
            None if self.release_kept() => self.reserve(blocks, purpose),
            None => Err(self.no_space(blocks)),
        }
    }

    pub(super) fn try_reserve(&self, blocks: u64, purpose: Purpose) -> Result<Option<Reservation<'_>>> {
        let kept = match purpose {
            Purpose::Store => reserve_blocks(self.pool_blocks()?),
            Purpose::Release => 0,
        };
        let region = &self.runtime.region;
        let mut free = region.load(at::FREE_BLOCKS)?;
        loop {
            if free < blocks.saturating_add(kept) {
                return Ok(None);
            }
            match region.cas_u64(at::FREE_BLOCKS, free, free - blocks)? {
                Ok(_) => return Ok(Some(Reservation { space: self, left: blocks, pledged: false })),
                Err(now) => free = now,
            }
        }
    }

    fn promise_no_more(&self, blocks: u64) {
        if blocks > 0
            && let Err(error) = self.runtime.region.add_u64(at::FREE_BLOCKS, blocks)
        {
            tracing::error!(%error, "a reservation could not be given back");
        }
    }

    /// Why so many blocks cannot be had: mostly that the pool is full; where its file was cut short, that.
    #[cold]
    fn no_space(&self, blocks: u64) -> Error {
        let region = &self.runtime.region;
        if let Some(error) = region.cut_short(PoolOffset(0), region.len()) {
            return error;
        }
        let free = region.load(at::FREE_BLOCKS).unwrap_or(0);
        let kept = self.pool_blocks().map_or(0, reserve_blocks);
        Error::new(
            ErrorKind::NoSpace,
            format!(
                "the pool is full: {} bytes wanted, {} free, of which {} are kept for removing things",
                blocks * BLOCK_SIZE,
                free * BLOCK_SIZE,
                kept * BLOCK_SIZE
            ),
        )
    }
}

impl Reservation<'_> {
    /// Blocks still promised.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// Adds another promise.
    pub(crate) fn join(&mut self, mut other: Reservation<'_>) {
        self.left += std::mem::take(&mut other.left);
    }

    /// Counts `blocks` as taken.
    pub(super) fn take(&mut self, blocks: u64) {
        self.left -= blocks;
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        match PLEDGED.get() {
            Some(pledged) if self.pledged => PLEDGED.set(Some(pledged + self.left)),
            _ => self.space.promise_no_more(self.left),
        }
    }
}

impl Drop for Pledge<'_> {
    fn drop(&mut self) {
        self.space.promise_no_more(PLEDGED.take().unwrap_or(0));
    }
}
