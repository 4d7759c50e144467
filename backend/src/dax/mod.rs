//! Data: reading and writing files by loads and stores, through iomap.
//!
//! | module | what |
//! |---|---|
//! | [`read`] | copying out, without a lock |
//! | [`known`] | places that a thread has looked up before |
//! | [`write`] | copying in: in place, copy on write, allocate; growing a file |
//! | [`range`] | truncate, preallocate, zero, punch, seek, extents |
//! | [`share`] | cloning ranges and contents between files |
//! | [`dedupe`] | comparing ranges of two files, and sharing what is the same |
//! | [`batch`] | any number of writes, published as one |
//! | [`mapping`] | stretches of files as contiguous memory |
//! | [`view`] | pointers into the pool, under a pin |
//! | [`settled`] | copying out of places that are known, under a pin |
//!
//! Functions that change a file expect its lock to be held by the caller and the caller's operation to be marked at the
//! cut gate.

pub(crate) mod batch;
pub(crate) mod dedupe;
mod known;
pub(crate) mod mapping;
pub(crate) mod range;
pub(crate) mod read;
pub(crate) mod settled;
pub(crate) mod share;
pub(crate) mod view;
pub(crate) mod write;
