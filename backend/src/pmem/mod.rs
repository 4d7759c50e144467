//! The only code that touches pool memory: mapping, loads, stores, flushes and fences.
//!
//! ```text
//!   write / zero / copy / publish            flush             fence
//!        ----------------------> Stored ------------> Flushed ------> Durable ---> publish(.., &durable)
//! ```
//!
//! | module | what |
//! |---|---|
//! | `medium` | what kind of storage a file is, and what survives what on it |
//! | `region` | the mapped pool: mapping, growing, range checks, what a fault becomes |
//! | `access` | copies between pool and caller, and within the pool |
//! | `words` | aligned words: tree entries, locks, counts, futexes |
//! | `persist` | the order of things: `Stored`, `Flushed`, `Durable` |
//! | `failed_sync` | a failed sync as a word that members share |
//! | `losses` | where memory was found lost, and whether a block can be used again |
//! | `view` | pointers that leave, and what happens to them when memory is lost |
//! | `window` | contiguous address space for stretches of files |
//! | `sim` | with the feature of that name, a recorder of all that happens to the medium |
//! | `mistake` | mistakes that tests switch on |
//! | `arch` | the routines in assembler, and a portable path |
//!
//! Invariants: every access is range-checked against what is mapped; no reference to pool memory exists anywhere; lost
//! memory is an error, never a signal, except under a pointer that left, where it is a failed [`view`].

mod access;
mod arch;
mod failed_sync;
mod losses;
pub(crate) mod medium;
mod mistake;
mod persist;
mod region;
#[cfg(feature = "sim")]
pub mod sim;
#[cfg(not(feature = "sim"))]
#[path = "unrecorded.rs"]
mod sim;
mod view;
pub(crate) mod window;
mod words;

pub(crate) use arch::Step;
pub use failed_sync::FailedSync;
pub(crate) use mistake::{Mistake, mistake};
pub(crate) use persist::{Durable, Flushed, Stored};
pub(crate) use region::{Access, MapOptions, Region};
pub(crate) use view::ViewGuard;
pub use view::is_memory_lost;
pub(crate) use window::Window;

#[cfg(test)]
mod tests;
