//! daxcow: a user-space copy-on-write file layer for byte-addressable storage.

pub mod error;
mod extent_map;
mod format;
mod inode;
mod journal;
mod runtime;
mod space;
mod stub;
pub mod units;

pub use error::{Error, ErrorKind, Result};
pub use stub::*;
