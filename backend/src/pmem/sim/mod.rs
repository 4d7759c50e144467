//! A simulated medium: what of a run's stores could be on it after a crash at any instant.
//!
//! A [`Tape`] notes every store, flush and fence of the regions it is in, in one order across threads and members; a
//! [`Recording`] makes the images of the pool that a crash could leave ([`Replay`]). Besides, the process can be killed at
//! its N-th step, and mistakes can be made on purpose ([`Mistake`], [`Fault`]), to see whether a test finds them.
//!
//! | module | what |
//! |---|---|
//! | `tape` | taking down what happens, also while a pool is opened and recovered |
//! | `recording` | what was taken down, with or without mistakes in it |
//! | `replay` | going through a recording, and the images |
//! | `image` | the bytes of a medium |
//! | `kept` | mappings that outlive their regions |
//! | `steps` | death at the N-th step |
//!
//! # The fault model
//!
//! - Aligned words of 8 bytes are atomic. Nothing larger is: a store is taken apart into its words, in ascending order.
//! - A store may reach the medium at any time after it was executed, flushed or not (lines are evicted early).
//! - A unit of the medium persists by itself: what of different units arrives, and in which order, is arbitrary, in any
//!   combination. Of the stores to one unit any first part may have arrived, in their order.
//! - What was in a unit when a thread flushed it is on the medium once that thread has fenced. A non-temporal store
//!   counts as a store and a flush. Nothing else guarantees anything; above all not another thread's fence.
//! - Volatile words are stores that the code never flushes. They too arrive or not.
//!
//! | [`Unit`] | flushed and fenced by | what it stands for |
//! |---|---|---|
//! | `Word`, 8 bytes | its line's flush, `sfence` | a bound for all hardware: not even the stores to one line keep their order |
//! | `Line`, 64 bytes | `clwb` and its kin, `sfence` | persistent memory: a line is written back as it is at one instant |
//! | `Page`, 4096 bytes | `msync`, `fdatasync`, which flush what is in their pages when they begin and fence when they return | a page cache |
//!
//! Any subset of the dirty pages may have been written back at any time, unasked. A page that is stored to while its
//! writeback runs (the kernel does not keep writers out) is torn: of each of its words any first part of the stores may
//! have arrived, whatever arrived of its other words ([`Arrival::Torn`]).
//!
//! # Steps
//!
//! Every store, flush, fence, change of a volatile word, and wait on or wake of a futex, recorded or not, is a step. `DAXCOW_SIM_DIE_AT_STEP=N`, or
//! [`die_at_step`], ends the process by SIGKILL right before its N-th step (the first is 1).

mod image;
mod kept;
mod recording;
mod replay;
mod steps;
mod tape;

pub use super::mistake::{Mistake, with_mistake};
pub use image::{Image, Page};
pub(super) use kept::{keep_mapping, kept_mapping};
pub use recording::{Entry, Event, Fault, Recording, Site};
pub use replay::{Arrival, Replay, Undecided, Unit};
pub use steps::{die_at_step, steps, stop_at_step};
pub(super) use tape::{Recorder, plays_device, plays_disk};
pub use tape::{Tape, Touched, as_device, as_disk};

#[cfg(test)]
mod tests;
