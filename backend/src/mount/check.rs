//! Checking a pool while it is in use: everything is counted anew behind the closed gate and compared.
//!
//! | what | against what |
//! |---|---|
//! | every map word, inode word and checksum | itself: the census |
//! | reference counts | the census: a count that is too low is damage; one that is too high leaks a block |
//! | hints and the number of free blocks | the counts: free blocks may not be promised twice |
//! | names | links, kinds and generations of the inodes (`names`) |
//! | both superblocks | themselves |

use std::collections::HashMap;
use std::fmt;

use super::census::Census;
use super::finding::{Finding, Remedy};
use super::recover::{for_each_inode, reclaim};
use super::{names, superblocks, tree_owners};
use crate::error::{Error, ErrorKind, Result};
use crate::format::inode::Kind;
use crate::format::layout::{self, SLOT_COUNT};
use crate::inode::{Core, advisory};
use crate::pmem::Access;
use crate::runtime::member::Member;
use crate::runtime::{Runtime, at};
use crate::units::{BlockNumber, CHUNK_BLOCKS};

/// Something that contradicts the format.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// What kind of structure it is: `map entry`, `inode`, `reference count` ...
    pub structure: String,
    /// Where: an offset in the pool, a block, an inode or a path.
    pub place: String,
    /// What was expected and what was found.
    pub message: String,
}

impl Problem {
    pub(super) fn new(
        structure: &str,
        place: impl fmt::Display,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> Problem {
        let message = format!("expected {expected}, found {found}");
        Problem { structure: structure.to_owned(), place: place.to_string(), message }
    }

    pub(super) fn of(structure: &str, place: impl fmt::Display, error: &Error) -> Problem {
        Problem { structure: structure.to_owned(), place: place.to_string(), message: error.to_string() }
    }
}

/// What a check found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CheckReport {
    /// What contradicts the format; at most 1000 of each kind of structure are described.
    pub problems: Vec<Problem>,
    /// Inodes in use.
    pub inodes: u64,
    /// Files among them, snapshots' included.
    pub files: u64,
    /// Directories among them, snapshots' included.
    pub directories: u64,
    /// Blocks that some map refers to.
    pub blocks_used: u64,
    /// Blocks that more than one map entry refers to.
    pub blocks_shared: u64,
    /// Ranges of files that a repair has given up as lost: they read as damage.
    pub lost_ranges: u64,
    /// The first of the blocks that `leaked_blocks` counts: what is counted and what was found.
    pub leaks: Vec<Problem>,
    /// Blocks that nothing refers to as often as their count says: lost until the next opening after all members are gone. Blocks
    /// that members are about to give back are among them.
    pub leaked_blocks: u64,
}

impl CheckReport {
    /// Whether nothing contradicts the format.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Checks the whole pool. Nothing changes in it meanwhile: other members wait.
///
/// # Errors
/// `Busy` where an operation of a member does not end within a second; `MediaError` where the runtime area is lost. Damage is no
/// error, but in the report.
pub(crate) fn check(core: &Core) -> Result<CheckReport> {
    let (mut report, findings) = inspect(core)?;
    report.problems = findings.into_iter().map(|finding| finding.problem).collect();
    Ok(report)
}

/// As [`check`], with what would put each problem right; they are not in the report.
pub(super) fn inspect(core: &Core) -> Result<(CheckReport, Vec<Finding>)> {
    let runtime = &core.store.runtime;
    let others_work = recover_dead(runtime)?;
    reclaim(core)?;
    core.store.space.settle()?;
    let _gate = runtime.cut()?;
    let _size = runtime.lock(at::SUPERBLOCK)?;
    let pool_blocks = core.store.space.pool_blocks()?;
    let mut census = Census::take(&runtime.region, pool_blocks)?;
    let (mut findings, more) = census.take_findings();
    let mut report = CheckReport { lost_ranges: census.lost(), ..CheckReport::default() };
    if more > 0 {
        let found = format_args!("{more} more").to_string();
        findings.push(Finding::new("pool", "all maps", "no more problems", found, Remedy::Later));
    }
    findings.extend(superblocks::problems(&runtime.region));
    check_counts(core, &census, pool_blocks, &mut report, &mut findings)?;
    let damaged = census.damaged().to_vec();
    let inodes = census.inodes().to_vec();
    tree_owners::check(&core.store, &census, &inodes, &mut findings)?;
    report.inodes = inodes.len() as u64;
    report.directories = inodes.iter().filter(|facts| facts.kind.kind == Kind::Directory).count() as u64;
    report.files = report.inodes - report.directories;
    let used = runtime.region.load(at::INODES_USED)?;
    let trusted = runtime.region.access() == Access::ReadWrite && runtime.deaths()? == 0;
    if trusted && used != report.inodes + damaged.len() as u64 {
        findings.push(Finding::new(
            "number of inodes in use",
            "the runtime header",
            report.inodes,
            used,
            Remedy::Recount,
        ));
    }
    names::check(&core.store, &inodes, &damaged, others_work, &mut findings)?;
    Ok((report, findings))
}

/// Leaked blocks that are described.
const LEAKS_MAX: usize = 1000;
/// How often a number of free blocks that seems too high is looked at again.
const LOOKS: usize = 5;

/// Recovers the members that died unnoticed; whether any other member lives.
fn recover_dead(runtime: &Runtime) -> Result<bool> {
    let mut others = false;
    for Member { slot, generation } in runtime.members()?.into_iter().map(|record| record.member) {
        others |= slot != runtime.member.slot && !runtime.recover_if_dead(slot, generation)?;
    }
    Ok(others)
}

fn check_counts(
    core: &Core,
    census: &Census<'_>,
    pool_blocks: u64,
    report: &mut CheckReport,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let volatile = volatile_references(core, findings)?;
    let (mut free, mut lost) = (0, false);
    for first in chunks(pool_blocks) {
        match check_chunk(core, census, first, &volatile, report, findings) {
            Ok(in_chunk) => free += in_chunk,
            Err(error) if error.kind() == ErrorKind::MediaError => {
                findings.push(Finding::of("reference counts", first, &error, Remedy::None));
                lost = true;
            }
            Err(error) => return Err(error),
        }
    }
    let promised = core.store.runtime.region.load(at::FREE_BLOCKS)?;
    if !lost && promised > free && !promises_hold(core, pool_blocks)? {
        let expected = format!("at most {free}");
        let place = "the runtime header";
        findings.push(Finding::new("number of free blocks", place, expected, promised, Remedy::Recount));
    }
    Ok(())
}

/// The first blocks of all chunks that can be allocated from.
fn chunks(pool_blocks: u64) -> impl Iterator<Item = BlockNumber> {
    (0..layout::group_count(pool_blocks)).flat_map(move |group| {
        let chunks = layout::group_blocks(group, pool_blocks) / CHUNK_BLOCKS;
        (1..chunks).map(move |chunk| layout::group_start(group).add(chunk * CHUNK_BLOCKS))
    })
}

/// The free blocks of one chunk.
fn count_free(core: &Core, first: BlockNumber) -> Result<u64> {
    let mut bytes = [0; 4 * 512];
    core.store.runtime.region.read(layout::count(first), &mut bytes)?;
    Ok(bytes.chunks_exact(4).map(|count| u64::from(*count == [0; 4])).sum())
}

/// Whether the hint of a chunk is not too low, looked at again as [`promises_hold`] does.
fn hint_holds(core: &Core, first: BlockNumber) -> Result<bool> {
    for _ in 0..LOOKS {
        let before = core.store.space.hint(first)?;
        let free = count_free(core, first)?;
        if u64::from(before.max(core.store.space.hint(first)?)) >= free {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether no more blocks are promised than are free. Batches and views take blocks and give them back while the gate is
/// closed: what seems too much is looked at again.
fn promises_hold(core: &Core, pool_blocks: u64) -> Result<bool> {
    let region = &core.store.runtime.region;
    for _ in 0..LOOKS {
        let before = region.load(at::FREE_BLOCKS)?;
        let mut free = 0;
        for first in chunks(pool_blocks) {
            free += count_free(core, first)?;
        }
        if before.min(region.load(at::FREE_BLOCKS)?) <= free {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Compares one chunk; answers how many of its blocks are free.
fn check_chunk(
    core: &Core,
    census: &Census<'_>,
    first: BlockNumber,
    volatile: &HashMap<BlockNumber, u32>,
    report: &mut CheckReport,
    findings: &mut Vec<Finding>,
) -> Result<u64> {
    let mut bytes = [0; 4 * 512];
    core.store.runtime.region.read(layout::count(first), &mut bytes)?;
    // In a private view nobody has made the counts right after a crash.
    let trusted = core.store.runtime.region.access() == Access::ReadWrite;
    let mut free = 0;
    for (block, bytes) in (first.0..).map(BlockNumber).zip(bytes.chunks_exact(4)) {
        let count = u32::from_le_bytes(bytes.try_into().unwrap_or_default());
        let references = census.count(block);
        let held = volatile.get(&block).copied().unwrap_or(0);
        report.blocks_used += u64::from(references > 0);
        report.blocks_shared += u64::from(references > 1);
        let owned = references.saturating_add(held);
        if trusted && count > owned {
            report.leaked_blocks += 1;
            if report.leaks.len() < LEAKS_MAX {
                report.leaks.push(Problem::new("reference count", block, owned, count));
            }
        }
        if trusted && count < references {
            let expected = format!("at least {references}");
            findings.push(Finding::new("reference count", block, expected, count, Remedy::Recount));
        }
        free += u64::from(count == 0);
    }
    let hint = u64::from(core.store.space.hint(first)?);
    if trusted && hint < free && !hint_holds(core, first)? {
        let expected = format!("at least {free}");
        findings.push(Finding::new("hint of free blocks", first, expected, hint, Remedy::Recount));
    }
    Ok(free)
}

/// References that no map holds: ledgers of members and what they name, and what hangs from open inodes.
fn volatile_references(core: &Core, findings: &mut Vec<Finding>) -> Result<HashMap<BlockNumber, u32>> {
    let (store, mut references) = (&core.store, HashMap::new());
    for slot in (0..SLOT_COUNT).filter(|&slot| store.runtime.slot_in_use(slot).unwrap_or(false)) {
        match store.space.noted_by(slot) {
            Ok(noted) => noted.into_iter().for_each(|block| *references.entry(block).or_insert(0) += 1),
            Err(error) => {
                let place = format_args!("member slot {slot}").to_string();
                findings.push(Finding::of("ledger", place, &error, Remedy::Later));
            }
        }
    }
    let deferred = store.space.deferred_blocks().unwrap_or_else(|error| {
        findings.push(Finding::of("list of dropped references", "the runtime header", &error, Remedy::Later));
        vec![]
    });
    deferred.into_iter().for_each(|block| *references.entry(block).or_insert(0) += 1);
    let walked = for_each_inode(store, |inode| match advisory::volatile_blocks(store, &inode) {
        Ok(blocks) => blocks.into_iter().for_each(|block| *references.entry(block).or_insert(0) += 1),
        Err(error) => {
            findings.push(Finding::of("extension of an inode", inode.number, &error, Remedy::Later));
        }
    });
    if let Err(error) = walked {
        findings.push(Finding::of("inode table", "its map", &error, Remedy::Later));
    }
    Ok(references)
}
