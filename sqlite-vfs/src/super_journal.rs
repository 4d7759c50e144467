//! Transactions over several databases: their batches wait here, under the name of the super-journal, from FCNTL_SYNC
//! until SQLite removes that file, which is its commit point. All batches of a pool, and the removal of a super-journal
//! that lies in it, are one transaction of the pool; databases of different pools are published one pool after the other.

use crate::pools::{OpenPool, PoolRef};
use daxcow::{Batch, PerProcess};
use parking_lot::Mutex;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Names one waiting batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

struct Waiting {
    ticket: u64,
    super_journal: Vec<u8>,
    pool: PoolRef,
    batch: Batch,
}

static WAITING: PerProcess<Mutex<Vec<Waiting>>> = PerProcess::new(Mutex::default);
/// How many wait: every xDelete asks.
static COUNT: AtomicUsize = AtomicUsize::new(0);
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Leaves a complete `batch` to wait for the removal of `super_journal`.
pub(crate) fn wait(super_journal: &[u8], pool: PoolRef, batch: Batch) -> Ticket {
    let ticket = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut waiting = WAITING.get().lock();
    waiting.push(Waiting { ticket, super_journal: super_journal.to_vec(), pool, batch });
    COUNT.store(waiting.len(), Ordering::Release);
    Ticket(ticket)
}

/// Takes a batch back: the transaction is rolled back. `None` if it was published meanwhile.
pub(crate) fn take_back(ticket: &Ticket) -> Option<Batch> {
    let mut waiting = WAITING.get().lock();
    let at = waiting.iter().position(|entry| entry.ticket == ticket.0)?;
    let entry = waiting.swap_remove(at);
    COUNT.store(waiting.len(), Ordering::Release);
    Some(entry.batch)
}

/// Drops a batch, if it was not published meanwhile.
pub(crate) fn give_up(ticket: &Ticket) {
    let mut waiting = WAITING.get().lock();
    waiting.retain(|entry| entry.ticket != ticket.0);
    COUNT.store(waiting.len(), Ordering::Release);
}

/// Calls `body` with the waiting batch, or with `None` if it was published meanwhile.
pub(crate) fn peek<R>(ticket: &Ticket, body: impl FnOnce(Option<&Batch>) -> R) -> R {
    let waiting = WAITING.get().lock();
    body(waiting.iter().find(|entry| entry.ticket == ticket.0).map(|entry| &entry.batch))
}

/// Publishes what waits for `super_journal`. Where that is a real file in a pool, at `place`, the same transaction removes
/// it. Returns whether anything waited.
pub(crate) fn publish(super_journal: &[u8], place: Option<(&OpenPool, &Path)>) -> daxcow::Result<bool> {
    if COUNT.load(Ordering::Acquire) == 0 {
        return Ok(false);
    }
    let mut ready = Vec::new();
    {
        let mut waiting = WAITING.get().lock();
        ready.extend(waiting.extract_if(.., |entry| entry.super_journal == super_journal));
        COUNT.store(waiting.len(), Ordering::Release);
    }
    if ready.is_empty() {
        return Ok(false);
    }
    let is_home = |pool: &PoolRef| place.is_some_and(|(home, _)| home.pool.path() == pool.pool.path());
    // The pool of the super-journal comes last: while its file is there the transaction is not committed.
    ready.sort_by_key(|entry| (is_home(&entry.pool), entry.pool.pool.path().to_owned()));
    for group in ready.chunk_by_mut(|one, other| one.pool.pool.path() == other.pool.pool.path()) {
        let pool = Arc::clone(&group[0].pool);
        let unlink = place.filter(|_| is_home(&pool)).map(|(_, inner)| inner);
        let mut batches: Vec<&mut Batch> = group.iter_mut().map(|entry| &mut entry.batch).collect();
        pool.pool.commit_batches(&mut batches, unlink)?;
    }
    Ok(true)
}
