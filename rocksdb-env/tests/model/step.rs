//! The steps of a run, as data: what a seed makes of them never changes.

use daxcow_tests::rng::{Rng, pattern};

/// Keys are numbers below this: few enough that they meet again.
const KEYS: u64 = 600;
/// Families beside the default one.
const FAMILIES_MAX: usize = 3;
const SNAPSHOTS_MAX: usize = 3;

/// What a write changes in one family, by its place among those there are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    Put(usize, Vec<u8>, Vec<u8>),
    Merge(usize, Vec<u8>, Vec<u8>),
    Delete(usize, Vec<u8>),
    DeleteRange(usize, Vec<u8>, Vec<u8>),
}

/// What is done to both databases at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// One write batch.
    Write {
        changes: Vec<Change>,
        sync: bool,
    },
    /// Point reads.
    Read(usize, Vec<Vec<u8>>),
    /// An iterator from a key on, some pairs forward or back, and some the other way.
    Walk {
        family: usize,
        from: Vec<u8>,
        forward: bool,
        pairs: usize,
        turned: usize,
    },
    /// A snapshot of RocksDB's and an iterator are held over changes and a flush.
    Hold {
        family: usize,
        changes: Vec<Change>,
    },
    Flush(usize),
    Compact(usize, Vec<u8>, Vec<u8>),
    Ingest(usize, Vec<(Vec<u8>, Vec<u8>)>),
    Reopen,
    CreateFamily(String),
    DropFamily(usize),
    /// RocksDB's own, opened and removed.
    Checkpoint,
    /// Of the pool, opened read-only in place.
    Snapshot(String),
    /// A clone of a snapshot, or without a name of the live database, written to and removed.
    Clone {
        snapshot: Option<String>,
        changes: Vec<Change>,
    },
    /// The database is closed and put back.
    Rollback(String),
    DropSnapshot(String),
}

/// Makes up steps, and knows which families and snapshots there are.
pub(crate) struct Steps {
    rng: Rng,
    /// All but the default one, which is number 0.
    families: usize,
    snapshots: Vec<(String, usize)>,
    made: u64,
}

fn key(number: u64) -> Vec<u8> {
    format!("key {number:04}").into_bytes()
}

impl Steps {
    pub(crate) fn new(rng: Rng) -> Steps {
        Steps { rng, families: 0, snapshots: Vec::new(), made: 0 }
    }

    pub(crate) fn next(&mut self) -> Step {
        self.made += 1;
        loop {
            if let Some(step) = self.try_next() {
                return step;
            }
        }
    }

    fn try_next(&mut self) -> Option<Step> {
        let name = format!("{}", self.made);
        let family = self.rng.index(self.families + 1);
        Some(match self.rng.weighted(&[60, 10, 10, 4, 4, 3, 2, 3, 1, 1, 1, 2, 2, 1, 1]) {
            0 => Step::Write { changes: self.changes(), sync: self.rng.one_in(4) },
            1 => {
                let keys = (0..=self.rng.below(20)).map(|_| self.key()).collect();
                Step::Read(family, keys)
            }
            2 => Step::Walk {
                family,
                from: self.key(),
                forward: self.rng.one_in(2),
                pairs: self.rng.index(60),
                turned: self.rng.index(30),
            },
            3 => Step::Hold { family, changes: self.changes() },
            4 => Step::Flush(family),
            5 => {
                let (from, to) = self.range(KEYS);
                Step::Compact(family, from, to)
            }
            6 => {
                let first = self.rng.below(KEYS);
                let pairs = (first..=first + self.rng.below(30)).map(|number| (key(number), self.value()));
                Step::Ingest(family, pairs.collect())
            }
            7 => Step::Reopen,
            8 if self.families < FAMILIES_MAX => {
                self.families += 1;
                Step::CreateFamily(name)
            }
            9 if family > 0 => {
                self.families -= 1;
                Step::DropFamily(family)
            }
            10 => Step::Checkpoint,
            11 if self.snapshots.len() < SNAPSHOTS_MAX => {
                self.snapshots.push((name.clone(), self.families));
                Step::Snapshot(name)
            }
            12 => {
                // A change names a family by its place; a snapshot may have fewer.
                let snapshot = self.snapshot().filter(|&(_, families)| families == self.families);
                Step::Clone { snapshot: snapshot.map(|(name, _)| name), changes: self.changes() }
            }
            13 => {
                let (name, families) = self.snapshot()?;
                self.families = families;
                Step::Rollback(name)
            }
            14 => {
                let (name, _) = self.snapshot()?;
                self.snapshots.retain(|(known, _)| *known != name);
                Step::DropSnapshot(name)
            }
            _ => return None,
        })
    }

    fn snapshot(&mut self) -> Option<(String, usize)> {
        (!self.snapshots.is_empty()).then(|| self.rng.pick(&self.snapshots).clone())
    }

    fn changes(&mut self) -> Vec<Change> {
        let count = if self.rng.one_in(3) { self.rng.below(40) } else { 0 };
        (0..=count).map(|_| self.change()).collect()
    }

    fn change(&mut self) -> Change {
        let family = self.rng.index(self.families + 1);
        match self.rng.weighted(&[12, 3, 4, 1]) {
            0 => Change::Put(family, self.key(), self.value()),
            1 => {
                let more = self.rng.index(50);
                Change::Merge(family, self.key(), pattern(self.rng.word(), more))
            }
            2 => Change::Delete(family, self.key()),
            _ => {
                let (from, to) = self.range(40);
                Change::DeleteRange(family, from, to)
            }
        }
    }

    fn key(&mut self) -> Vec<u8> {
        key(self.rng.below(KEYS))
    }

    fn range(&mut self, most: u64) -> (Vec<u8>, Vec<u8>) {
        let from = self.rng.below(KEYS);
        (key(from), key(from + self.rng.below(most)))
    }

    fn value(&mut self) -> Vec<u8> {
        let most = *self.rng.pick(&[10, 200, 200, 2000, 2000, 30_000]);
        let len = self.rng.index(most);
        pattern(self.rng.word(), len)
    }
}
