//! daxcow: a user-space copy-on-write file layer for byte-addressable storage.

pub mod error;
mod extent_map;
mod format;
mod dax;
mod inode;
mod iomap;
mod journal;
mod mount;
mod namespace;
mod os;
mod pmem;
mod runtime;
mod space;
mod stub;
pub mod units;

pub use error::{Error, ErrorKind, Result};
pub use pmem::medium::{Dax, Durability, FlushMode, Granularity, Medium};
pub use stub::*;

/// The simulated medium: recordings, crash images, death at a chosen step.
#[cfg(feature = "sim")]
pub use pmem::sim;
