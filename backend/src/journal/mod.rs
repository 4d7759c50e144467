//! Lanes: transactions of several words, all or nothing.
//!
//! ```text
//! fence (the data) -> stage the records, validity word -> fence -> apply -> fence -> retire -> fence
//! ```
//!
//! The validity word holds a checksum of the records: it may reach the medium before them, and counts when all have. What the
//! records refer to is durable before it is stored; where that was fenced as it was written, the first fence waits for nothing.
//!
//! A lane is retired, durably, before any lock is released. So a valid lane always belongs to a transaction whose locks
//! are still held, and replaying it never meets a newer value. Replay is physical and idempotent, also when the one who
//! replays dies.

mod places;
mod store;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::{Condvar, Mutex};

use crate::error::{Error, ErrorKind, Result};
use crate::format::lane::{self, RECORDS_MAX, Record};
use crate::format::layout::{self, LANES_PER_SLOT};
use crate::pmem::{Durable, Flushed, Mistake, Region, Stored, mistake};
use crate::runtime::Runtime;
use crate::units::{BLOCK_BYTES, BLOCK_SIZE, PoolOffset};

pub(crate) use store::{Settings, Store};

/// This member's lanes.
pub(crate) struct Journal {
    runtime: Arc<Runtime>,
    /// Lanes that are not in use, a bit for each.
    idle: AtomicU32,
    /// Threads that wait for one; each counts itself before it looks for the last time.
    waiting: AtomicU32,
    /// Lanes that are not lost, idle or not.
    sound: Mutex<u32>,
    returned: Condvar,
    sequence: AtomicU32,
}

struct Lane<'a> {
    journal: &'a Journal,
    index: u32,
    lost: bool,
}

impl Journal {
    pub(crate) fn new(runtime: Arc<Runtime>) -> Journal {
        Journal {
            runtime,
            idle: AtomicU32::new((1 << LANES_PER_SLOT) - 1),
            waiting: AtomicU32::new(0),
            sound: Mutex::new(LANES_PER_SLOT),
            returned: Condvar::new(),
            sequence: AtomicU32::new(1),
        }
    }

    /// Stores all `records`, durably, as one: after a crash at any moment either all or none of them are there. What
    /// `staged` covers is durable before. The caller holds the locks of everything the records name. On an error nothing was
    /// stored, unless this member is lost from then on ([`Runtime::lose`]).
    pub(crate) fn commit(&self, records: &[Record], staged: Flushed) -> Result<Durable> {
        assert!(!records.is_empty() && records.len() <= RECORDS_MAX, "{} records", records.len());
        let region = &self.runtime.region;
        // Lost memory is found out before anything is stored: half way only a replay could go on.
        for record in records {
            region.load(record.place)?;
        }
        let (body, validity) = lane::encode(records, self.next_sequence());
        let ready = region.fence(staged)?;
        let (_lane, place, written) = self.write_body(&body)?;
        if mistake(Mistake::WithoutLane) {
            return apply(region, records, &ready);
        }
        if mistake(Mistake::AppliedBeforeValid) {
            apply(region, records, &ready)?;
        }
        let valid = region.publish(place, validity, &ready)?;
        let done = region.fence(region.flush(written.join(valid))).and_then(|valid| {
            let applied = apply(region, records, &valid)?;
            if mistake(Mistake::NeverRetired) {
                return Ok(applied);
            }
            let retired = region.publish(place, 0, &applied)?;
            region.fence(region.flush(retired))
        });
        if let Err(error) = &done {
            self.runtime.lose(error);
            self.wake();
        }
        done
    }

    /// Writes the records of a transaction to a lane whose memory is not lost.
    fn write_body(&self, body: &[u8]) -> Result<(Lane<'_>, PoolOffset, Stored)> {
        let region = &self.runtime.region;
        loop {
            let lane = self.take()?;
            let place = layout::lane(self.runtime.member.slot, lane.index);
            // The validity word too must be there: a store to it can no longer be taken back.
            let written = region.load(place).and_then(|_| region.write(place.add(8), body));
            match written {
                Ok(stored) => return Ok((lane, place, stored)),
                Err(error) if error.kind() == ErrorKind::MediaError => lane.give_up(error)?,
                Err(error) => return Err(error),
            }
        }
    }

    #[inline]
    fn take(&self) -> Result<Lane<'_>> {
        self.runtime.check_lost()?;
        match self.take_idle() {
            Some(lane) => Ok(lane),
            None => self.wait_for_lane(),
        }
    }

    /// The first lane that is idle.
    #[inline]
    fn take_idle(&self) -> Option<Lane<'_>> {
        let without_first = |idle: u32| (idle != 0).then_some(idle & idle.wrapping_sub(1));
        let before = self.idle.fetch_update(Ordering::SeqCst, Ordering::SeqCst, without_first).ok()?;
        Some(Lane { journal: self, index: before.trailing_zeros(), lost: false })
    }

    #[cold]
    fn wait_for_lane(&self) -> Result<Lane<'_>> {
        let mut sound = self.sound.lock();
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let taken = loop {
            if let Err(error) = self.runtime.check_lost() {
                break Err(error);
            }
            match self.take_idle() {
                Some(lane) => break Ok(lane),
                None => self.returned.wait(&mut sound),
            }
        };
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        taken
    }

    /// Wakes who waits for a lane. Taking the mutex lets one who has looked in vain begin to wait first.
    #[cold]
    fn wake(&self) {
        drop(self.sound.lock());
        self.returned.notify_all();
    }

    fn next_sequence(&self) -> u32 {
        loop {
            let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
            if sequence != 0 {
                return sequence;
            }
        }
    }
}

impl Lane<'_> {
    /// Takes a lane whose memory is lost out of use; the last one stays, and with it the error.
    #[cold]
    fn give_up(mut self, error: Error) -> Result<()> {
        let mut sound = self.journal.sound.lock();
        if *sound == 1 {
            drop(sound);
            return Err(error.context("the last lane of this process"));
        }
        *sound -= 1;
        drop(sound);
        self.lost = true;
        tracing::error!(%error, lane = self.index, "a lane is put out of use");
        Ok(())
    }
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        // A lane that is valid stays so until it has been replayed.
        if self.lost || self.journal.runtime.is_lost() {
            return;
        }
        self.journal.idle.fetch_or(1 << self.index, Ordering::SeqCst);
        if self.journal.waiting.load(Ordering::SeqCst) > 0 {
            self.journal.wake();
        }
    }
}

/// Replays the valid lanes of a member that died. The caller has claimed its slot. Answers how many there were.
pub(crate) fn recover(region: &Region, slot: u32) -> Result<u64> {
    let mut replayed = 0;
    for index in 0..LANES_PER_SLOT {
        let place = layout::lane(slot, index);
        if region.load(place)? == 0 {
            continue;
        }
        let mut bytes = vec![0; BLOCK_BYTES];
        region.read(place, &mut bytes)?;
        let nothing_pending = region.fence(Flushed::none())?;
        let applied = match lane::decode(&bytes) {
            Some(records) if !mistake(Mistake::NotReplayed) => {
                check(region, &records, place)?;
                replayed += 1;
                apply(region, &records, &nothing_pending)?
            }
            _ => nothing_pending,
        };
        let retired = region.publish(place, 0, &applied)?;
        region.fence(region.flush(retired))?;
    }
    Ok(replayed)
}

/// Retires the lanes of a slot whose records name what is no word of a group; answers where they are. What they were to change is left
/// as it is.
pub(crate) fn discard_impossible(region: &Region, slot: u32) -> Result<Vec<PoolOffset>> {
    let mut discarded = Vec::new();
    for index in 0..LANES_PER_SLOT {
        let place = layout::lane(slot, index);
        let mut bytes = vec![0; BLOCK_BYTES];
        region.read(place, &mut bytes)?;
        let Some(records) = lane::decode(&bytes) else { continue };
        if check(region, &records, place).is_err() {
            let ready = region.fence(Flushed::none())?;
            region.fence(region.flush(region.publish(place, 0, &ready)?))?;
            discarded.push(place);
        }
    }
    Ok(discarded)
}

fn apply(region: &Region, records: &[Record], after: &Durable) -> Result<Durable> {
    let mut flushed = Flushed::none();
    for record in records {
        flushed = flushed.join(region.flush(region.publish(record.place, record.value, after)?));
    }
    region.fence(flushed)
}

/// A record names an aligned word in a block that can hold data or a node: all inodes but the table's own, all nodes, all
/// directories and all ledgers lie in such.
fn check(region: &Region, records: &[Record], lane: PoolOffset) -> Result<()> {
    for Record { place, .. } in records {
        if place.0.saturating_add(8) > region.len() {
            // The dead member may have seen the pool grow before this one.
            region.extend()?;
        }
        if place.0 % 8 != 0 || !layout::is_allocatable(place.block(), region.len() / BLOCK_SIZE) {
            return Err(Error::corrupt("lane record", lane, "an aligned word of a block in a group", place));
        }
    }
    Ok(())
}
