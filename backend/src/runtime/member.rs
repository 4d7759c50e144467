//! Member slots: one for each process that has the pool open for writing.
//!
//! ```text
//!    0  state        generation 32, used 32
//!    8  pid
//!   16  since        monotonic nanoseconds
//!   24  name         16 bytes
//!   40  ledger       first block of the references that die with the member
//!  512  mappings     see `mappings`
//! 1024  marks        16 cache lines, for the cut gate: operations in flight, and after 8 bytes how far long ones are
//! ```
//!
//! Whether a member lives is asked of the lock on its slot's byte and of nothing else: a PID may be reused or belong to
//! another namespace. The generation is raised when the slot is left or recovered, so that a lock word that still names
//! it is recognised as free.

use super::mappings::reset_mappings;
use super::memory::{ByteLocks, Memory};
use super::{Runtime, at};
use crate::error::{Error, ErrorKind, Result};
use crate::format::layout::{self, SLOT_COUNT};
use crate::os::process;
use crate::pmem::Region;
use crate::units::PoolOffset;

/// The byte locked while somebody opens or closes the pool.
pub(crate) const OPENING_BYTE: u64 = 1 << 62;
/// The byte every member locks shared, and the first and the last one alone.
pub(crate) const MEMBERS_BYTE: u64 = OPENING_BYTE + 1;
const SLOT_BYTES: u64 = OPENING_BYTE + 1024;

/// Words of marks in a slot.
pub(crate) const MARK_STRIPES: u32 = 16;
/// Generations are 23 bits wide in a lock word.
const GENERATION_MAX: u32 = (1 << 23) - 1;

const STATE: u64 = 0;
const PID: u64 = 8;
const SINCE: u64 = 16;
const NAME: u64 = 24;
const NAME_BYTES: usize = 16;
pub(crate) const LEDGER: u64 = 40;
const MARKS: u64 = 1024;
pub(super) const USED: u64 = 1;

/// The byte that the member of `slot` keeps locked while it lives.
pub(crate) const fn slot_byte(slot: u32) -> u64 {
    SLOT_BYTES + slot as u64
}

/// This process's place among the members.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Member {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl Member {
    /// The owner part of a lock word: slot 8 bits, generation 23 bits; the top bit is left for waiters.
    pub(crate) const fn word(self) -> u32 {
        self.generation << 8 | self.slot
    }

    /// The member that a lock word names.
    pub(crate) const fn of_word(word: u32) -> Member {
        Member { slot: word & 0xff, generation: word >> 8 & GENERATION_MAX }
    }
}

/// What a slot says of its member.
#[derive(Clone, Debug)]
pub(crate) struct MemberRecord {
    pub(crate) member: Member,
    pub(crate) pid: u32,
    pub(crate) since_ns: u64,
    pub(crate) name: String,
}

/// A slot whose byte this process has locked, and what it met on the way there.
pub(crate) struct Claim {
    /// What this process will be once it has occupied the slot.
    pub(crate) member: Member,
    /// The member that died in the slot: it is to be recovered before the slot is occupied.
    pub(crate) predecessor: Option<Member>,
    /// Those that died in other slots.
    pub(crate) dead: Vec<Member>,
}

/// Locks the byte of a slot that no living member has: a free one, or where there is none that of a dead member. Called under
/// the opening byte.
pub(crate) fn claim_slot(region: &impl Memory, lock_file: &impl ByteLocks) -> Result<Claim> {
    let mut free = None;
    let mut dead = Vec::new();
    for slot in 0..SLOT_COUNT {
        let state = region.load(field(slot, STATE))?;
        let used = state & 0xffff_ffff == USED;
        if !used && free.is_some() || !lock_file.try_exclusive(slot_byte(slot))? {
            continue;
        }
        if used {
            dead.push(Member { slot, generation: current_generation(state) });
            lock_file.unlock(slot_byte(slot))?;
        } else {
            free = Some(Member { slot, generation: next_generation(state) });
        }
    }
    if let Some(member) = free {
        return Ok(Claim { member, predecessor: None, dead });
    }
    while let Some(last) = dead.pop() {
        // Another member may be recovering it at this moment.
        if lock_file.try_exclusive(slot_byte(last.slot))? {
            let state = region.load(field(last.slot, STATE))?;
            let member = Member { slot: last.slot, generation: next_generation(state) };
            let predecessor = (state & 0xffff_ffff == USED).then_some(last);
            return Ok(Claim { member, predecessor, dead });
        }
    }
    Err(Error::new(ErrorKind::Busy, format!("all {SLOT_COUNT} member slots of the pool are in use")))
}

/// Fills the slot of `member`, whose byte the caller has locked.
pub(crate) fn occupy(region: &impl Memory, member: Member) -> Result<()> {
    let Member { slot, generation } = member;
    let mut name = [0; NAME_BYTES];
    let own = process::name();
    let length = own.len().min(NAME_BYTES);
    name[..length].copy_from_slice(&own.as_bytes()[..length]);
    region.store_u64(field(slot, PID), process::pid().into())?;
    region.store_u64(field(slot, SINCE), process::monotonic_ns())?;
    for (index, word) in name.chunks_exact(8).enumerate() {
        let word = u64::from_le_bytes(word.try_into().unwrap_or_default());
        region.store_u64(field(slot, NAME + 8 * index as u64), word)?;
    }
    region.store_u64(field(slot, LEDGER), 0)?;
    reset_mappings(region, slot)?;
    for stripe in 0..MARK_STRIPES {
        region.store_u64(mark(slot, stripe), 0)?;
    }
    region.store_u64(field(slot, STATE), u64::from(generation) << 32 | USED)
}

/// Makes this process the only member of a private view of a pool.
pub(crate) fn private_member(region: &Region) -> Result<Member> {
    let member = Member { slot: 0, generation: 1 };
    region.store_u64(field(member.slot, STATE), u64::from(member.generation) << 32 | USED)?;
    Ok(member)
}

/// Whether any slot is in use, by a member living or dead.
pub(crate) fn any_slot_in_use(region: &Region) -> Result<bool> {
    for slot in 0..SLOT_COUNT {
        if region.load(field(slot, STATE))? & 0xffff_ffff == USED {
            return Ok(true);
        }
    }
    Ok(false)
}

const fn field(slot: u32, at: u64) -> PoolOffset {
    layout::slot(slot).add(at)
}

/// The word that says whether `slot` is in use, and at which generation.
#[cfg(test)]
pub(super) const fn state(slot: u32) -> PoolOffset {
    field(slot, STATE)
}

/// The counter beside a word of marks, which long operations raise while they are at work.
pub(super) const fn progress_of(mark: PoolOffset) -> PoolOffset {
    mark.add(8)
}

/// The word of marks of `slot` for one stripe of threads.
pub(crate) const fn mark(slot: u32, stripe: u32) -> PoolOffset {
    layout::slot(slot).add(MARKS + 64 * stripe as u64)
}

fn current_generation(state: u64) -> u32 {
    u32::try_from(state >> 32).unwrap_or(0)
}

fn next_generation(state: u64) -> u32 {
    let next = current_generation(state).wrapping_add(1) & GENERATION_MAX;
    if next == 0 { 1 } else { next }
}

impl Runtime {
    /// The head of a slot's ledger.
    pub(crate) const fn ledger_head(slot: u32) -> PoolOffset {
        field(slot, LEDGER)
    }
}

impl<M: Memory, L: ByteLocks> Runtime<M, L> {
    /// The generation of `slot`, whether in use or not.
    pub(crate) fn slot_generation(&self, slot: u32) -> Result<u32> {
        Ok(current_generation(self.region.load(field(slot, STATE))?))
    }

    /// Whether `slot` is in use.
    pub(crate) fn slot_in_use(&self, slot: u32) -> Result<bool> {
        Ok(self.region.load(field(slot, STATE))? & 0xffff_ffff == USED)
    }

    /// Whether the member that a lock word names may still be the one in its slot.
    pub(crate) fn is_current(&self, member: Member) -> Result<bool> {
        Ok(self.region.load(field(member.slot, STATE))? == u64::from(member.generation) << 32 | USED)
    }

    /// Ends the membership at `slot` and `generation`: from here on its lock words are free to take.
    pub(crate) fn free_slot(&self, slot: u32, generation: u32) -> Result<()> {
        let used = u64::from(generation) << 32 | USED;
        let next = u64::from(next_generation(used)) << 32;
        self.region.store_u64(field(slot, STATE), next)
    }

    /// All slots in use.
    pub(crate) fn members(&self) -> Result<Vec<MemberRecord>> {
        let mut members = Vec::new();
        for slot in 0..SLOT_COUNT {
            let state = self.region.load(field(slot, STATE))?;
            if state & 0xffff_ffff != USED {
                continue;
            }
            let mut name = Vec::new();
            for index in 0..NAME_BYTES as u64 / 8 {
                name.extend(self.region.load(field(slot, NAME + 8 * index))?.to_le_bytes());
            }
            let name: Vec<u8> = name.into_iter().take_while(|&byte| byte != 0).collect();
            members.push(MemberRecord {
                member: Member { slot, generation: current_generation(state) },
                pid: u32::try_from(self.region.load(field(slot, PID))?).unwrap_or(0),
                since_ns: self.region.load(field(slot, SINCE))?,
                name: String::from_utf8_lossy(&name).into_owned(),
            });
        }
        Ok(members)
    }

    /// Whether the member lives: it is this one, or the byte of its slot is locked.
    pub(crate) fn is_alive(&self, member: Member) -> Result<bool> {
        if member.slot == self.member.slot {
            return Ok(member.generation == self.member.generation);
        }
        Ok(self.is_current(member)? && self.lock_file.is_locked(slot_byte(member.slot))?)
    }

    /// A description of a member for messages: `pid 12 (name)`, and whether it is stopped.
    pub(crate) fn describe(&self, member: Member) -> String {
        let record =
            self.members().ok().and_then(|all| all.into_iter().find(|record| record.member == member));
        match record {
            Some(record) if process::is_stopped(record.pid) => {
                format!("pid {} ({}), which is stopped,", record.pid, record.name)
            }
            Some(record) => format!("pid {} ({})", record.pid, record.name),
            None => format!("the former member of slot {}", member.slot),
        }
    }

    /// Says that something was left over, a count too high or an inode without a name: the pool is not closed as clean, and the
    /// next to open it counts anew.
    #[cold]
    pub(crate) fn leave_doubt(&self) {
        if let Err(error) = self.region.add_u64(at::DEATHS, 1) {
            tracing::error!(%error, "what was left over may be found by a check only");
        }
    }

    /// Members that died in this epoch, and other doubts.
    pub(crate) fn deaths(&self) -> Result<u64> {
        self.region.load(at::DEATHS)
    }
}
