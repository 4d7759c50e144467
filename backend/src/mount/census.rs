//! A census: every reference of every map, counted into ordinary memory.
//!
//! ```text
//! inode table -> its blocks -> inodes -> roots -> nodes -> data blocks
//! ```
//!
//! Each node is read once, when its first reference is found, whatever the bytes say: so time and memory are bounded by
//! the size of the pool. A block has one level; being named at two is damage. Threads share the work by nodes whose
//! entries name leaves.
//!
//! What damage hides is not counted, and the census says that there is such: a count may then be too low. An inode that is
//! damaged elsewhere still has its map counted.

mod inodes;
mod leaf;
mod references;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

pub(crate) use inodes::{DamagedInode, Fault, InodeFacts};
pub(crate) use references::ChunkCounts;

use references::{References, Referred};

use super::finding::{Finding, Remedy};
use super::workers;
use crate::error::{ErrorKind, Result};
use crate::format::entry::{Entry, LOST_ROOT, Root, lost, span};
use crate::format::inode::{self, INODE_SIZE, Kind};
use crate::format::lane::Record;
use crate::format::layout::{self, TABLE_INODE};
use crate::inode::Inode;
use crate::pmem::Region;
use crate::space::counts::read_node;
use crate::units::{BLOCK_SIZE, BlockNumber, CHUNK_BLOCKS, InodeNumber, PoolOffset};

const INODES_PER_BLOCK: u64 = BLOCK_SIZE / INODE_SIZE;
/// A thread for so many chunks: fewer are counted before another one has started.
const CHUNKS_PER_THREAD: usize = 64;
/// Problems that are described; more are only counted.
const PROBLEMS_MAX: usize = 1000;

/// All references of a pool.
pub(crate) struct Census<'a> {
    region: &'a Region,
    pool_blocks: u64,
    references: References,
    problems: Mutex<Problems>,
    inodes: Mutex<Vec<InodeFacts>>,
    damaged: Mutex<Vec<DamagedInode>>,
    hidden: AtomicBool,
    lost: AtomicU64,
}

#[derive(Default)]
struct Problems {
    described: Vec<Finding>,
    more: u64,
}

enum Task {
    /// A block of the inode table, and the number of its first inode.
    Inodes(BlockNumber, u64),
    /// A node whose first reference was just found.
    Node(BlockNumber, u8, Owner),
    /// The map of a damaged inode.
    Salvaged(Inode, Option<Root>, Owner),
}

/// Whose map a node is part of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Owner {
    Table,
    Directory,
    File,
}

impl Owner {
    const fn of(kind: Kind) -> Owner {
        match kind {
            Kind::Directory => Owner::Directory,
            _ => Owner::File,
        }
    }

    /// What stands for a lost part of the map: a file says so, a directory gets an empty part in its place.
    fn lost(self, word: u64) -> Option<u64> {
        match self {
            Owner::Table => None,
            Owner::Directory => Some(0),
            Owner::File => Some(word),
        }
    }
}

impl<'a> Census<'a> {
    /// Counts. Damage is among the problems of the census; an error means that the pool could not be read.
    pub(crate) fn take(region: &'a Region, pool_blocks: u64) -> Result<Census<'a>> {
        let census = Census::empty(region, pool_blocks)?;
        let table = census.walk_table()?;
        let tasks = table.iter().map(|&(index, block)| Task::Inodes(block, index * INODES_PER_BLOCK));
        census.work(tasks.collect())?;
        // After all others: where the two contradict each other the damaged one is in the wrong.
        census.work(census.salvaged())?;
        for &(index, block) in &table {
            if census.count(block) != 1 {
                let found = format_args!("{} references", census.count(block)).to_string();
                let place = format_args!("block {index}").to_string();
                census.problem(Finding::new("inode table", place, "one reference", found, Remedy::Later));
            }
        }
        census.inodes.lock().sort_unstable_by_key(|facts| facts.inode.number);
        census.damaged.lock().sort_unstable_by_key(|damaged| damaged.inode.number);
        Ok(census)
    }

    /// Nothing counted yet.
    fn empty(region: &'a Region, pool_blocks: u64) -> Result<Census<'a>> {
        Ok(Census {
            region,
            pool_blocks,
            references: References::new(chunks_of(pool_blocks))?,
            problems: Mutex::default(),
            inodes: Mutex::default(),
            damaged: Mutex::default(),
            hidden: AtomicBool::new(false),
            lost: AtomicU64::new(0),
        })
    }

    /// The maps of damaged inodes that are in use. One that nothing names may be a free one whose map is long gone.
    fn salvaged(&self) -> Vec<Task> {
        let in_use = |damaged: &&DamagedInode| damaged.kind.is_some() || damaged.links != Some(0);
        let task = |damaged: &DamagedInode| {
            let owner = damaged.kind.map_or(Owner::File, |kind| Owner::of(kind.kind));
            Task::Salvaged(damaged.inode, damaged.root.unwrap_or(None), owner)
        };
        self.damaged.lock().iter().filter(in_use).map(task).collect()
    }

    /// References to `block`.
    pub(crate) fn count(&self, block: BlockNumber) -> u32 {
        self.references.count(block)
    }

    /// References to each block of the chunk at `first`, which lies in the pool.
    pub(crate) fn counts_of_chunk(&self, first: BlockNumber) -> ChunkCounts {
        self.references.count_chunk(first)
    }

    /// All inodes in use, by number. The table's own is not among them.
    pub(crate) fn inodes(&mut self) -> &[InodeFacts] {
        self.inodes.get_mut()
    }

    /// The inodes that are damaged, by number.
    pub(crate) fn damaged(&mut self) -> &[DamagedInode] {
        self.damaged.get_mut()
    }

    /// Whether damage hides references: blocks may have more owners than were counted.
    pub(crate) fn hides_references(&self) -> bool {
        self.hidden.load(Ordering::Relaxed)
    }

    /// Map entries and root words behind which everything is lost, as a repair has said.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// What contradicts the format, as far as it is described, and how many more there are.
    pub(super) fn take_findings(&mut self) -> (Vec<Finding>, u64) {
        let problems = std::mem::take(self.problems.get_mut());
        (problems.described, problems.more)
    }

    fn problem(&self, problem: Finding) {
        let mut problems = self.problems.lock();
        if problems.described.len() < PROBLEMS_MAX {
            problems.described.push(problem);
        } else {
            problems.more += 1;
        }
    }

    /// A problem behind which there may be references.
    fn hiding(&self, problem: Finding) {
        self.hidden.store(true, Ordering::Relaxed);
        self.problem(problem);
    }

    /// Counts a reference to `block` at `level`; true if it is the first. `place` is where the reference stands.
    /// `lost` is the word to store there if what it names is lost, where that may be said.
    fn refer(&self, block: BlockNumber, level: u8, place: PoolOffset, lost: Option<u64>) -> Option<bool> {
        let lose = || lost.map_or(Remedy::None, |value| Remedy::Lose(Record { place, value }));
        if !layout::is_allocatable(block, self.pool_blocks) || !self.references.covers(block) {
            let expected = "a block inside a group of the pool";
            self.hiding(Finding::new("reference", place, expected, block, lose()));
            return None;
        }
        match self.references.refer(block, level) {
            Referred::First => Some(true),
            Referred::Again => Some(false),
            // It has two owners all the same: neither may change it in place.
            Referred::AtLevel(seen) => {
                let expected = format_args!("{block} at level {seen}, as elsewhere").to_string();
                // A node says by the checks of its entries what level it is of.
                let wrong =
                    (level > 0 && !self.is_node(block, level)) || (level == 0 && self.is_node(block, seen));
                let remedy = if wrong { lose() } else { Remedy::None };
                let found = format_args!("level {level}").to_string();
                self.hiding(Finding::new("reference", place, expected, found, remedy));
                None
            }
            Referred::TooOften => {
                let expected = "fewer owners than a count can hold";
                self.problem(Finding::new("reference", place, expected, block, Remedy::None));
                None
            }
        }
    }

    /// The blocks of the inode table by their index in it.
    fn walk_table(&self) -> Result<Vec<(u64, BlockNumber)>> {
        let Some(facts) = self.inode_at(Inode { number: InodeNumber(0), place: TABLE_INODE })? else {
            self.hiding(Finding::new("inode table", TABLE_INODE, "a file", "nothing", Remedy::None));
            return Ok(vec![]);
        };
        let mut blocks = Vec::new();
        if let Some(root) = facts.root {
            let place = inode::field(TABLE_INODE, inode::at::ROOT);
            self.walk_table_part(root.entry, root.height, 0, place, &mut blocks)?;
        }
        let expected = facts.size / BLOCK_SIZE;
        blocks.retain(|&(index, _)| index < expected);
        if blocks.len() as u64 != expected || facts.size % BLOCK_SIZE != 0 {
            let found = format_args!("{}", blocks.len()).to_string();
            let expected = format_args!("{expected} blocks").to_string();
            self.hiding(Finding::new("inode table", "its size", expected, found, Remedy::None));
        }
        Ok(blocks)
    }

    fn walk_table_part(
        &self,
        entry: Entry,
        level: u8,
        base: u64,
        place: PoolOffset,
        blocks: &mut Vec<(u64, BlockNumber)>,
    ) -> Result<()> {
        // What the table loses is never given up.
        match self.refer(entry.block, level, place, None) {
            None => return Ok(()),
            Some(false) => {
                self.problem(Finding::new(
                    "inode table",
                    place,
                    "a block of its own",
                    entry.block,
                    Remedy::Later,
                ));
                return Ok(());
            }
            Some(true) => {}
        }
        if level == 0 {
            blocks.push((base, entry.block));
            return Ok(());
        }
        for (slot, place, child) in self.entries(entry.block, level, Owner::Table)? {
            self.walk_table_part(child, level - 1, base + slot * span(level - 1), place, blocks)?;
        }
        Ok(())
    }

    /// Whether a block reads as a node of `level`: all its words do, and there is one.
    fn is_node(&self, block: BlockNumber, level: u8) -> bool {
        let Ok(words) = read_node(self.region, block) else { return false };
        let fits = |(slot, &word): (u64, &u64)| Entry::decode(word, level - 1, slot).is_ok();
        level > 0 && words.iter().any(|&word| word != 0) && (0..).zip(words.iter()).all(fits)
    }

    /// The words of a node; nothing where the medium has lost it, which is a problem.
    fn words(&self, node: BlockNumber) -> Result<Option<Box<[u64; 512]>>> {
        match read_node(self.region, node) {
            Ok(words) => Ok(Some(words)),
            Err(error) if error.kind() == ErrorKind::MediaError => {
                self.hiding(Finding::of("map node", node, &error, Remedy::None));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The good entries of a node at `level`, with slot and place; the others are problems.
    fn entries(&self, node: BlockNumber, level: u8, owner: Owner) -> Result<Vec<(u64, PoolOffset, Entry)>> {
        let Some(words) = self.words(node)? else { return Ok(vec![]) };
        let mut entries = Vec::new();
        for (slot, &word) in (0..).zip(words.iter()) {
            match Entry::decode(word, level - 1, slot) {
                Ok(Some(entry)) => entries.push((slot, node.offset().add(slot * 8), entry)),
                Ok(None) => {}
                Err(_) => self.bad_word(word, node, level, slot, owner),
            }
        }
        Ok(entries)
    }

    /// Notes a word of a node at `level` that is no entry.
    fn bad_word(&self, word: u64, node: BlockNumber, level: u8, slot: u64, owner: Owner) {
        let given_up = lost(level - 1, slot);
        if word == given_up {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let place = node.offset().add(slot * 8);
        let remedy = owner.lost(given_up).map_or(Remedy::None, |value| Remedy::Lose(Record { place, value }));
        let expected = format_args!("a checked word of level {}", level - 1).to_string();
        self.hiding(Finding::new("map entry", place, expected, format_args!("{word:#018x}"), remedy));
    }

    fn work(&self, tasks: Vec<Task>) -> Result<()> {
        let threads = workers::threads_for(1 + chunks_of(self.pool_blocks) / CHUNKS_PER_THREAD);
        workers::share(tasks, threads, |task, more| self.perform(task, more))
    }

    fn perform(&self, task: Task, more: &mut Vec<Task>) -> Result<()> {
        match task {
            Task::Inodes(block, first) => {
                for index in 0..INODES_PER_BLOCK {
                    let number = InodeNumber(first + index);
                    let inode = Inode { number, place: block.offset().add(index * INODE_SIZE) };
                    if number.0 != 0
                        && let Some(facts) = self.inode_at(inode)?
                    {
                        self.found_root(&inode, facts.root, Owner::of(facts.kind.kind), more);
                        self.inodes.lock().push(facts);
                    }
                }
            }
            Task::Salvaged(inode, root, owner) => self.found_root(&inode, root, owner, more),
            Task::Node(block, level, owner) => self.node(block, level, owner, more)?,
        }
        Ok(())
    }

    fn found_root(&self, inode: &Inode, root: Option<Root>, owner: Owner, more: &mut Vec<Task>) {
        if let Some(root) = root {
            let place = inode.field(inode::at::ROOT);
            if self.refer(root.entry.block, root.height, place, owner.lost(LOST_ROOT)) == Some(true)
                && root.height > 0
            {
                more.push(Task::Node(root.entry.block, root.height, owner));
            }
        }
    }

    fn node(&self, block: BlockNumber, level: u8, owner: Owner, more: &mut Vec<Task>) -> Result<()> {
        if level == 1 {
            return self.leaf(block, owner);
        }
        for (slot, place, entry) in self.entries(block, level, owner)? {
            let (block, level) = (entry.block, level - 1);
            if self.refer(block, level, place, owner.lost(lost(level, slot))) == Some(true) {
                if level == 1 {
                    self.leaf(block, owner)?;
                } else {
                    more.push(Task::Node(block, level, owner));
                }
            }
        }
        Ok(())
    }
}

fn chunks_of(pool_blocks: u64) -> usize {
    usize::try_from(pool_blocks / CHUNK_BLOCKS).unwrap_or(0)
}

#[cfg(test)]
mod tests;
