//! Going through a recording, and the images that a crash could leave.

use std::collections::{BTreeMap, HashMap};
use std::thread::ThreadId;

use super::{Event, Recording};

/// What of the medium persists as a whole, the stores to it in their order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// A word of 8 bytes: harsher than any hardware, and so a bound for all of it.
    Word,
    /// A cache line: what CPUs do.
    Line,
    /// A page: what a page cache does.
    Page,
}

impl Unit {
    /// Its size in bytes.
    #[must_use]
    pub fn size(self) -> u64 {
        match self {
            Unit::Word => 8,
            Unit::Line => 64,
            Unit::Page => 4096,
        }
    }

    /// What a flush covers: lines at least.
    fn flushed(self) -> u64 {
        self.size().max(64)
    }
}

/// The medium after the first events of a recording.
pub struct Replay<'a> {
    recording: &'a Recording,
    unit: Unit,
    position: usize,
    /// What is certainly on the medium.
    durable: Vec<u8>,
    /// What may be: by unit, the stores since.
    pending: BTreeMap<u64, Pending>,
    /// By thread and unit, how many stores it flushed and has not fenced.
    flushed: HashMap<ThreadId, HashMap<u64, u64>>,
}

#[derive(Default)]
struct Pending {
    /// Stores to the unit that became durable before the first of `words`.
    drained: u64,
    words: Vec<Word>,
}

/// A part of a store that lies in one aligned word.
struct Word {
    at: u64,
    bytes: Vec<u8>,
}

impl<'a> Replay<'a> {
    pub(super) fn new(recording: &'a Recording, unit: Unit) -> Replay<'a> {
        Replay {
            recording,
            unit,
            position: 0,
            durable: recording.initial.clone(),
            pending: BTreeMap::new(),
            flushed: HashMap::new(),
        }
    }

    /// Events gone through.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// Goes on to where `crash_point` events have happened, or to the end. It never goes back.
    pub fn advance_to(&mut self, crash_point: usize) {
        let recording = self.recording;
        let end = crash_point.min(recording.entries.len());
        while self.position < end {
            let entry = &recording.entries[self.position];
            match &entry.event {
                Event::Store { at, bytes } => self.store(*at, bytes),
                Event::Flush { at, len } => self.flush(entry.thread, *at, *len),
                Event::Fence => self.fence(entry.thread),
            }
            self.position += 1;
        }
    }

    /// Units that may or may not have changed: how many choices an image takes.
    #[must_use]
    pub fn undecided(&self) -> usize {
        self.pending.values().filter(|pending| !pending.words.is_empty()).count()
    }

    /// An image of the medium after a crash here. For every undecided unit, in ascending order, `choice(offset, n)` says
    /// how many of its `n` pending words arrived: 0 for none, `n` (or more) for all.
    #[must_use]
    pub fn image(&self, choice: &mut dyn FnMut(u64, usize) -> usize) -> Vec<u8> {
        let mut image = self.durable.clone();
        for (unit, pending) in &self.pending {
            if !pending.words.is_empty() {
                let arrived = choice(unit * self.unit.size(), pending.words.len());
                for word in pending.words.iter().take(arrived) {
                    word.apply(&mut image);
                }
            }
        }
        image
    }

    fn store(&mut self, at: u64, bytes: &[u8]) {
        let mut at = at;
        let mut bytes = bytes;
        while !bytes.is_empty() {
            let room = usize::try_from(8 - at % 8).unwrap_or(8).min(bytes.len());
            let (word, rest) = bytes.split_at(room);
            let pending = self.pending.entry(at / self.unit.size()).or_default();
            pending.words.push(Word { at, bytes: word.to_vec() });
            at += word.len() as u64;
            bytes = rest;
        }
    }

    fn flush(&mut self, thread: ThreadId, at: u64, len: u64) {
        let covered = self.unit.flushed();
        let first = at / covered * covered / self.unit.size();
        let end = (at + len).next_multiple_of(covered) / self.unit.size();
        let flushed = self.flushed.entry(thread).or_default();
        for (unit, pending) in self.pending.range(first..end) {
            flushed.insert(*unit, pending.drained + pending.words.len() as u64);
        }
    }

    fn fence(&mut self, thread: ThreadId) {
        for (unit, count) in self.flushed.remove(&thread).unwrap_or_default() {
            let Some(pending) = self.pending.get_mut(&unit) else { continue };
            // Another thread's fence may have drained them, and later ones, before.
            let arrived = usize::try_from(count.saturating_sub(pending.drained)).unwrap_or(usize::MAX);
            for word in pending.words.drain(..arrived) {
                word.apply(&mut self.durable);
                pending.drained += 1;
            }
        }
    }
}

impl Word {
    fn apply(&self, image: &mut Vec<u8>) {
        let start = usize::try_from(self.at).unwrap_or(usize::MAX);
        let end = start + self.bytes.len();
        if image.len() < end {
            image.resize(end.next_multiple_of(4096), 0); // the pool grew
        }
        image[start..end].copy_from_slice(&self.bytes);
    }
}
