//! Equal blocks anywhere in the pool become one: files, clones and snapshots alike.
//!
//! ```text
//! walk the chosen files -> hash each block once -> sort -> equal hashes: candidates
//! walk all files        -> where each candidate is named
//! gate closed           -> compare byte by byte -> swing all words of the one to the other
//! ```
//!
//! A block that snapshots hold too only comes free if their words change as well, so all of them do: a snapshot keeps its
//! bytes, not their places. Memory is bounded: where there are more blocks than hashes may be kept, the files are read
//! several times, each time for another part of all hashes.

use std::collections::HashSet;

use xxhash_rust::xxh3::xxh3_64;

use super::sites::{self, Site, Walked};
use super::swing::{Place, Swing, perform};
use crate::dax::read::stable;
use crate::error::{ErrorKind, Result};
use crate::extent_map::Tree;
use crate::format::lane::RECORDS_MAX;
use crate::journal::Store;
use crate::units::{BLOCK_BYTES, BLOCK_SIZE, BlockNumber, FileBlock, InodeNumber};

/// Bytes that a block takes in the list of hashes: its hash, its number, and where it was found.
const CANDIDATE_BYTES: u64 = std::mem::size_of::<Candidate>() as u64;
/// Blocks whose words are looked for in one walk over all files.
const WALK_BLOCKS: usize = 1 << 18;

/// How a dedupe of whole files and directories goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct DedupeOptions {
    memory_bytes: u64,
}

impl Default for DedupeOptions {
    fn default() -> DedupeOptions {
        DedupeOptions::new()
    }
}

impl DedupeOptions {
    /// 256 MiB of memory: the hashes of 32 GiB of data at a time. One bit for each block of the pool comes on top.
    pub const fn new() -> DedupeOptions {
        DedupeOptions { memory_bytes: 256 << 20 }
    }

    /// Memory for hashes, in bytes. With less, the data is read more often.
    pub const fn memory(self, memory_bytes: u64) -> DedupeOptions {
        DedupeOptions { memory_bytes }
    }
}

/// How far a dedupe is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DedupeProgress {
    /// Looking for equal blocks.
    Examining {
        /// Bytes read so far.
        bytes: u64,
        /// Bytes to read.
        of: u64,
    },
    /// Comparing and sharing what was found.
    Sharing {
        /// Bytes compared so far.
        bytes: u64,
        /// Bytes to compare in this round.
        of: u64,
    },
}

/// What a dedupe did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DedupeReport {
    /// Files looked at.
    pub files: u64,
    /// Bytes of different blocks that were read and hashed.
    pub bytes_examined: u64,
    /// Bytes that came free: blocks that gave way to an equal one.
    pub bytes_shared: u64,
    /// Bytes that looked equal and were left: written meanwhile, pinned by a pointer that a program holds, or owned by more
    /// than a transaction can change.
    pub bytes_left: u64,
}

/// A block that was read.
#[derive(Clone, Copy)]
struct Candidate {
    hash: u64,
    block: BlockNumber,
    inode: InodeNumber,
    at: FileBlock,
}

/// Shares all equal blocks of the files `numbers`, wherever in the pool they are named.
pub(crate) fn dedupe(
    store: &Store,
    numbers: &[InodeNumber],
    options: DedupeOptions,
    progress: &mut dyn FnMut(DedupeProgress),
) -> Result<DedupeReport> {
    let mut files = Vec::new();
    for &number in numbers {
        files.extend(Walked::file(store, number)?);
    }
    let blocks = named_blocks(store, &files)?;
    let passes = (blocks * CANDIDATE_BYTES).div_ceil(options.memory_bytes.max(1 << 20)).max(1);
    let mut report = DedupeReport { files: files.len() as u64, ..DedupeReport::default() };
    let mut read = 0;
    for pass in 0..passes {
        let mut candidates = Vec::new();
        examine(store, &files, &mut |candidate: Candidate| {
            read += BLOCK_SIZE;
            if read.is_multiple_of(16 << 20) {
                progress(DedupeProgress::Examining { bytes: read, of: blocks * passes * BLOCK_SIZE });
            }
            if candidate.hash % passes == pass {
                candidates.push(candidate);
            }
        })?;
        if pass == 0 {
            report.bytes_examined = read;
        }
        candidates.sort_unstable_by_key(|candidate| (candidate.hash, candidate.block));
        let mut sharing = Sharing { store, report: &mut report, progress, pairs: Vec::new() };
        for group in candidates.chunk_by(|one, other| one.hash == other.hash) {
            sharing.add(group)?;
        }
        sharing.flush()?;
    }
    Ok(report)
}

/// Words of the files that name data blocks: at least as many as there are blocks.
fn named_blocks(store: &Store, files: &[Walked]) -> Result<u64> {
    let mut nodes = HashSet::new();
    let mut blocks = 0;
    for file in files {
        file.walk(store, &mut nodes, &mut |_, _| {
            blocks += 1;
            Ok(())
        })?;
    }
    Ok(blocks)
}

/// Reads and hashes every data block of the files once.
fn examine(store: &Store, files: &[Walked], found: &mut dyn FnMut(Candidate)) -> Result<()> {
    let mut nodes = HashSet::new();
    let mut blocks = Bitmap::new(store.space.pool_blocks()?);
    let mut buffer = vec![0; BLOCK_BYTES];
    for file in files {
        file.walk(store, &mut nodes, &mut |site, block| {
            if !blocks.insert(block) {
                return Ok(());
            }
            // Read through the file: the block may have been freed, and given to another, since it was seen.
            let hash = stable(store, &site.inode, || {
                let tree = Tree::of(&store.space, site.inode.place)?;
                match tree.naming(&store.space, site.at)? {
                    Some(naming) if naming.entry.block == block && !naming.entry.unwritten => {
                        match store.runtime.region.read(block.offset(), &mut buffer) {
                            Ok(()) => Ok(Some(xxh3_64(&buffer))),
                            // What the medium has lost is like nothing else.
                            Err(error) if error.kind() == ErrorKind::MediaError => Ok(None),
                            Err(error) => Err(error),
                        }
                    }
                    _ => Ok(None),
                }
            })?;
            if let Some(hash) = hash {
                found(Candidate { hash, block, inode: site.inode.number, at: site.at });
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Blocks that look equal, on their way to become one.
struct Sharing<'a> {
    store: &'a Store,
    report: &'a mut DedupeReport,
    progress: &'a mut dyn FnMut(DedupeProgress),
    /// What is to give way, and to what.
    pairs: Vec<(Candidate, Candidate)>,
}

impl Sharing<'_> {
    /// Adds blocks of one hash. The one with the most owners stays.
    fn add(&mut self, group: &[Candidate]) -> Result<()> {
        let owners = |candidate: &&Candidate| self.store.space.count(candidate.block).unwrap_or(0);
        let Some(&stays) = group.iter().max_by_key(owners) else { return Ok(()) };
        for &gone in group.iter().filter(|candidate| candidate.block != stays.block) {
            self.pairs.push((gone, stays));
            if self.pairs.len() == WALK_BLOCKS {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Compares and shares what has come together.
    fn flush(&mut self) -> Result<()> {
        let pairs = std::mem::take(&mut self.pairs);
        // On page media, what was replaced before keeps its blocks counted until that is durable.
        self.store.space.settle()?;
        let of = pairs.len() as u64 * BLOCK_SIZE;
        let mut sites = sites::find(self.store, &pairs.iter().map(|(gone, _)| gone.block).collect())?;
        let mut compared = 0;
        for step in pairs.chunks(RECORDS_MAX) {
            let mut swings = Vec::with_capacity(step.len());
            for (gone, stays) in step {
                let Some(kept) = Walked::file(self.store, stays.inode)? else { continue };
                let site = Site { inode: kept.inode, generation: kept.generation, at: stays.at };
                let sites = sites.remove(&gone.block).unwrap_or_default();
                swings.push(Swing { from: gone.block, to: Place::Equal(stays.block, site), sites });
            }
            let done = perform(self.store, &swings)?;
            let shared = done.iter().filter(|&&done| done).count() as u64 * BLOCK_SIZE;
            self.report.bytes_shared += shared;
            self.report.bytes_left += step.len() as u64 * BLOCK_SIZE - shared;
            compared += step.len() as u64 * BLOCK_SIZE;
            (self.progress)(DedupeProgress::Sharing { bytes: compared, of });
        }
        Ok(())
    }
}

/// Which blocks of a pool have been seen: one bit each.
struct Bitmap(Vec<u64>);

impl Bitmap {
    fn new(blocks: u64) -> Bitmap {
        Bitmap(vec![0; usize::try_from(blocks / 64 + 1).unwrap_or(0)])
    }

    /// Adds a block; whether it was not there. A block that the pool has grown by since is never new.
    fn insert(&mut self, block: BlockNumber) -> bool {
        let word = usize::try_from(block.0 / 64).ok().and_then(|index| self.0.get_mut(index));
        word.is_some_and(|word| {
            let bit = 1 << (block.0 % 64);
            let new = *word & bit == 0;
            *word |= bit;
            new
        })
    }
}
