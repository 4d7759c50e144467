//! daxcow: a user-space copy-on-write file layer for byte-addressable storage.

pub mod error;
pub mod units;
