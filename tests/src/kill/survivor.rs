//! What the survivors do: work on the victim's files and on their own, again and again, and time every operation.
//!
//! A survivor leaves the contents of the victim's files alone, so that the model says what they are; it reads and clones
//! them and locks them. Its own directory is `/sN`, with a ledger whose number is acknowledged after each write of it.

use std::path::Path;
use std::time::Instant;

use daxcow::{ErrorKind, File, FileOptions, LockMode, OpenOptions, Pool};

use super::shared::Shared;
use crate::fixture;

/// Files that the victim works on.
const VICTIMS: [&str; 2] = ["/own", "/shared"];
/// An advisory lock that the victim does not use.
const LOCK: u8 = 6;

/// One survivor.
pub struct Survivor {
    shared: Shared,
    index: usize,
    pool: Pool,
    /// The victim may replace everything, also what this survivor has made.
    careful: bool,
    number: u64,
}

/// The directory of a survivor.
#[must_use]
pub fn directory(index: usize) -> String {
    format!("/s{index}")
}

/// The ledger of a survivor.
#[must_use]
pub fn ledger(index: usize) -> String {
    format!("/s{index}/ledger")
}

/// Works until it is told to stop.
///
/// # Errors
/// What went wrong, as a sentence.
pub fn run(path: &Path, shared: Shared, index: usize, careful: bool) -> Result<(), String> {
    let pool = Pool::open(path, &OpenOptions::new()).map_err(|error| format!("opening: {error:?}"))?;
    let mut survivor = Survivor { shared, index, pool, careful, number: 0 };
    if !careful {
        let made = survivor.pool.create_dir(directory(index));
        made.map_err(|error| format!("making its directory: {error:?}"))?;
        fixture::put(&survivor.pool, &ledger(index), &[0; 8]);
    }
    while !shared.stopped() {
        survivor.round()?;
        shared.round(index);
    }
    survivor.pool.close().map_err(|error| format!("closing: {error:?}"))
}

impl Survivor {
    /// Everything once.
    fn round(&mut self) -> Result<(), String> {
        self.number += 1;
        let (index, number) = (self.index, self.number);
        let own = directory(index);
        for path in VICTIMS {
            self.timed("reading the victim's file", |pool| {
                let file = pool.open_file(path, &FileOptions::new().read(true))?;
                file.read_at(&mut [0; 9000], 0).map(drop)
            })?;
            self.timed("locking the victim's file", |pool| lock(&writable(pool, path)?))?;
            self.timed("viewing the victim's file", |pool| writable(pool, path)?.view(0, 4096).map(drop))?;
        }
        if self.careful {
            self.timed("making a directory", |pool| pool.create_dir(&own))?;
            return self.timed("removing a directory", |pool| pool.remove_dir(&own));
        }
        self.timed("writing the ledger", |pool| {
            writable(pool, &ledger(index))?.write_at(&number.to_le_bytes(), 0)
        })?;
        self.shared.acknowledge(index, number);
        let made = format!("{own}/made");
        self.timed("creating", |pool| {
            let options = FileOptions::new().write(true).create(true);
            pool.open_file(&made, &options)?.append(&[1; 6000]).map(drop)
        })?;
        self.timed("committing a batch", |pool| {
            let mut batch = writable(pool, &made)?.batch()?;
            batch.write_at(&[2; 5000], 3000)?;
            batch.commit()
        })?;
        let copy = format!("{own}/copy");
        self.timed("cloning the victim's file", |pool| pool.clone_tree(VICTIMS[1], &copy))?;
        let name = format!("of-{index}");
        self.timed("taking a snapshot", |pool| pool.create_snapshot(&name, &[&own]).map(drop))?;
        self.timed("deleting a snapshot", |pool| pool.delete_snapshot(&name))?;
        self.timed("removing the clone", |pool| pool.remove_file(&copy))?;
        self.timed("removing", |pool| pool.remove_file(&made))
    }

    /// Runs an operation; that the victim has moved its files out of the way is no failure.
    fn timed(&self, what: &str, act: impl FnOnce(&Pool) -> daxcow::Result<()>) -> Result<(), String> {
        let start = Instant::now();
        let done = act(&self.pool);
        self.shared.took(start.elapsed());
        match done {
            Err(error) if !self.is_excused(what, error.kind()) => Err(format!("{what}: {error:?}")),
            _ => Ok(()),
        }
    }

    fn is_excused(&self, what: &str, kind: ErrorKind) -> bool {
        let gone = matches!(kind, ErrorKind::NotFound | ErrorKind::Stale);
        let theirs = what.contains("victim") || what == "removing the clone";
        gone && (theirs || self.careful) || self.careful && kind == ErrorKind::AlreadyExists
    }
}

fn writable(pool: &Pool, path: &str) -> daxcow::Result<File> {
    pool.open_file(path, &FileOptions::new().read(true).write(true))
}

fn lock(file: &File) -> daxcow::Result<()> {
    if file.try_lock(LOCK, LockMode::Exclusive)? {
        file.unlock(LOCK)?;
    }
    Ok(())
}
