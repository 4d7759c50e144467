//! daxcow: a user-space copy-on-write file layer for byte-addressable storage.

pub mod error;
mod os;
mod pmem;
pub mod units;

pub use pmem::medium::{Dax, Durability, FlushMode, Granularity, Medium};
