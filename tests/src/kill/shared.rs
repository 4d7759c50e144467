//! Counters that the processes of one death share: in memory of their own, which no pool knows of.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::system::shared_words;

/// Survivors of one death at most.
pub const SURVIVORS: usize = 2;
/// Buckets of the histogram for each doubling of a wait.
const FINE: usize = 8;
const BUCKETS: usize = 64 * FINE;

const STOP: usize = 0;
const COMPLETE: usize = 1;
const STEPS: usize = 2;
const LONGEST: usize = 3;
const READY: usize = 4;
const GO: usize = 5;
const ROUNDS: usize = 8;
const LEDGER: usize = ROUNDS + SURVIVORS;
const HISTOGRAM: usize = 64;

/// The counters.
#[derive(Clone, Copy, Debug)]
pub struct Shared(&'static [AtomicU64]);

impl Shared {
    /// New memory for them, shared with every process that is forked from now on. It is never given back.
    ///
    /// # Panics
    /// Where there is no memory.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "memory that is never given back is no default value")]
    pub fn new() -> Shared {
        Shared(shared_words(HISTOGRAM + BUCKETS))
    }

    /// Begins a new death: all but the histogram and the longest wait is zero again.
    pub fn reset(self) {
        for (index, word) in self.0[..HISTOGRAM].iter().enumerate() {
            if index != LONGEST {
                word.store(0, Ordering::SeqCst);
            }
        }
    }

    fn get(self, index: usize) -> u64 {
        self.0[index].load(Ordering::SeqCst)
    }

    fn set(self, index: usize, value: u64) {
        self.0[index].store(value, Ordering::SeqCst);
    }

    /// Tells the survivors to end.
    pub fn stop(self) {
        self.set(STOP, 1);
    }

    /// Whether the survivors are to end.
    #[must_use]
    pub fn stopped(self) -> bool {
        self.get(STOP) != 0
    }

    /// The victim has prepared the pool.
    pub fn prepared(self) {
        self.set(READY, 1);
    }

    /// Whether the victim has prepared the pool.
    #[must_use]
    pub fn is_prepared(self) -> bool {
        self.get(READY) != 0
    }

    /// Lets the victim begin.
    pub fn go(self) {
        self.set(GO, 1);
    }

    /// Whether the victim may begin.
    #[must_use]
    pub fn may_go(self) -> bool {
        self.get(GO) != 0
    }

    /// One more operation of the victim is complete.
    pub fn complete_one(self) {
        self.set(COMPLETE, self.complete() + 1);
    }

    /// Operations of the victim that are complete.
    #[must_use]
    pub fn complete(self) -> u64 {
        self.get(COMPLETE)
    }

    /// The victim has lived to its end, after so many steps.
    pub fn lived(self, steps: u64) {
        self.set(STEPS, steps);
    }

    /// Steps of a victim that lived to its end.
    #[must_use]
    pub fn steps(self) -> Option<u64> {
        let steps = self.get(STEPS);
        (steps > 0).then_some(steps)
    }

    /// A survivor has done everything it does once more.
    pub fn round(self, survivor: usize) {
        self.set(ROUNDS + survivor, self.rounds(survivor) + 1);
    }

    /// Rounds of a survivor.
    #[must_use]
    pub fn rounds(self, survivor: usize) -> u64 {
        self.get(ROUNDS + survivor)
    }

    /// A survivor knows that its ledger says `number`.
    pub fn acknowledge(self, survivor: usize, number: u64) {
        self.set(LEDGER + survivor, number);
    }

    /// What the ledger of a survivor says at least.
    #[must_use]
    pub fn acknowledged(self, survivor: usize) -> u64 {
        self.get(LEDGER + survivor)
    }

    /// Notes how long an operation of a survivor took.
    pub fn took(self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1);
        self.0[LONGEST].fetch_max(nanos, Ordering::SeqCst);
        self.0[HISTOGRAM + bucket(nanos)].fetch_add(1, Ordering::Relaxed);
    }

    /// The longest operation of a survivor, of all deaths.
    #[must_use]
    pub fn longest(self) -> Duration {
        Duration::from_nanos(self.get(LONGEST))
    }

    /// Operations of survivors, of all deaths.
    #[must_use]
    pub fn operations(self) -> u64 {
        self.0[HISTOGRAM..].iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// The time that `share` of all operations did not exceed, to an eighth.
    #[must_use]
    pub fn quantile(self, share: f64) -> Duration {
        let all = self.operations();
        let mut seen = 0;
        for (index, count) in self.0[HISTOGRAM..].iter().enumerate() {
            seen += count.load(Ordering::Relaxed);
            #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
            if seen as f64 >= share * all as f64 {
                return Duration::from_nanos(upper_end(index));
            }
        }
        self.longest()
    }
}

fn bucket(nanos: u64) -> usize {
    let doubling = nanos.ilog2();
    let part = (nanos << 3 >> doubling) & 7;
    usize::try_from(doubling).unwrap_or(63) * FINE + usize::try_from(part).unwrap_or(0)
}

fn upper_end(bucket: usize) -> u64 {
    let doubling = bucket / FINE;
    let part = u64::try_from(bucket % FINE).unwrap_or(0);
    (9 + part) << doubling >> 3
}
