//! The protocols of this layer under a model checker: the code that runs in a pool, on words of loom's.
//!
//! | module | what is gone through in every order of steps, and with a death before each |
//! |---|---|
//! | [`locks`] | robust locks: exclusion, wakeups, recovery before a lock is taken over, slots that are used again |
//! | [`cuts`] | the cut gate: nothing moves behind it, marks of the dead end |
//! | [`readers`] | sequence counters: what a reader accepts is of one state |
//! | [`words`] | the words and byte locks that all of these stand on |
//!
//! A [`Process`] is one member: it has a thread of loom's, its own [`Runtime`] and a number of steps after which it dies.
//! From its death on none of its words and locks changes any more, and its byte locks have fallen; the code runs on to its
//! end over errors, so that no destructor of it has an effect. A [`Fault`] is a mistake in the code, expressed by what the
//! words would see of it: that the checker finds each is what its silence about the code is worth.
//!
//! What differs from a pool: a volatile word that is changed is followed by a full fence, unless the store only releases, as
//! locked instructions are on x86-64 and as loom does not know of sequentially consistent operations; and time passes only while somebody waits.

mod cuts;
mod locks;
mod readers;
mod words;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64 as StdU64, Ordering::Relaxed as R};
use std::time::Duration;

use loom::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use loom::sync::atomic::{AtomicU32, AtomicU64, fence};
use loom::sync::{Condvar, Mutex};

use super::gate::stripe;
use super::member::{Member, USED, mark, progress_of, slot_byte, state};
use super::memory::{ByteLocks, Memory};
use super::robust::WAITERS;
use super::{Runtime, at};
use crate::error::{Error, ErrorKind, Result};
use crate::format::inode::{at as inode_at, field};
use crate::format::layout::SLOT_COUNT;
use crate::units::PoolOffset;

/// A lock that is not the gate.
const LOCK: PoolOffset = PoolOffset(8);
/// An inode with a sequence counter.
const INODE: PoolOffset = PoolOffset(1 << 20);
const EPOCH: u64 = 1;
/// Processes that a model has at most, and slots that they use.
const SLOTS: usize = 3;

/// A mistake in the code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// A waiter does not say that it waits.
    WaitersUnsaid,
    /// Who unlocks wakes nobody.
    NobodyWoken,
    /// A lock is taken over from a dead member that nobody has recovered.
    NotRecovered,
    /// A slot's byte is claimed without the lock on it: two recover at a time.
    ClaimedByTwo,
    /// Whether a lock word is a former member's is judged without the generation.
    GenerationIgnored,
    /// An operation looks at the gate before it marks its thread.
    GateBeforeMark,
    /// An operation does not mark its thread.
    Unmarked,
    /// A reader validates before it copies.
    ValidatedFirst,
    /// A change does not make the counter odd.
    NeverOdd,
    /// The copies and stores of readers and writers are not ordered with the counter.
    Unordered,
    /// What a writer stored is not ordered before the store that makes the counter even.
    EvenTooSoon,
}

/// A word that the processes share.
///
/// Loom leaves out orders that differ only in accesses it takes for independent, and remembers for each atomic only the last
/// access: a thread's own load hides another one's before it. A change of a companion before each access, which orders
/// nothing else, makes all accesses dependent.
struct Word<A> {
    touched: AtomicU32,
    atomic: A,
}

impl<A> Word<A> {
    fn new(atomic: A) -> Word<A> {
        Word { touched: AtomicU32::new(0), atomic }
    }

    fn get(&self) -> &A {
        self.touched.fetch_add(1, Relaxed);
        &self.atomic
    }
}

/// What all processes share.
struct Machine {
    locks: BTreeMap<PoolOffset, Word<AtomicU32>>,
    words: BTreeMap<PoolOffset, Word<AtomicU64>>,
    /// What a lock or a mark protects: two words that are equal whenever nobody is at work.
    data: [Word<AtomicU64>; 2],
    /// The lanes, by slot: what the work in progress wants the data to be, 0 for none.
    lanes: [Word<AtomicU64>; SLOTS],
    /// Who is at work, as its slot and 1.
    at_work: AtomicU32,
    /// Who recovers somebody, as its number and 1.
    recovering: AtomicU32,
    /// Who holds which byte.
    bytes: Mutex<BTreeMap<u64, u32>>,
    /// Sleepers; every wake is for all words.
    futex: Mutex<()>,
    woken: Condvar,
    fault: Option<Fault>,
    /// Sleepers wake by themselves, as a timeout or a signal wakes them.
    timeouts: bool,
    /// All slots that the model has no processes for are in use.
    full: bool,
}

/// One process of the model, as its memory and its byte locks.
#[derive(Clone)]
pub(super) struct Process {
    machine: Arc<Machine>,
    number: u32,
    own: Arc<Own>,
}

/// What a process knows of itself: not of the model, which is not to look at it.
struct Own {
    steps: StdU64,
    dies_at: u64,
    dead: AtomicBool,
    clock_ms: StdU64,
    remembered: StdU64,
}

type Bound = Runtime<Process, Process>;

impl Machine {
    fn new(slots: u32, fault: Option<Fault>, timeouts: bool) -> Machine {
        let word = |value| Word::new(AtomicU64::new(value));
        let mut words = BTreeMap::from([(field(INODE, inode_at::SEQUENCE), word(0)), (at::DEATHS, word(0))]);
        let mut bytes = BTreeMap::new();
        for slot in 0..slots {
            words.insert(state(slot), word(1 << 32 | USED));
            words.insert(mark(slot, stripe()), word(0));
            words.insert(progress_of(mark(slot, stripe())), word(0));
            bytes.insert(slot_byte(slot), slot);
        }
        Machine {
            locks: BTreeMap::from([LOCK, at::GATE].map(|place| (place, Word::new(AtomicU32::new(0))))),
            words,
            data: [word(0), word(0)],
            lanes: [(); SLOTS].map(|()| word(0)),
            at_work: AtomicU32::new(0),
            recovering: AtomicU32::new(0),
            bytes: Mutex::new(bytes),
            futex: Mutex::new(()),
            woken: Condvar::new(),
            fault,
            timeouts,
            full: false,
        }
    }
}

/// The process `number`, which dies before its step number `dies_at`.
fn process(machine: &Arc<Machine>, number: u32, dies_at: u64) -> Process {
    let own = Own {
        steps: StdU64::new(0),
        dies_at,
        dead: AtomicBool::new(false),
        clock_ms: StdU64::new(0),
        remembered: StdU64::new(u64::MAX),
    };
    Process { machine: Arc::clone(machine), number, own: Arc::new(own) }
}

/// The member of `slot`, which dies before its step number `dies_at`.
fn member(machine: &Arc<Machine>, slot: u32, dies_at: u64) -> Bound {
    bind(process(machine, slot, dies_at), Member { slot, generation: 1 })
}

/// A member that recovers others as the pool's code does: what the lane says is done, and then the lane is empty.
fn bind(process: Process, member: Member) -> Bound {
    let runtime = Runtime::of(process.clone(), process.clone(), member, EPOCH);
    runtime.set_recoverer(Box::new(move |slot| process.replay(slot)));
    runtime
}

impl Process {
    /// Goes on, or is dead.
    fn step(&self) -> Result<()> {
        let step = self.own.steps.load(R) + 1;
        self.own.steps.store(step, R);
        if !self.own.dead.load(R) && step < self.own.dies_at {
            return Ok(());
        }
        if !self.own.dead.swap(true, R) {
            let mut bytes = self.machine.bytes.lock().expect("no process panics with it");
            bytes.retain(|_, holder| *holder != self.number);
            let own = self.number + 1;
            _ = self.machine.recovering.compare_exchange(own, 0, Relaxed, Relaxed);
        }
        Err(Error::new(ErrorKind::Io, "the process is dead"))
    }

    fn has(&self, fault: Fault) -> bool {
        self.machine.fault == Some(fault)
    }

    /// The two steps of the work of `slot` on the data, with its lane around them.
    fn work(&self, slot: u32) -> Result<()> {
        let machine = &self.machine;
        let lane = &machine.lanes[usize::try_from(slot).unwrap_or(0)];
        self.step()?;
        assert_eq!(machine.at_work.swap(slot + 1, Relaxed), 0, "two at work at a time");
        let next = self.seen()? + 1;
        self.step()?;
        lane.get().store(next, Relaxed);
        for word in &machine.data {
            self.step()?;
            word.get().store(next, Relaxed);
        }
        self.step()?;
        lane.get().store(0, Relaxed);
        self.step()?;
        machine.at_work.store(0, Relaxed);
        Ok(())
    }

    /// What the data is; both words of it.
    fn seen(&self) -> Result<u64> {
        self.step()?;
        let [one, other] = [0, 1].map(|word: usize| self.machine.data[word].get().load(Relaxed));
        assert_eq!(one, other, "the data is half old and half new");
        Ok(one)
    }

    /// Does what the lane of a dead member says, and retires it.
    fn replay(&self, slot: u32) -> Result<()> {
        if self.has(Fault::NotRecovered) {
            return Ok(());
        }
        let machine = &self.machine;
        let lane = &machine.lanes[usize::try_from(slot).unwrap_or(0)];
        self.step()?;
        assert_eq!(machine.recovering.swap(self.number + 1, Relaxed), 0, "two recover at a time");
        self.step()?;
        let wanted = lane.get().load(Relaxed);
        if wanted != 0 {
            for word in &machine.data {
                self.step()?;
                word.get().store(wanted, Relaxed);
            }
            self.step()?;
            lane.get().store(0, Relaxed);
        }
        self.step()?;
        _ = machine.at_work.compare_exchange(slot + 1, 0, Relaxed, Relaxed);
        machine.recovering.store(0, Relaxed);
        Ok(())
    }

    fn pass(&self, milliseconds: u64) {
        self.own.clock_ms.store(self.own.clock_ms.load(R) + milliseconds, R);
        loom::thread::yield_now();
    }
}

/// What a process that did not die must have done.
fn expect_alive(outcome: Result<()>, process: &Process) {
    if let Err(error) = outcome
        && !process.own.dead.load(R)
    {
        panic!("a living process failed: {error}");
    }
}

/// Goes through `model` in every order of steps with up to `preemptions` unforced switches, and as many more as
/// `DAXCOW_PREEMPTIONS` says; answers how many orders there were. With more than a few, loom starves a lock's holder beside waiters
/// that time out, and gives up.
fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) -> u64 {
    let mut builder = loom::model::Builder::new();
    let more = std::env::var("DAXCOW_PREEMPTIONS").ok().and_then(|more| more.parse::<usize>().ok());
    builder.preemption_bound = Some(preemptions + more.unwrap_or(0));
    builder.max_branches = 20_000;
    let orders = Arc::new(StdU64::new(0));
    let counted = Arc::clone(&orders);
    builder.check(move || {
        counted.fetch_add(1, R);
        model();
    });
    orders.load(R)
}

/// Says how much a test has gone through.
fn report(orders: u64) {
    println!("{orders} orders of steps");
}

/// Fails unless the checker finds something wrong with `model`.
fn must_be_found(fault: Fault, preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let found = catch_unwind(AssertUnwindSafe(|| explore(preemptions, model)));
    assert!(found.is_err(), "{fault:?} was not found");
}
