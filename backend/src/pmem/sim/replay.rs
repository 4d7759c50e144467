//! Going through a recording, and the images that a crash could leave.

use std::collections::{BTreeMap, HashMap};
use std::thread::ThreadId;

use super::image::Image;
use super::{Event, Recording};
use crate::format::layout::{GROUP_BLOCKS, GROUPS, RUNTIME};
use crate::pmem::persist::merge;
use crate::units::{BLOCK_SIZE, CHUNK_SIZE};

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

/// How much of what is pending in a unit has reached the medium when the crash comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// The first so many words that were stored.
    First(usize),
    /// Everything.
    Whole,
    /// The unit was on its way while it was stored to: of each word its first stores, how many of them is chance that
    /// follows from this number.
    Torn(u64),
}

/// A unit that may or may not have changed on the medium.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Undecided {
    /// Its first byte in the pool.
    pub at: u64,
    /// Stores to its words that may or may not have arrived.
    pub words: usize,
    /// Nothing may depend on it: it is made anew when a pool is first opened, or nothing in the run ever flushes it.
    pub volatile: bool,
}

/// The medium after the first events of a recording.
pub struct Replay<'a> {
    recording: &'a Recording,
    unit: Unit,
    position: usize,
    /// What is certainly on the medium.
    durable: Image,
    /// What may be: by unit, the stores since.
    pending: BTreeMap<u64, Pending>,
    /// By thread and unit, how many stores it flushed and has not fenced.
    flushed: HashMap<ThreadId, HashMap<u64, u64>>,
    durably_meant: Covered,
}

#[derive(Default)]
struct Pending {
    /// Stores to the unit that became durable before the first of `words`.
    drained: u64,
    words: Vec<Word>,
}

/// What a store does to one aligned word.
#[derive(Clone, Copy)]
struct Word {
    at: u64,
    value: u64,
    /// Which bits of the word it stores.
    mask: u64,
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
            durably_meant: Covered::of(recording, unit),
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

    /// How many units may or may not have changed.
    #[must_use]
    pub fn undecided(&self) -> usize {
        self.undecided_units().count()
    }

    /// The units that may or may not have changed, in ascending order.
    pub fn undecided_units(&self) -> impl Iterator<Item = Undecided> {
        let open = self.pending.iter().filter(|(_, pending)| !pending.words.is_empty());
        open.map(|(unit, pending)| Undecided {
            at: unit * self.unit.size(),
            words: pending.words.len(),
            volatile: self.is_volatile(*unit),
        })
    }

    /// An image of the medium after a crash here. For every undecided unit, in ascending order, `choice` says how much of it
    /// has arrived.
    #[must_use]
    pub fn image_where(&self, choice: &mut dyn FnMut(Undecided) -> Arrival) -> Image {
        let mut image = self.durable.clone();
        for undecided in self.undecided_units() {
            let Some(pending) = self.pending.get(&(undecided.at / self.unit.size())) else { continue };
            match choice(undecided) {
                Arrival::Whole => pending.words.iter().for_each(|word| word.apply(&mut image)),
                Arrival::First(count) => {
                    pending.words.iter().take(count).for_each(|word| word.apply(&mut image));
                }
                Arrival::Torn(seed) => tear(&pending.words, seed, &mut image),
            }
        }
        image
    }

    /// As [`Replay::image_where`], all bytes of it: `choice(offset, n)` says how many of the `n` pending words of a unit
    /// arrived, 0 for none, `n` (or more) for all.
    #[must_use]
    pub fn image(&self, choice: &mut dyn FnMut(u64, usize) -> usize) -> Vec<u8> {
        self.image_where(&mut |undecided| Arrival::First(choice(undecided.at, undecided.words))).to_vec()
    }

    /// Whether a flush of `[at, at + len)` here sends anything on its way that is not volatile.
    pub(super) fn would_flush(&self, at: u64, len: u64) -> bool {
        let (first, end) = self.unit.covered(at, len);
        self.pending
            .range(first..end)
            .any(|(unit, pending)| !pending.words.is_empty() && !self.is_volatile(*unit))
    }

    /// Whether a fence of this thread here makes anything durable that is not volatile.
    pub(super) fn would_drain(&self, thread: ThreadId) -> bool {
        self.flushed.get(&thread).into_iter().flatten().any(|(unit, &count)| {
            let open = self.pending.get(unit);
            open.is_some_and(|pending| count > pending.drained) && !self.is_volatile(*unit)
        })
    }

    fn is_volatile(&self, unit: u64) -> bool {
        is_made_anew(unit * self.unit.size()) || !self.durably_meant.has(unit)
    }

    fn store(&mut self, at: u64, bytes: &[u8]) {
        let mut at = at;
        let mut bytes = bytes;
        while !bytes.is_empty() {
            let room =
                usize::try_from(self.unit.size() - at % self.unit.size()).unwrap_or(8).min(bytes.len());
            let (part, rest) = bytes.split_at(room);
            self.store_in_unit(at, part);
            at += part.len() as u64;
            bytes = rest;
        }
    }

    /// A store within one unit. Words that change nothing leave no trace: with or without them the images are the same.
    fn store_in_unit(&mut self, at: u64, bytes: &[u8]) {
        let unit = at / self.unit.size();
        let open = self.pending.get(&unit).is_some_and(|pending| !pending.words.is_empty());
        if !open && at % BLOCK_SIZE + bytes.len() as u64 <= BLOCK_SIZE && self.durable.holds(at, bytes) {
            return;
        }
        let pending = self.pending.entry(unit).or_default();
        let (mut at, mut bytes) = (at, bytes);
        while !bytes.is_empty() {
            let room = usize::try_from(8 - at % 8).unwrap_or(8).min(bytes.len());
            let (part, rest) = bytes.split_at(room);
            let word = Word::of(at, part);
            let stored_before = pending.words.iter().any(|before| before.at == word.at);
            if stored_before || word.over(self.durable.word(word.at)) != self.durable.word(word.at) {
                pending.words.push(word);
            }
            at += part.len() as u64;
            bytes = rest;
        }
    }

    fn flush(&mut self, thread: ThreadId, at: u64, len: u64) {
        let flushed = self.flushed.entry(thread).or_default();
        let (first, end) = self.unit.covered(at, len);
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

impl Unit {
    /// The units, first and one past the last, that a flush of `[at, at + len)` covers.
    fn covered(self, at: u64, len: u64) -> (u64, u64) {
        let whole = self.flushed();
        (at / whole * whole / self.size(), (at + len).next_multiple_of(whole) / self.size())
    }
}

/// What the flushes of a recording cover, as sorted ranges of units that do not touch.
struct Covered(Vec<(u64, u64)>);

impl Covered {
    fn of(recording: &Recording, unit: Unit) -> Covered {
        let flushes = recording.entries.iter().filter_map(|entry| match &entry.event {
            Event::Flush { at, len } => Some(unit.covered(*at, *len)),
            _ => None,
        });
        Covered(merge(flushes.collect()))
    }

    fn has(&self, unit: u64) -> bool {
        let after = self.0.partition_point(|&(first, _)| first <= unit);
        after.checked_sub(1).is_some_and(|index| unit < self.0[index].1)
    }
}

/// Whether a place is one of those that the first to open a pool makes anew: the runtime header, the member slots, and
/// the tables of counts.
fn is_made_anew(at: u64) -> bool {
    let in_groups = at.checked_sub(GROUPS.0);
    (RUNTIME.0..GROUPS.0).contains(&at)
        || in_groups.is_some_and(|at| at % (GROUP_BLOCKS * BLOCK_SIZE) < CHUNK_SIZE)
}

impl Word {
    /// What a store of `bytes` at `at`, all within one aligned word, does to that word.
    fn of(at: u64, bytes: &[u8]) -> Word {
        let from = usize::try_from(at % 8).unwrap_or(0);
        let (mut value, mut mask) = ([0; 8], [0; 8]);
        value[from..from + bytes.len()].copy_from_slice(bytes);
        mask[from..from + bytes.len()].fill(0xff);
        Word { at: at - at % 8, value: u64::from_le_bytes(value), mask: u64::from_le_bytes(mask) }
    }

    fn over(&self, old: u64) -> u64 {
        old & !self.mask | self.value
    }

    fn apply(&self, image: &mut Image) {
        let word = self.over(image.word(self.at));
        image.set_word(self.at, word);
    }
}

/// Applies of each word its first stores, how many of them follows from `seed`.
fn tear(words: &[Word], seed: u64, image: &mut Image) {
    let mut stores: BTreeMap<u64, Vec<&Word>> = BTreeMap::new();
    words.iter().for_each(|word| stores.entry(word.at).or_default().push(word));
    for (at, stores) in stores {
        let chance = mix(seed ^ at) % (stores.len() as u64 + 1);
        stores.iter().take(usize::try_from(chance).unwrap_or(0)).for_each(|word| word.apply(image));
    }
}

/// Well spread bits that follow from `number` (the finalizer of SplitMix64).
fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
