//! Demand paging in user space: a fault on a mapping of ours is served by a thread, outside the signal handler.
//!
//! ```text
//!   faulting thread, in the handler        service thread
//!   free -> claimed -> posted   -------->  taken: Pager::fault (locks, heap, system calls: anything)
//!   the access again, or the chain <-----  retry or refuse
//!   free
//! ```
//!
//! The interrupted thread may hold any lock of the program and be anywhere in it, so the handler takes none, allocates
//! nothing and only waits for a word. A service thread touches no memory of the program's and holds nothing while it
//! waits for work; before one begins to serve it makes sure that another one is there, so that faults on different
//! files do not wait for each other. It emits no events: whoever receives them may be what has faulted.

use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;

use super::fault::{self, Fault, Watch};
use super::registry::Row;
use super::{fork, futex};
use crate::error::{Error, ErrorKind, Result};

/// Serves the faults on one stretch of memory.
pub(crate) trait Pager: Send + Sync {
    /// Makes the access possible at `offset` of the memory. An error says that it is not, and what the program gets is the
    /// signal.
    fn fault(&self, offset: usize, access: Access, signal: Signal) -> Result<()>;
}

/// What an access wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    Load,
    Store,
}

/// How it was found to be impossible.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Signal {
    /// A copying routine of ours faulted: no signal is due, its caller gets the error.
    Ours,
    /// Nothing is mapped there, or nothing that can be stored to.
    Segv,
    /// What is mapped there has no memory behind it.
    Bus,
}

/// Memory whose faults a [`Pager`] serves, until this is dropped.
pub(crate) struct Paged {
    start: usize,
    _watch: Watch,
}

/// Faults that can be under way at once; further ones wait for a place.
const PLACES: usize = 64;
/// How long a thread that waits for work or for an answer sleeps before it looks again.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

const FREE: u32 = 0;
const CLAIMED: u32 = 1;
const POSTED: u32 = 2;
const TAKEN: u32 = 3;
const RETRY: u32 = 4;
const REFUSED: u32 = 5;

/// A fault on its way from the handler to a thread and back.
struct Place {
    state: AtomicU32,
    address: AtomicUsize,
    store: AtomicU32,
    bus: AtomicU32,
}

static FAULTS: [Place; PLACES] = [const {
    Place {
        state: AtomicU32::new(FREE),
        address: AtomicUsize::new(0),
        store: AtomicU32::new(0),
        bus: AtomicU32::new(0),
    }
}; PLACES];
/// Raised with each fault that is posted; what service threads wait for.
static POSTS: AtomicU32 = AtomicU32::new(0);
/// Raised with each place that comes free.
static FREED: AtomicU32 = AtomicU32::new(0);
static THREADS: AtomicUsize = AtomicUsize::new(0);
static IDLE: AtomicUsize = AtomicUsize::new(0);
/// The process that the threads are in, by its fork generation: in a forked child nobody serves what it has inherited.
static OWNER: AtomicU64 = AtomicU64::new(0);
/// Stretches of memory that have a pager.
static PAGED: AtomicUsize = AtomicUsize::new(0);
type Pagers = BTreeMap<usize, (usize, Arc<dyn Pager>)>;

/// By the first address: the length, and who serves it. Locked only in sections that no fork splits.
static PAGERS: Mutex<Pagers> = Mutex::new(BTreeMap::new());

/// Lets `pager` serve the faults on `len` bytes from `start`.
///
/// # Errors
/// `Io` where no thread can be started.
pub(crate) fn serve(start: NonNull<u8>, len: usize, pager: Arc<dyn Pager>) -> Result<Paged> {
    let first = start.as_ptr() as usize;
    {
        let section = fork::unforked();
        static IN_CHILD: OnceLock<Row<3>> = OnceLock::new();
        IN_CHILD.get_or_init(|| section.in_child(forget_threads, 0, 0));
        PAGERS.lock().insert(first, (len, pager));
        PAGED.fetch_add(1, Ordering::SeqCst);
        OWNER.store(fork::generation(), Ordering::SeqCst);
    }
    let paged = Paged { start: first, _watch: fault::watch(start, len, 0, Some(on_fault)) };
    if THREADS.load(Ordering::SeqCst) == 0 {
        start_thread().map_err(|error| Error::os("start a thread that serves faults", error))?;
    }
    Ok(paged)
}

impl Drop for Paged {
    fn drop(&mut self) {
        let removed = {
            let _section = fork::unforked();
            PAGED.fetch_sub(1, Ordering::SeqCst);
            PAGERS.lock().remove(&self.start)
        };
        drop(removed);
    }
}

/// In a forked child, which has none of the threads and in which nothing is under way.
fn forget_threads(_: usize, _: usize) {
    for place in &FAULTS {
        place.state.store(FREE, Ordering::Relaxed);
    }
    THREADS.store(0, Ordering::Relaxed);
    IDLE.store(0, Ordering::Relaxed);
}

/// Serves a fault at `address` in the calling thread, which holds no lock of ours: for routines that copy to or from such
/// memory and were told that it faulted.
pub(crate) fn resolve(address: usize, access: Access) -> Result<()> {
    let (start, pager) = pager_of(address)
        .ok_or_else(|| Error::new(ErrorKind::InvalidInput, format!("no file is mapped at {address:#x}")))?;
    pager.fault(address - start, access, Signal::Ours)
}

/// Whether any of `[start, start + len)` is memory of a pager. One load where there is none.
#[inline]
pub(crate) fn is_paged(start: usize, len: usize) -> bool {
    PAGED.load(Ordering::Acquire) != 0 && search(start, len)
}

#[cold]
fn search(start: usize, len: usize) -> bool {
    let _section = fork::unforked();
    let pagers = PAGERS.lock();
    let before_end = pagers.range(..start.saturating_add(len)).next_back();
    before_end.is_some_and(|(&first, (paged, _))| start < first + paged)
}

fn pager_of(address: usize) -> Option<(usize, Arc<dyn Pager>)> {
    let _section = fork::unforked();
    let pagers = PAGERS.lock();
    let (&start, (len, pager)) = pagers.range(..=address).next_back()?;
    (address - start < *len).then(|| (start, pager.clone()))
}

/// The handler: hands the fault over and waits. Async-signal-safe.
fn on_fault(fault: &Fault) -> bool {
    if OWNER.load(Ordering::SeqCst) != fork::generation() {
        return false;
    }
    let place = claim();
    place.address.store(fault.address, Ordering::Relaxed);
    place.store.store(fault.write.into(), Ordering::Relaxed);
    place.bus.store((fault.signal == libc::SIGBUS).into(), Ordering::Relaxed);
    place.state.store(POSTED, Ordering::SeqCst);
    POSTS.fetch_add(1, Ordering::SeqCst);
    wake(&POSTS, 1);
    let answer = loop {
        match place.state.load(Ordering::SeqCst) {
            state @ (POSTED | TAKEN) => sleep_while(&place.state, state),
            answer => break answer,
        }
    };
    place.state.store(FREE, Ordering::SeqCst);
    FREED.fetch_add(1, Ordering::SeqCst);
    wake(&FREED, 1);
    answer == RETRY
}

fn claim() -> &'static Place {
    loop {
        let freed = FREED.load(Ordering::SeqCst);
        let free = FAULTS.iter().find(|place| {
            place.state.compare_exchange(FREE, CLAIMED, Ordering::SeqCst, Ordering::Relaxed).is_ok()
        });
        match free {
            Some(place) => return place,
            None => sleep_while(&FREED, freed),
        }
    }
}

fn start_thread() -> std::io::Result<()> {
    THREADS.fetch_add(1, Ordering::SeqCst);
    IDLE.fetch_add(1, Ordering::SeqCst);
    let started = std::thread::Builder::new().name("daxcow-fault".to_owned()).spawn(work);
    if started.is_err() {
        IDLE.fetch_sub(1, Ordering::SeqCst);
        THREADS.fetch_sub(1, Ordering::SeqCst);
    }
    started.map(drop)
}

/// A service thread. It counts as idle when it begins.
fn work() {
    fault::block_signals();
    let _silent = tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::default());
    loop {
        let posts = POSTS.load(Ordering::SeqCst);
        let posted = FAULTS.iter().find(|place| {
            place.state.compare_exchange(POSTED, TAKEN, Ordering::SeqCst, Ordering::Relaxed).is_ok()
        });
        let Some(place) = posted else {
            sleep_while(&POSTS, posts);
            continue;
        };
        // A thread that cannot be started leaves later faults to this one.
        if IDLE.fetch_sub(1, Ordering::SeqCst) == 1 && THREADS.load(Ordering::SeqCst) < PLACES {
            drop(start_thread());
        }
        // Who waits for the answer must get one, whatever happens here.
        let served = std::panic::catch_unwind(|| serve_place(place)).unwrap_or(false);
        let answer = if served { RETRY } else { REFUSED };
        IDLE.fetch_add(1, Ordering::SeqCst);
        place.state.store(answer, Ordering::SeqCst);
        wake(&place.state, 1);
    }
}

/// Serves one fault; the pager is let go of before the answer is given, so that who gets it can take everything down.
fn serve_place(place: &Place) -> bool {
    let address = place.address.load(Ordering::Relaxed);
    let access = if place.store.load(Ordering::Relaxed) != 0 { Access::Store } else { Access::Load };
    let signal = if place.bus.load(Ordering::Relaxed) != 0 { Signal::Bus } else { Signal::Segv };
    match pager_of(address) {
        Some((start, pager)) => pager.fault(address - start, access, signal).is_ok(),
        // Unmapped meanwhile: the access faults again and is nobody's then.
        None => true,
    }
}

fn sleep_while(word: &'static AtomicU32, value: u32) {
    // Whatever ended the wait, the caller looks at the word again.
    drop(futex::wait_in_process(word, value, LOOK_AGAIN));
}

fn wake(word: &'static AtomicU32, count: u32) {
    drop(futex::wake_in_process(word, count));
}
