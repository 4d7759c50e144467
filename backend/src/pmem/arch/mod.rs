//! Loads, stores and flushes that answer [`Lost`] where the memory is gone, one file an architecture.

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub(super) use x86_64::*;

#[cfg(not(target_arch = "x86_64"))]
mod portable;
#[cfg(not(target_arch = "x86_64"))]
pub(super) use portable::*;

/// The access faulted; what it had stored before is unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Lost;

/// Bytes in a cache line, the unit of a flush.
pub(super) const LINE: usize = 64;
