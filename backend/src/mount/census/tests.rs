//! What a census counts in runs and bits, against counting word by word.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::atomic::AtomicU32;

use super::*;
use crate::pmem::medium::{Dax, FlushMode};
use crate::pmem::{Access, MapOptions};

/// Two groups, the second a short one.
const POOL_BLOCKS: u64 = layout::FIRST_GROUP_BLOCK + layout::GROUP_BLOCKS + 4 * CHUNK_BLOCKS;
const SECOND: u64 = layout::FIRST_GROUP_BLOCK + layout::GROUP_BLOCKS;
/// The root of the maps that are counted, its children and their leaves.
const ROOT: BlockNumber = BlockNumber(layout::FIRST_GROUP_BLOCK + layout::COUNT_TABLE_BLOCKS);
const NODES: u64 = 24;

struct Random(u64);

impl Random {
    fn seeded(test: &str) -> Random {
        let seed = std::env::var("DAXCOW_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(crate::os::process::monotonic_ns) | 1;
        println!("replay: DAXCOW_SEED={seed} cargo test -p daxcow {test}");
        Random(seed)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    fn pick(&mut self, of: &[u64]) -> u64 {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}

/// References counted word by word, in the order in which one thread meets them.
#[derive(Default)]
struct WordByWord {
    blocks: BTreeMap<u64, (u8, u32)>,
    problems: u64,
    lost: u64,
}

impl WordByWord {
    fn node(&mut self, region: &Region, node: BlockNumber, level: u8) {
        for slot in 0..512 {
            let word = region.load(node.offset().add(slot * 8)).unwrap();
            match Entry::decode(word, level - 1, slot) {
                Ok(None) => {}
                Ok(Some(entry)) => self.refer(region, entry.block, level - 1),
                Err(_) if word == lost(level - 1, slot) => self.lost += 1,
                Err(_) => self.problems += 1,
            }
        }
    }

    fn refer(&mut self, region: &Region, block: BlockNumber, level: u8) {
        if !layout::is_allocatable(block, POOL_BLOCKS) {
            self.problems += 1;
            return;
        }
        let (seen, count) = self.blocks.entry(block.0).or_insert((level, 0));
        *count += 1;
        if *seen != level {
            self.problems += 1;
        } else if *count == 1 && level > 0 {
            self.node(region, block, level);
        }
    }
}

fn scratch() -> Region {
    let file = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
    file.as_file().set_len(POOL_BLOCKS * BLOCK_SIZE).unwrap();
    let options = MapOptions { dax: Dax::Auto, flush: FlushMode::Off, access: Access::ReadWrite };
    Region::map(File::options().read(true).write(true).open(&file).unwrap(), file.path(), options).unwrap()
}

fn put(region: &Region, node: BlockNumber, slot: u64, word: u64) {
    region.store_u64(node.offset().add(slot * 8), word).unwrap();
}

/// Fills a leaf with runs, holes, damage, and references to blocks that others refer to, that are nodes or none of the pool's.
fn fill_leaf(region: &Region, random: &mut Random, leaf: BlockNumber) {
    let anywhere = random.below(POOL_BLOCKS);
    let shared = ROOT.0 + NODES + random.below(700);
    let mut places = vec![anywhere, shared, SECOND - random.below(40), SECOND + random.below(600)];
    places.extend([POOL_BLOCKS - random.below(40), ROOT.0 + 2000 + random.below(64)]);
    if random.below(4) == 0 {
        places.extend([ROOT.0 + random.below(NODES), random.below(1 << 40)]);
    }
    let longest = random.pick(&[1, 8, 100, 512]);
    let mut slot = 0;
    while slot < 512 {
        let end = (slot + 1 + random.below(longest)).min(512);
        let first = random.pick(&places);
        let (kind, unwritten) = (random.below(12), random.below(2) == 0);
        for (n, slot) in (0..).zip(slot..end) {
            let block = BlockNumber((first + n) % (1 << 40));
            let word = Entry { block, unwritten }.encode(0, slot);
            put(region, leaf, slot, if kind == 0 { 0 } else { word });
        }
        let damaged = slot + random.below(end - slot);
        match kind {
            1 => put(region, leaf, slot, random.below(u64::MAX)),
            2 => put(region, leaf, end - 1, lost(0, end - 1)),
            3 => put(region, leaf, slot, Entry::of(BlockNumber(first)).encode(1, slot)),
            // The block is the right one, and the check or a flag is not.
            4 | 5 => {
                let block = BlockNumber((first + damaged - slot) % (1 << 40));
                let word = Entry { block, unwritten }.encode(0, damaged);
                put(region, leaf, damaged, word ^ 1 << (40 + random.below(24)));
            }
            _ => {}
        }
        slot = end;
    }
}

/// Makes a tree of three levels of nodes, of which some are named twice or at two levels.
fn fill_tree(region: &Region, random: &mut Random) {
    for node in 0..NODES {
        region.zero(ROOT.add(node).offset(), BLOCK_SIZE).unwrap().leave_unflushed();
    }
    for node in 1..NODES {
        let (parent, level) = if node < 4 { (0, 2) } else { (1 + random.below(3), 1) };
        put(region, ROOT.add(parent), node, Entry::of(ROOT.add(node)).encode(level, node));
        if level == 1 {
            fill_leaf(region, random, ROOT.add(node));
        }
    }
    for _ in 0..random.below(4) {
        let (parent, slot) = (random.below(4), 100 + random.below(400));
        let level = if parent == 0 { 2 } else { 1 };
        put(region, ROOT.add(parent), slot, Entry::of(ROOT.add(random.below(NODES))).encode(level, slot));
    }
}

#[test]
fn runs_and_bits_count_what_words_one_by_one_do() {
    let mut random = Random::seeded("runs_and_bits_count");
    let region = scratch();
    let (mut shared, mut problems) = (0, 0);
    for _ in 0..40 {
        fill_tree(&region, &mut random);
        let mut expected = WordByWord::default();
        let mut census = Census::empty(&region, POOL_BLOCKS).unwrap();
        // The order in which one thread performs them: the last one that was found is the next.
        expected.refer_root(&region);
        census.refer(ROOT, 3, PoolOffset(0), None).unwrap();
        let mut tasks = vec![Task::Node(ROOT, 3, Owner::File)];
        while let Some(task) = tasks.pop() {
            let mut more = Vec::new();
            census.perform(task, &mut more).unwrap();
            tasks.extend(more);
        }
        for first in (layout::FIRST_GROUP_BLOCK..POOL_BLOCKS).step_by(512).map(BlockNumber) {
            let counts = census.counts_of_chunk(first);
            for (block, count) in (first.0..).map(BlockNumber).zip(counts) {
                let references = expected.blocks.get(&block.0).map_or(0, |&(_, count)| count);
                assert_eq!(census.count(block), references, "{block}");
                assert_eq!(count, references, "{block}, of its chunk");
                shared += u64::from(references > 1);
            }
        }
        let (findings, more) = census.take_findings();
        assert_eq!(findings.len() as u64 + more, expected.problems, "{findings:#?}");
        assert_eq!(census.hides_references(), expected.problems > 0);
        assert_eq!(census.lost(), expected.lost);
        problems += expected.problems;
    }
    assert!(shared > 1000 && problems > 1000, "{shared} shared blocks and {problems} problems: too few");
}

impl WordByWord {
    /// The root is at level 3. Its children are looked into from the last to the first, as what a census performs next is what
    /// it found last.
    fn refer_root(&mut self, region: &Region) {
        self.blocks.insert(ROOT.0, (3, 1));
        let mut found = Vec::new();
        for slot in 0..512 {
            let word = region.load(ROOT.offset().add(slot * 8)).unwrap();
            let Ok(Some(entry)) = Entry::decode(word, 2, slot) else { continue };
            let (seen, count) = self.blocks.entry(entry.block.0).or_insert((2, 0));
            *count += 1;
            match (*seen, *count) {
                (2, 1) => found.push(entry.block),
                (2, _) => {}
                _ => self.problems += 1,
            }
        }
        while let Some(block) = found.pop() {
            self.node(region, block, 2);
        }
    }
}

#[test]
fn threads_lose_no_reference_and_one_of_them_is_the_first() {
    let mut random = Random::seeded("threads_lose_no_reference");
    for _ in 0..20 {
        let references = &References::new(2).unwrap();
        let firsts = [const { AtomicU32::new(0) }; 1024];
        // Few blocks, so that threads meet; a fifth of all is named at a level above that of data.
        let all: [Vec<(u64, u64, u8)>; 2] = std::array::from_fn(|_| {
            let one = |random: &mut Random| {
                let level = u8::try_from(random.below(5).saturating_sub(3)).unwrap();
                let blocks = if level > 0 { 1 } else { 1 + random.below(10) };
                (random.below(1024 - blocks), blocks, level)
            };
            (0..2000).map(|_| one(&mut random)).collect()
        });
        let first = &|block: BlockNumber| {
            firsts[usize::try_from(block.0).unwrap()].fetch_add(1, Ordering::Relaxed);
        };
        let begin = &std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            for mine in &all {
                scope.spawn(move || {
                    begin.wait();
                    for &(start, blocks, level) in mine {
                        let block = BlockNumber(start);
                        if level == 0 {
                            let mut others = Vec::new();
                            references.refer_run(block, blocks, |block| others.push(block));
                            (0..blocks)
                                .map(|n| block.add(n))
                                .filter(|block| !others.contains(block))
                                .for_each(first);
                            for block in others {
                                assert_ne!(references.refer(block, 0), Referred::First);
                            }
                        } else if references.refer(block, level) == Referred::First {
                            first(block);
                        }
                    }
                });
            }
        });
        let mut named = vec![[0_usize; 3]; 1024];
        for &(start, blocks, level) in all.iter().flatten() {
            (start..start + blocks)
                .for_each(|block| named[usize::try_from(block).unwrap()][usize::from(level)] += 1);
        }
        let counts = [0, 512].map(|first| references.count_chunk(BlockNumber(first)));
        for (block, &counted) in (0..1024).zip(counts.as_flattened()) {
            let of = named[usize::try_from(block).unwrap()];
            let named: usize = of.iter().sum();
            assert_eq!(counted as usize, named, "block {block}");
            assert_eq!(references.count(BlockNumber(block)), counted, "block {block}");
            let firsts = firsts[usize::try_from(block).unwrap()].load(Ordering::Relaxed);
            assert_eq!(firsts, u32::from(named > 0), "block {block}");
            // Whoever names it at one of several levels is told so.
            if let Some(level) = (0_u8..3).find(|&level| of[usize::from(level)] == named && named > 0) {
                assert_eq!(references.refer(BlockNumber(block), level), Referred::Again);
                let elsewhere = references.refer(BlockNumber(block), (level + 1) % 3);
                assert_eq!(elsewhere, Referred::AtLevel(level));
            }
        }
    }
}
