//! What a pool is, and who has it open.

use std::path::PathBuf;
use std::time::Duration;

use super::open::{Opening, RecoveryInfo};
use super::recover::for_each_inode;
use super::superblocks;
use super::usage::{SpaceUsage, usage};
use crate::error::{ErrorKind, Result};
use crate::format::inode::{SNAPSHOT_DIRECTORY, at as field_at};
use crate::format::layout::SLOT_COUNT;
use crate::format::superblock::VERSION;
use crate::inode::Core;
use crate::inode::open::mask_bit;
use crate::inode::table::Table;
use crate::namespace::directory::{self, Directory};
use crate::os::process;
use crate::pmem::Access;
use crate::pmem::medium::Durability;
use crate::runtime::at;
use crate::runtime::member::MemberRecord;
use crate::units::BLOCK_SIZE;

/// What a pool is, how it was found and who has it open.
#[derive(Clone, Debug)]
pub struct PoolInfo {
    /// The pool's own id, as UUIDs are written.
    pub uuid: String,
    /// The host path it was opened by.
    pub path: PathBuf,
    /// Its size, the header included.
    pub size_bytes: u64,
    /// The version of its format.
    pub format_version: u32,
    /// Features that any version may ignore.
    pub features_compat: u64,
    /// Features without which a version may only read.
    pub features_ro_compat: u64,
    /// Features without which a version may not open it.
    pub features_incompat: u64,
    /// What it lies on and what that survives.
    pub durability: Durability,
    /// How much of it is used.
    pub usage: SpaceUsage,
    /// Whether it had been closed by its last member, or others had it open, when this process opened it.
    pub clean_at_open: bool,
    /// What this process recovered when it opened it.
    pub recovered: Option<RecoveryInfo>,
    /// Why nothing can be changed until all members have closed the pool, if a sync has failed in one of them.
    pub read_only_since: Option<String>,
    /// Who has it open for writing; nobody where this process has it open for reading only.
    pub members: Vec<MemberInfo>,
    /// Its snapshots; nothing while a member stands still in the middle of making or removing one, as a stopped one may.
    pub snapshots: Option<u64>,
}

/// A process that has a pool open for writing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberInfo {
    /// Its slot, 0 to 255.
    pub slot: u32,
    /// Its process id, in its own PID namespace.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// Seconds since it opened the pool.
    pub since_seconds: u64,
    /// It is this process.
    pub this: bool,
    /// It lives; a dead member is recovered by whoever first waits for it.
    pub alive: bool,
    /// It is stopped, by a signal or a debugger.
    pub stopped: bool,
    /// What it holds: locks, open files.
    pub holds: Vec<String>,
}

/// What the pool is.
pub(crate) fn info(core: &Core, opening: &Opening) -> Result<PoolInfo> {
    let region = &core.store.runtime.region;
    let superblock = superblocks::read(region)?;
    Ok(PoolInfo {
        uuid: uuid_text(&superblock.uuid),
        path: region.path().to_owned(),
        size_bytes: superblock.pool_blocks * BLOCK_SIZE,
        format_version: VERSION,
        features_compat: superblock.compat,
        features_ro_compat: superblock.ro_compat,
        features_incompat: superblock.incompat,
        durability: region.durability().clone(),
        usage: usage(core)?,
        clean_at_open: opening.clean,
        recovered: opening.recovery,
        read_only_since: region.failed().map(|error| error.to_string()),
        members: members(core)?,
        snapshots: snapshots(core)?,
    })
}

/// Who asks what a pool is may want to know whom others wait for, and does not wait long himself.
const SNAPSHOTS_WITHIN: Duration = Duration::from_millis(100);

fn snapshots(core: &Core) -> Result<Option<u64>> {
    let inode = Table::get(&core.store, SNAPSHOT_DIRECTORY)?;
    let directory = Directory { inode, generation: inode.kind(&core.store)?.generation };
    match directory::count_within(&core.store, &directory, SNAPSHOTS_WITHIN) {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == ErrorKind::Busy => Ok(None),
        Err(error) => Err(error),
    }
}

fn members(core: &Core) -> Result<Vec<MemberInfo>> {
    let runtime = &core.store.runtime;
    if runtime.region.access() != Access::ReadWrite {
        return Ok(vec![]);
    }
    let mut holds = held_by_slot(core)?;
    let now = process::monotonic_ns();
    let describe = |record: MemberRecord| {
        let slot = usize::try_from(record.member.slot).unwrap_or(0);
        Ok(MemberInfo {
            slot: record.member.slot,
            pid: record.pid,
            name: record.name,
            since_seconds: now.saturating_sub(record.since_ns) / 1_000_000_000,
            this: record.member == runtime.member,
            alive: runtime.is_alive(record.member)?,
            stopped: process::is_stopped(record.pid),
            holds: holds.get_mut(slot).map(std::mem::take).unwrap_or_default(),
        })
    };
    runtime.members()?.into_iter().map(describe).collect()
}

/// What the members hold, by slot.
fn held_by_slot(core: &Core) -> Result<Vec<Vec<String>>> {
    let (store, runtime) = (&core.store, &core.store.runtime);
    let mut holds = vec![Vec::new(); SLOT_COUNT as usize];
    let mut note = |place, what: &str| -> Result<()> {
        if let Some(holder) = runtime.holder(place)? {
            holds[usize::try_from(holder.slot).unwrap_or(0)].push(what.to_owned());
        }
        Ok(())
    };
    note(at::GATE, "the cut gate")?;
    note(at::NAMESPACE, "the namespace lock")?;
    note(at::SUPERBLOCK, "the superblock lock")?;
    let mut open = vec![0_u64; SLOT_COUNT as usize];
    let mut failure = Ok(());
    for_each_inode(store, |inode| {
        let mut look = || -> Result<()> {
            if runtime.region.load(inode.field(field_at::EPOCH))? != runtime.epoch {
                return Ok(());
            }
            note(inode.field(field_at::LOCK), &format!("the lock of {}", inode.number))?;
            for slot in 0..SLOT_COUNT {
                let (word, bit) = mask_bit(&inode, slot);
                if runtime.region.load(word)? & bit != 0 {
                    open[usize::try_from(slot).unwrap_or(0)] += 1;
                }
            }
            Ok(())
        };
        match look() {
            // What is held of an inode whose memory is lost nobody can tell.
            Err(error) if error.kind() == ErrorKind::MediaError => {}
            looked if failure.is_ok() => failure = looked,
            _ => {}
        }
    })?;
    failure?;
    for (holds, files) in holds.iter_mut().zip(open).filter(|(_, files)| *files > 0) {
        holds.push(format!("{files} open files"));
    }
    Ok(holds)
}

fn uuid_text(uuid: &[u8; 16]) -> String {
    let hex: String = uuid.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
