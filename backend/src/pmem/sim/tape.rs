//! Taking down what happens to a medium, in one order across the threads and members that share a tape.

use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use parking_lot::Mutex;

use super::image::Image;
use super::recording::{Entry, Event, Recording, Site};
use super::steps::step;
use crate::error::{Error, ErrorKind, Result};
use crate::pmem::arch::{self, Lost};
use crate::pmem::region::{Region, bytes};
use crate::units::{BLOCK_SIZE, PoolOffset};

thread_local! {
    /// What the regions that this thread maps are put on.
    static INSERTED: RefCell<Option<Tape>> = const { RefCell::new(None) };
    /// Whether what this thread maps of memory is to pass for a file on a disk.
    static AS_DISK: Cell<bool> = const { Cell::new(false) };
    /// The same for a DAX device.
    static AS_DEVICE: Cell<bool> = const { Cell::new(false) };
}

/// Runs `open`; every pool in memory that this thread opens meanwhile is treated as one behind the page cache.
pub fn as_disk<T>(open: impl FnOnce() -> T) -> T {
    let before = AS_DISK.replace(true);
    let answer = open();
    AS_DISK.set(before);
    answer
}

/// Runs `open`; every pool in memory that this thread opens meanwhile is treated as one on a DAX device, which is mapped by 2 MiB.
pub fn as_device<T>(open: impl FnOnce() -> T) -> T {
    let before = AS_DEVICE.replace(true);
    let answer = open();
    AS_DEVICE.set(before);
    answer
}

/// Whether memory is to pass for a DAX device.
pub(in crate::pmem) fn plays_device() -> bool {
    AS_DEVICE.get()
}

/// Whether memory is to pass for a disk.
pub(in crate::pmem) fn plays_disk() -> bool {
    AS_DISK.get()
}

/// What several regions of one pool note their events on, each in the instant it happens.
#[derive(Clone)]
pub struct Tape(Arc<Mutex<Notes>>);

struct Notes {
    /// Nothing where only the pages are wanted.
    recording: Option<Recording>,
    touched: Touched,
}

/// Pages that were stored to.
#[derive(Clone, Default, Debug)]
pub struct Touched {
    /// By number, one bit a page: stored to by anything but zeros.
    stored: Vec<u64>,
    /// Filled with zeros, in part or whole.
    zeroed: Vec<u64>,
}

impl Touched {
    fn note(&mut self, at: u64, len: u64, zeros: bool) {
        let pages = if zeros { &mut self.zeroed } else { &mut self.stored };
        for page in at / BLOCK_SIZE..(at + len).div_ceil(BLOCK_SIZE) {
            let word = bytes(page / 64);
            if pages.len() <= word {
                pages.resize(word + 1, 0);
            }
            pages[word] |= 1 << (page % 64);
        }
    }

    /// The pages that are not any more what they are in `image`, or may not be, in ascending order.
    pub fn changed_from<'a>(&'a self, image: &'a Image) -> impl Iterator<Item = u64> + 'a {
        let has = |pages: &Vec<u64>, page: u64| {
            pages.get(bytes(page / 64)).is_some_and(|word| word >> (page % 64) & 1 == 1)
        };
        let end = 64 * self.stored.len().max(self.zeroed.len()) as u64;
        (0..end)
            .filter(move |&page| has(&self.stored, page) || has(&self.zeroed, page) && !image.is_zeros(page))
    }
}

impl Tape {
    /// A tape of everything that happens to a medium that is `initial` at first.
    #[must_use]
    pub fn new(initial: Image) -> Tape {
        Tape::of(Some(Recording::new(initial)))
    }

    /// A tape that remembers which pages were stored to, and nothing else.
    #[must_use]
    pub fn of_pages() -> Tape {
        Tape::of(None)
    }

    fn of(recording: Option<Recording>) -> Tape {
        Tape(Arc::new(Mutex::new(Notes { recording, touched: Touched::default() })))
    }

    /// Runs `open`; every pool that this thread opens meanwhile is on the tape, from its first store to its last.
    pub fn during<T>(&self, open: impl FnOnce() -> T) -> T {
        let before = INSERTED.replace(Some(self.clone()));
        let answer = open();
        INSERTED.set(before);
        answer
    }

    /// Events on it so far.
    #[must_use]
    pub fn events(&self) -> usize {
        self.0.lock().recording.as_ref().map_or(0, |recording| recording.entries.len())
    }

    /// The pages stored to so far.
    #[must_use]
    pub fn touched(&self) -> Touched {
        self.0.lock().touched.clone()
    }

    /// Ends the recording and hands it out; nothing if there is none, or no more.
    #[must_use]
    pub fn take(&self) -> Option<Recording> {
        self.0.lock().recording.take()
    }
}

/// Where a region notes its events.
pub(in crate::pmem) struct Recorder {
    tape: Mutex<Option<Tape>>,
    /// Whether there is a tape; there is one from then on.
    noting: AtomicBool,
}

impl Default for Recorder {
    fn default() -> Recorder {
        let tape = INSERTED.with_borrow(Clone::clone);
        Recorder { noting: AtomicBool::new(tape.is_some()), tape: Mutex::new(tape) }
    }
}

impl Recorder {
    /// Whether anything is noted.
    pub(in crate::pmem) fn is_on_tape(&self) -> bool {
        self.noting.load(Ordering::Acquire)
    }

    /// The tape. Where nothing is noted no lock is taken: in a forked child a thread of the parent's might hold it for ever.
    fn tape(&self) -> Option<Tape> {
        self.is_on_tape().then(|| self.tape.lock().clone()).flatten()
    }
}

/// What a recorder has to know of a store before it is executed.
struct Storing {
    at: PoolOffset,
    len: u64,
    /// Also flushes.
    flushed: bool,
    /// Stores zeros only.
    zeros: bool,
    publish: bool,
    site: Site,
}

impl Region {
    /// Begins to record what happens to the pool through this region. Other threads may go on storing where the region is on
    /// a tape already.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if it is being recorded already.
    pub(crate) fn record(&self) -> Result<()> {
        let tape = self.recorder.tape.lock().get_or_insert_with(Tape::of_pages).clone();
        self.recorder.noting.store(true, Ordering::Release);
        // Whoever stores holds this lock meanwhile.
        let mut notes = tape.0.lock();
        if notes.recording.is_some() {
            return Err(Error::new(ErrorKind::Busy, "the region is being recorded already"));
        }
        let mut initial = vec![0; bytes(self.len())];
        self.read(PoolOffset(0), &mut initial)?;
        notes.recording = Some(Recording::new(Image::new(initial)));
        Ok(())
    }

    /// Events recorded so far; 0 if there is no recording.
    pub(crate) fn recorded_events(&self) -> usize {
        self.recorder.tape.lock().as_ref().map_or(0, Tape::events)
    }

    /// Ends the recording and hands it out; `None` if there is none.
    pub(crate) fn stop_recording(&self) -> Option<Recording> {
        self.recorder.tape.lock().as_ref()?.take()
    }

    /// Runs a store to `[at, at + len)` and notes what is there afterwards.
    #[track_caller]
    pub(in crate::pmem) fn noting_store<T>(
        &self,
        at: PoolOffset,
        len: u64,
        flushed: bool,
        store: impl FnOnce() -> Result<T, Lost>,
    ) -> Result<T, Lost> {
        let site = Location::caller();
        self.note_store(&Storing { at, len, flushed, zeros: false, publish: false, site }, store)
    }

    /// As [`Region::noting_store`], for zeros.
    #[track_caller]
    pub(in crate::pmem) fn noting_zeros<T>(
        &self,
        at: PoolOffset,
        len: u64,
        flushed: bool,
        store: impl FnOnce() -> Result<T, Lost>,
    ) -> Result<T, Lost> {
        let site = Location::caller();
        self.note_store(&Storing { at, len, flushed, zeros: true, publish: false, site }, store)
    }

    /// As [`Region::noting_store`], for a durable pointer word.
    #[track_caller]
    pub(in crate::pmem) fn noting_publish<T>(
        &self,
        at: PoolOffset,
        store: impl FnOnce() -> Result<T, Lost>,
    ) -> Result<T, Lost> {
        let site = Location::caller();
        self.note_store(&Storing { at, len: 8, flushed: false, zeros: false, publish: true, site }, store)
    }

    fn note_store<T>(&self, storing: &Storing, store: impl FnOnce() -> Result<T, Lost>) -> Result<T, Lost> {
        step();
        let Some(tape) = self.recorder.tape() else { return store() };
        let mut notes = tape.0.lock();
        let answer = store()?;
        let &Storing { at, len, flushed, zeros, publish, site } = storing;
        notes.touched.note(at.0, len, zeros);
        if let Some(recording) = &mut notes.recording {
            let bytes = if zeros { vec![0; bytes(len)] } else { self.snapshot(at, len)? };
            recording.note(site, Event::Store { at: at.0, bytes }, publish);
            if flushed {
                recording.note(site, Event::Flush { at: at.0, len }, false);
            }
        }
        Ok(answer)
    }

    /// Notes that `[at, at + len)` was given back to the host and reads as zeros: with the next crash or without it.
    #[track_caller]
    pub(in crate::pmem) fn noting_discard(&self, at: PoolOffset, len: u64) {
        let site = Location::caller();
        let discarding = Storing { at, len, flushed: false, zeros: true, publish: false, site };
        self.note_store(&discarding, || Ok(())).unwrap_or(());
    }

    /// Notes that whoever got a pointer to `[at, at + len)` may store there, which nobody will see.
    pub(in crate::pmem) fn noting_pointer(&self, at: PoolOffset, len: u64) {
        if let Some(tape) = self.recorder.tape() {
            tape.0.lock().touched.note(at.0, len, false);
        }
    }

    /// Notes a flush of `[at, at + len)`, which `flush` executes.
    #[track_caller]
    pub(in crate::pmem) fn noting_flush<T>(&self, at: PoolOffset, len: u64, flush: impl FnOnce() -> T) -> T {
        self.noting(Event::Flush { at: at.0, len }, flush)
    }

    /// Notes a fence, which `fence` executes.
    #[track_caller]
    pub(in crate::pmem) fn noting_fence<T>(&self, fence: impl FnOnce() -> T) -> T {
        self.noting(Event::Fence, fence)
    }

    /// Counts a wait on or a wake of a futex as a step; it stores nothing.
    pub(in crate::pmem) fn noting_futex(&self) {
        step();
    }

    #[track_caller]
    fn noting<T>(&self, event: Event, act: impl FnOnce() -> T) -> T {
        let site = Location::caller();
        step();
        let Some(tape) = self.recorder.tape() else { return act() };
        let mut notes = tape.0.lock();
        let answer = act();
        if let Some(recording) = &mut notes.recording {
            recording.note(site, event, false);
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
    fn note(&mut self, site: Site, event: Event, publish: bool) {
        self.entries.push(Entry { event, thread: thread::current().id(), site, publish });
    }
}
