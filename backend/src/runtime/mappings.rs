//! Live mappings of files: which members have some, and taking rights back from them.
//!
//! ```text
//! slot + 512  lock       u32, a robust lock: one who asks at a time
//!        516  request    u32, raised with each request; futex of the member's thread
//!        520  answer     u32, the request that was answered last; futex of who asked
//!        524  refused    u32, whether that one failed
//!        528  inode      u64, its place in the pool; 0: of every file
//!        536  first, end u64 each, blocks of the file
//!        552  what       u32, protect or withdraw
//!        556  windows    u32, live mappings of the member
//! ```
//!
//! A block that is mapped for stores is reachable from its file only; a page that is mapped at all shows the file's present
//! block. Whoever is about to end one of both, under the inode's lock or behind the closed gate, asks all members
//! that an inode's mapped mask names to [`Revocation::Protect`] or to [`Revocation::Withdraw`] their pages first, and goes on when
//! all have answered. Nobody can do that for another process, so each member with live mappings has a thread that answers; it
//! takes the registry of windows and nothing else, so that it answers whatever its process is waiting for. A member that does not
//! answer in a second, because it is stopped, makes the operation Busy; a dead one is recovered, and maps nothing any more.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Runtime;
use super::member::Member;
use super::memory::Memory;
use crate::error::{Error, ErrorKind, Result};
use crate::format::inode;
use crate::format::layout::{self, SLOT_COUNT};
use crate::os::fault;
use crate::pmem::Window;
use crate::units::{BLOCK_BYTES, PoolOffset};

const LOCK: u64 = 512;
const REQUEST: u64 = 516;
const ANSWER: u64 = 520;
const REFUSED: u64 = 524;
const INODE: u64 = 528;
const FIRST: u64 = 536;
const END: u64 = 544;
const WHAT: u64 = 552;
const WINDOWS: u64 = 556;

/// How long a member has to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long the one who asked, and the member's thread, sleep before they look again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
const IDLE: Duration = Duration::from_secs(10);

/// What is taken back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Revocation {
    /// The right to store: the blocks are about to be shared.
    Protect,
    /// All of it: other blocks are about to take their place.
    Withdraw,
}

/// A window on a file, live: it shows what the file holds.
struct Live {
    inode: PoolOffset,
    /// The file block of its first byte.
    first: u64,
    window: Arc<Window>,
}

impl Live {
    fn revoke(&self, what: Revocation, blocks: &Range<u64>) -> Result<()> {
        let at = |block: u64| {
            let bytes = block.saturating_sub(self.first).saturating_mul(BLOCK_BYTES as u64);
            usize::try_from(bytes).unwrap_or(usize::MAX).min(self.window.len())
        };
        let range = at(blocks.start)..at(blocks.end);
        match what {
            _ if range.is_empty() => Ok(()),
            Revocation::Protect => self.window.protect(range),
            Revocation::Withdraw => self.window.withdraw(range),
        }
    }
}

/// The live windows of this member, and the thread that answers for them.
#[derive(Default)]
pub(crate) struct Mappings {
    windows: Mutex<Vec<Live>>,
    /// Locked before `windows`.
    answerer: Mutex<Option<Answerer>>,
}

struct Answerer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

const fn word(slot: u32, at: u64) -> PoolOffset {
    layout::slot(slot).add(at)
}

fn mask(inode: PoolOffset, slot: u32) -> (PoolOffset, u64) {
    (inode::field(inode, inode::at::MAPPED_MASK + u64::from(slot / 64) * 8), 1 << (slot % 64))
}

impl Runtime {
    /// Makes `window`, whose first byte is block `first` of the file at `inode`, a live one. The inode is locked.
    pub(crate) fn map_live(
        self: &Arc<Self>,
        inode: PoolOffset,
        first: u64,
        window: &Arc<Window>,
    ) -> Result<()> {
        let mut answerer = self.mappings.answerer.lock();
        if answerer.is_none() {
            *answerer = Some(Answerer::start(self)?);
        }
        let mut windows = self.mappings.windows.lock();
        let (place, bit) = mask(inode, self.member.slot);
        self.region.or_u64(place, bit)?;
        windows.push(Live { inode, first, window: window.clone() });
        self.count_windows(windows.len())
    }

    fn count_windows(&self, count: usize) -> Result<()> {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.region.store_u32(word(self.member.slot, WINDOWS), count)
    }

    /// Ends a live window.
    pub(crate) fn unmap_live(&self, inode: PoolOffset, window: &Arc<Window>) -> Result<()> {
        let mut answerer = self.mappings.answerer.lock();
        let (last, cleared) = {
            let mut windows = self.mappings.windows.lock();
            windows.retain(|live| !Arc::ptr_eq(&live.window, window));
            let cleared = if windows.iter().any(|live| live.inode == inode) {
                Ok(())
            } else {
                let (place, bit) = mask(inode, self.member.slot);
                self.region.and_u64(place, !bit).map(drop)
            };
            (windows.is_empty(), cleared.and(self.count_windows(windows.len())))
        };
        if let Some(answerer) = answerer.take_if(|_| last) {
            answerer.stop(self);
        }
        cleared
    }

    /// Notes that the dead member of `slot` maps the file at `inode` no more.
    pub(crate) fn forget_mapper(&self, inode: PoolOffset, slot: u32) -> Result<()> {
        let (place, bit) = mask(inode, slot);
        self.region.and_u64(place, !bit).map(drop)
    }

    /// Whether any member maps the file at `inode` live.
    pub(crate) fn is_mapped(&self, inode: PoolOffset) -> Result<bool> {
        Ok(self.mapped_by(inode)?.iter().any(|&word| word != 0))
    }

    fn mapped_by(&self, inode: PoolOffset) -> Result<[u64; 4]> {
        let mut words = [0; 4];
        for (word, at) in words.iter_mut().zip((inode::at::MAPPED_MASK..).step_by(8)) {
            *word = self.region.load(inode::field(inode, at))?;
        }
        Ok(words)
    }

    /// The live members that map the file at `inode`; dead ones are recovered on the way.
    pub(crate) fn mappers(&self, inode: PoolOffset) -> Result<Vec<Member>> {
        let mut found = self.marked(inode)?;
        for index in (0..found.len()).rev() {
            let Member { slot, generation } = found[index];
            if self.recover_if_dead(slot, generation)? {
                found.remove(index);
            }
        }
        Ok(found)
    }

    /// The members, alive or not, that the inode's mask names.
    fn marked(&self, inode: PoolOffset) -> Result<Vec<Member>> {
        let mut found = Vec::new();
        for (words, first) in self.mapped_by(inode)?.into_iter().zip((0..SLOT_COUNT).step_by(64)) {
            for slot in (first..first + 64).filter(|slot| words >> (slot - first) & 1 != 0) {
                found.push(Member { slot, generation: self.slot_generation(slot)? });
            }
        }
        Ok(found)
    }

    /// Takes rights to `blocks` of the file at `inode` back from all members. When it returns, no access of the kind that was
    /// taken back is under way or can begin before the caller lets go of the inode's lock, or opens the gate.
    ///
    /// # Errors
    /// `Busy`, naming it, where a member does not answer. Some pages may have been taken away then, which does no harm.
    #[inline]
    pub(crate) fn revoke(&self, inode: PoolOffset, what: Revocation, blocks: Range<u64>) -> Result<()> {
        if self.is_mapped(inode)? { self.revoke_mapped(inode, what, &blocks) } else { Ok(()) }
    }

    #[cold]
    fn revoke_mapped(&self, inode: PoolOffset, what: Revocation, blocks: &Range<u64>) -> Result<()> {
        for member in self.marked(inode)? {
            if member.slot == self.member.slot {
                self.revoke_own(inode, what, blocks)?;
            } else {
                self.request(member, inode, what, blocks)?;
            }
        }
        Ok(())
    }

    /// Withdraws every page of every live mapping of all members. The gate is closed.
    pub(crate) fn withdraw_everything(&self) -> Result<()> {
        let everything = 0..u64::MAX;
        for slot in 0..SLOT_COUNT {
            if !self.slot_in_use(slot)? || self.region.load_u32(word(slot, WINDOWS))? == 0 {
                continue;
            }
            let member = Member { slot, generation: self.slot_generation(slot)? };
            if slot == self.member.slot {
                self.revoke_own(PoolOffset(0), Revocation::Withdraw, &everything)?;
            } else {
                self.request(member, PoolOffset(0), Revocation::Withdraw, &everything)?;
            }
        }
        Ok(())
    }

    fn revoke_own(&self, inode: PoolOffset, what: Revocation, blocks: &Range<u64>) -> Result<()> {
        let windows = self.mappings.windows.lock();
        let meant = windows.iter().filter(|live| inode == PoolOffset(0) || live.inode == inode);
        meant.map(|live| live.revoke(what, blocks)).fold(Ok(()), Result::and)
    }

    /// Has another member revoke, and waits for its answer.
    fn request(
        &self,
        member: Member,
        inode: PoolOffset,
        what: Revocation,
        blocks: &Range<u64>,
    ) -> Result<()> {
        let Member { slot, generation } = member;
        let region = &self.region;
        let started = Instant::now();
        let _one = self.lock_within(word(slot, LOCK), PATIENCE)?;
        let number = region.load_u32(word(slot, REQUEST))?.wrapping_add(1);
        region.store_u64(word(slot, INODE), inode.0)?;
        region.store_u64(word(slot, FIRST), blocks.start)?;
        region.store_u64(word(slot, END), blocks.end)?;
        region.store_u32(word(slot, WHAT), (what == Revocation::Withdraw).into())?;
        region.store_u32(word(slot, REQUEST), number)?;
        region.futex_wake(word(slot, REQUEST), 1)?;
        loop {
            let answer = region.load_u32(word(slot, ANSWER))?;
            if answer == number {
                break;
            }
            // With its last mapping a member's thread ends, and what it was asked for has come true.
            if region.load_u32(word(slot, WINDOWS))? == 0
                || !self.is_current(member)?
                || self.recover_if_dead(slot, generation)?
            {
                return Ok(());
            }
            if started.elapsed() > PATIENCE {
                let who = self.describe(member);
                let message = format!("{who} maps the file and has not answered for {PATIENCE:?}");
                return Err(Error::new(ErrorKind::Busy, message));
            }
            region.futex_wait(word(slot, ANSWER), answer, LOOK_AGAIN)?;
        }
        if region.load_u32(word(slot, REFUSED))? == 0 {
            return Ok(());
        }
        let who = self.describe(member);
        Err(Error::new(ErrorKind::Io, format!("{who} could not take pages of a mapping away")))
    }

    /// Answers the present request, if there is one; false if there is none.
    fn answer(&self) -> Result<bool> {
        let region = &self.region;
        let own = |at| word(self.member.slot, at);
        let number = region.load_u32(own(REQUEST))?;
        if number == region.load_u32(own(ANSWER))? {
            return Ok(false);
        }
        let inode = PoolOffset(region.load(own(INODE))?);
        let blocks = region.load(own(FIRST))?..region.load(own(END))?;
        let what = match region.load_u32(own(WHAT))? {
            0 => Revocation::Protect,
            _ => Revocation::Withdraw,
        };
        let revoked = self.revoke_own(inode, what, &blocks);
        region.store_u32(own(REFUSED), revoked.is_err().into())?;
        // Who asked may have died and another have asked meanwhile: that one has a number of its own.
        region.store_u32(own(ANSWER), number)?;
        region.futex_wake(own(ANSWER), u32::MAX)?;
        Ok(true)
    }
}

/// Makes the words of a slot that was just taken new.
pub(super) fn reset_mappings(region: &impl Memory, slot: u32) -> Result<()> {
    for at in (LOCK..=WINDOWS).step_by(8) {
        region.store_u64(word(slot, at), 0)?;
    }
    Ok(())
}

impl Answerer {
    fn start(runtime: &Arc<Runtime>) -> Result<Answerer> {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, weak) = (stop.clone(), Arc::downgrade(runtime));
        let thread = std::thread::Builder::new()
            .name("daxcow-protect".to_owned())
            .spawn(move || Answerer::run(&weak, &stopped))
            .map_err(|error| Error::os("start a thread that answers for mappings", error))?;
        Ok(Answerer { stop, thread })
    }

    fn run(runtime: &Weak<Runtime>, stop: &AtomicBool) {
        fault::block_signals();
        let _silent = tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::default());
        while let Some(runtime) = runtime.upgrade().filter(|_| !stop.load(Ordering::SeqCst)) {
            let place = word(runtime.member.slot, REQUEST);
            let waited = runtime.region.load_u32(place).and_then(|number| {
                if runtime.answer()? || stop.load(Ordering::SeqCst) {
                    return Ok(());
                }
                runtime.region.futex_wait(place, number, IDLE)
            });
            // The memory of the pool is lost: there is nobody left to answer.
            if waited.is_err() {
                return;
            }
        }
    }

    /// Ends the thread. Its slot may be another's afterwards.
    fn stop(self, runtime: &Runtime) {
        self.stop.store(true, Ordering::SeqCst);
        if runtime.region.check_fork().is_err() {
            // The thread is the parent's.
            return;
        }
        let request = word(runtime.member.slot, REQUEST);
        while !self.thread.is_finished() {
            if runtime.region.futex_wake(request, 1).is_err() {
                break;
            }
            std::thread::yield_now();
        }
        if self.thread.join().is_err() {
            tracing::error!("the thread that answers for mappings has panicked");
        }
    }
}
