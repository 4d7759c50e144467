//! What happened to a medium, in order, and the same run with a mistake in it.

use std::collections::HashMap;
use std::panic::Location;
use std::thread::ThreadId;

use super::image::Image;
use super::replay::{Replay, Unit};

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
    /// Whether the event is the store of a durable pointer word.
    pub publish: bool,
}

/// What happened to a pool, from the image that it was at first.
#[derive(Clone, Debug)]
pub struct Recording {
    pub(super) initial: Image,
    pub(super) entries: Vec<Entry>,
}

/// A mistake to put into a recording, to see whether a test notices.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The flushes made by this line are forgotten.
    SkipFlush(Site),
    /// The fences made by this line are forgotten.
    SkipFence(Site),
    /// The pointers published by this line are published before the fence that precedes them.
    PublishEarly(Site),
}

impl Fault {
    /// The line that makes the mistake.
    #[must_use]
    pub fn site(self) -> Site {
        match self {
            Fault::SkipFlush(site) | Fault::SkipFence(site) | Fault::PublishEarly(site) => site,
        }
    }
}

impl Recording {
    /// Nothing has happened yet to `initial`.
    pub(super) fn new(initial: Image) -> Recording {
        Recording { initial, entries: Vec::new() }
    }

    /// What the medium was at first.
    #[must_use]
    pub fn initial(&self) -> &Image {
        &self.initial
    }

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

    /// Every flush and fence that could be forgotten, by its line, in order of appearance.
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

    /// Every flush, fence and early publish that makes a difference to what is durable on a medium of these units, each by
    /// its line, in order of appearance. A fence that finds nothing on its way, or only what is volatile, makes none.
    #[must_use]
    pub fn effective_faults(&self, unit: Unit) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut note = |fault| {
            if !faults.contains(&fault) {
                faults.push(fault);
            }
        };
        let mut replay = self.replay(unit);
        // By thread: whether its last fence drained anything.
        let mut fenced = HashMap::new();
        for (index, entry) in self.entries.iter().enumerate() {
            replay.advance_to(index);
            match entry.event {
                Event::Store { .. } if entry.publish && fenced.get(&entry.thread) == Some(&true) => {
                    note(Fault::PublishEarly(entry.site));
                }
                Event::Store { .. } => {}
                Event::Flush { at, len } => {
                    if replay.would_flush(at, len) {
                        note(Fault::SkipFlush(entry.site));
                    }
                }
                Event::Fence => {
                    let drains = replay.would_drain(entry.thread);
                    if drains {
                        note(Fault::SkipFence(entry.site));
                    }
                    fenced.insert(entry.thread, drains);
                }
            }
        }
        faults
    }

    /// The same run of a program with this fault, and where each of `points`, numbers of events in ascending order, is in it.
    #[must_use]
    pub fn with_fault(&self, fault: Fault, points: &[usize]) -> (Recording, Vec<usize>) {
        let mut faulty = Recording { initial: self.initial.clone(), entries: Vec::new() };
        let (mut moved, mut left) = (Vec::with_capacity(points.len()), points.iter().peekable());
        for (index, entry) in self.entries.iter().enumerate() {
            while left.next_if(|&&point| point <= index).is_some() {
                moved.push(faulty.entries.len());
            }
            faulty.note_with(fault, entry.clone(), moved.last().copied().unwrap_or(0));
        }
        moved.extend(left.map(|_| faulty.entries.len()));
        (faulty, moved)
    }

    /// Notes what becomes of `entry`, not before the event number `floor`.
    fn note_with(&mut self, fault: Fault, entry: Entry, floor: usize) {
        let there = entry.site == fault.site();
        let last_fence = |entries: &[Entry]| {
            let mine = |earlier: &Entry| earlier.thread == entry.thread && earlier.event == Event::Fence;
            entries.iter().rposition(mine)
        };
        let place = match fault {
            Fault::SkipFlush(_) if there && matches!(entry.event, Event::Flush { .. }) => return,
            Fault::SkipFence(_) if there && entry.event == Event::Fence => return,
            Fault::PublishEarly(_) if there && entry.publish => last_fence(&self.entries),
            _ => None,
        };
        self.entries.insert(place.map_or(self.entries.len(), |place| place.max(floor)), entry);
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
