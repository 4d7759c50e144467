//! A simulated medium: what of a run's stores could be on it after a crash at any instant.
//!
//! A [`Recorder`] in each region notes every store, flush and fence in one order across threads; a [`Recording`] makes
//! the images of the pool that a crash could leave (`replay`). Besides, the process can be killed at its N-th step.
//!
//! # The fault model
//!
//! - Aligned words of 8 bytes are atomic. Nothing larger is: a store is taken apart into its words, in ascending order.
//! - A store may reach the medium at any time after it was executed, flushed or not (lines are evicted early).
//! - A unit of the medium persists by itself: what of different units arrives, and in which order, is arbitrary, in any
//!   combination. The stores to one unit arrive in their order ([`Unit`] says how large it is).
//! - What was in a unit when a thread flushed it is on the medium once that thread has fenced. A non-temporal store
//!   counts as a store and a flush. Nothing else guarantees anything; above all not another thread's fence.
//! - Volatile words are stores that the code never flushes.
//! - Page media: `msync` and `fdatasync` flush what is in their pages when they begin, and fence when they return. Any
//!   dirty page may have been written back at any time before, whole.
//!
//! # Steps
//!
//! Every store, flush, fence, change of a volatile word, and wait on or wake of a futex, recorded or not, is a step. `DAXCOW_SIM_DIE_AT_STEP=N`, or
//! [`die_at_step`], ends the process by SIGKILL right before its N-th step (the first is 1).

mod replay;

use std::panic::Location;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, ThreadId};

use parking_lot::Mutex;

pub use replay::{Replay, Unit};

use super::arch::{self, Lost};
use super::region::{Region, bytes};
use crate::error::{Error, ErrorKind, Result};
use crate::units::PoolOffset;

/// A line of the source that called the persistence layer.
pub type Site = &'static Location<'static>;

/// One thing that happened to the medium. Offsets and lengths are in bytes of the pool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// `bytes` were stored at `at`, by an ordinary store, a non-temporal one or a locked instruction.
    Store {
        /// Where.
        at: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// The lines, or on page media the pages, of `[at, at + len)` are on their way.
    Flush {
        /// From where.
        at: u64,
        /// How many bytes.
        len: u64,
    },
    /// What this thread flushed has arrived.
    Fence,
}

/// An event, who caused it and from where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// What happened.
    pub event: Event,
    /// In which thread.
    pub thread: ThreadId,
    /// The caller of the persistence layer.
    pub site: Site,
}

/// What happened to a pool, from the image that it was at first.
#[derive(Clone, Debug)]
pub struct Recording {
    initial: Vec<u8>,
    entries: Vec<Entry>,
}

/// A mistake to put into a recording, to see whether a test notices.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The flushes made by this line are forgotten.
    SkipFlush(Site),
    /// The fences made by this line are forgotten.
    SkipFence(Site),
}

impl Recording {
    /// All events, in order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many fences there are.
    #[must_use]
    pub fn fences(&self) -> usize {
        self.entries.iter().filter(|entry| entry.event == Event::Fence).count()
    }

    /// Every fault that changes this recording, each once, in order of appearance.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        for entry in &self.entries {
            let fault = match entry.event {
                Event::Store { .. } => continue,
                Event::Flush { .. } => Fault::SkipFlush(entry.site),
                Event::Fence => Fault::SkipFence(entry.site),
            };
            if !faults.contains(&fault) {
                faults.push(fault);
            }
        }
        faults
    }

    /// The same run of a program with this fault.
    #[must_use]
    pub fn with_fault(&self, fault: Fault) -> Recording {
        let skipped = |entry: &Entry| match fault {
            Fault::SkipFlush(site) => matches!(entry.event, Event::Flush { .. }) && entry.site == site,
            Fault::SkipFence(site) => entry.event == Event::Fence && entry.site == site,
        };
        let entries = self.entries.iter().filter(|entry| !skipped(entry)).cloned().collect();
        Recording { initial: self.initial.clone(), entries }
    }

    /// The medium at the start, ready to go through the events. `unit` is what persists as a whole.
    #[must_use]
    pub fn replay(&self, unit: Unit) -> Replay<'_> {
        Replay::new(self, unit)
    }

    /// The image left by a crash after the first `crash_point` events, see [`Replay::image`].
    #[must_use]
    pub fn image(
        &self,
        unit: Unit,
        crash_point: usize,
        choice: &mut dyn FnMut(u64, usize) -> usize,
    ) -> Vec<u8> {
        let mut replay = self.replay(unit);
        replay.advance_to(crash_point);
        replay.image(choice)
    }
}

/// Where a region notes its events.
#[derive(Default)]
pub(super) struct Recorder {
    recording: Mutex<Option<Recording>>,
}

static STEPS: AtomicU64 = AtomicU64::new(0);
static DIE_AT: OnceLock<AtomicU64> = OnceLock::new();

fn deadline() -> &'static AtomicU64 {
    DIE_AT.get_or_init(|| {
        let variable = std::env::var("DAXCOW_SIM_DIE_AT_STEP").ok();
        AtomicU64::new(variable.and_then(|text| text.parse().ok()).unwrap_or(u64::MAX))
    })
}

/// Steps that this process has taken.
#[must_use]
pub fn steps() -> u64 {
    STEPS.load(Ordering::SeqCst)
}

/// Ends the process by SIGKILL right before its step number `step`, counted from its start; `u64::MAX` for never.
pub fn die_at_step(step: u64) {
    deadline().store(step, Ordering::SeqCst);
}

fn step() {
    let number = STEPS.fetch_add(1, Ordering::SeqCst) + 1;
    if number >= deadline().load(Ordering::SeqCst) {
        die();
    }
}

#[expect(unsafe_code, reason = "a process's own death")]
fn die() -> ! {
    loop {
        // SAFETY: a signal to this process itself.
        unsafe { libc::kill(std::process::id().cast_signed(), libc::SIGKILL) };
    }
}

impl Region {
    /// Begins to record what happens to the pool through this region.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if it is being recorded already.
    pub(crate) fn record(&self) -> Result<()> {
        let mut recording = self.recorder.recording.lock();
        if recording.is_some() {
            return Err(Error::new(ErrorKind::Busy, "the region is being recorded already"));
        }
        let mut initial = vec![0; bytes(self.len())];
        self.read(PoolOffset(0), &mut initial)?;
        *recording = Some(Recording { initial, entries: Vec::new() });
        Ok(())
    }

    /// Events recorded so far; 0 if there is no recording.
    pub(crate) fn recorded_events(&self) -> usize {
        self.recorder.recording.lock().as_ref().map_or(0, |recording| recording.entries.len())
    }

    /// Ends the recording and hands it out; `None` if there is none.
    pub(crate) fn stop_recording(&self) -> Option<Recording> {
        self.recorder.recording.lock().take()
    }

    /// Runs a store to `[at, at + len)` and notes what is there afterwards.
    #[track_caller]
    pub(super) fn noting_store<T>(
        &self,
        at: PoolOffset,
        len: u64,
        flushed: bool,
        store: impl FnOnce() -> Result<T, Lost>,
    ) -> Result<T, Lost> {
        let site = Location::caller();
        step();
        let mut recording = self.recorder.recording.lock();
        let answer = store()?;
        if let Some(recording) = recording.as_mut() {
            let stored = self.snapshot(at, len)?;
            recording.note(site, Event::Store { at: at.0, bytes: stored });
            if flushed {
                recording.note(site, Event::Flush { at: at.0, len });
            }
        }
        Ok(answer)
    }

    /// Notes a flush of `[at, at + len)`, which `flush` executes.
    #[track_caller]
    pub(super) fn noting_flush<T>(&self, at: PoolOffset, len: u64, flush: impl FnOnce() -> T) -> T {
        self.noting(Event::Flush { at: at.0, len }, flush)
    }

    /// Notes a fence, which `fence` executes.
    #[track_caller]
    pub(super) fn noting_fence<T>(&self, fence: impl FnOnce() -> T) -> T {
        self.noting(Event::Fence, fence)
    }

    /// Counts a wait on or a wake of a futex as a step; it stores nothing.
    pub(super) fn noting_futex(&self) {
        step();
    }

    #[track_caller]
    fn noting<T>(&self, event: Event, act: impl FnOnce() -> T) -> T {
        let site = Location::caller();
        step();
        let mut recording = self.recorder.recording.lock();
        let answer = act();
        if let Some(recording) = recording.as_mut() {
            recording.note(site, event);
        }
        answer
    }

    #[expect(unsafe_code, reason = "reads back what was stored")]
    fn snapshot(&self, at: PoolOffset, len: u64) -> Result<Vec<u8>, Lost> {
        let mut stored = vec![0; bytes(len)];
        // SAFETY: the range was checked for the store before; the vector is as long.
        unsafe { arch::copy(stored.as_mut_ptr(), self.address(at).as_ptr(), stored.len()) }?;
        Ok(stored)
    }
}

impl Recording {
    fn note(&mut self, site: Site, event: Event) {
        self.entries.push(Entry { event, thread: thread::current().id(), site });
    }
}

#[cfg(test)]
mod tests;
