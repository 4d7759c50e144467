//! Every structure of a pool and where it lies, from the superblock down.
//!
//! Damage is passed over: what cannot be reached is not listed.

use std::collections::{BTreeMap, BTreeSet};

use super::image::Image;
use super::words::{BLOCK, Salt, entry_place, fits};

/// The places of the superblocks.
pub const SUPERBLOCKS: [u64; 2] = [0, 1 << 20];
/// The inode of the inode table.
pub const TABLE_INODE: u64 = 64 << 10;
/// The lanes, 4 to a slot, 4 KiB each.
pub const LANES: u64 = 2 << 20;
/// The runtime header.
pub const RUNTIME: u64 = 6 << 20;
/// The member slots, 4 KiB each.
pub const SLOTS: u64 = 7 << 20;
/// The first group, which begins with its count table.
pub const GROUPS: u64 = 8 << 20;
/// Bytes of an inode.
pub const INODE: u64 = 256;
const BLOCK_MASK: u64 = (1 << 40) - 1;

/// An inode in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inode {
    /// Its number; 0 is the inode table.
    pub number: u64,
    /// Where it lies.
    pub at: u64,
    /// 1 a file, 2 a directory.
    pub kind: u64,
    /// Part of a snapshot.
    pub snapshot: bool,
    /// Which of its lives it is.
    pub generation: u64,
}

/// A map node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Node {
    /// Its block.
    pub block: u64,
    /// Its level, at least 1: its entries name blocks of one level less.
    pub level: u64,
}

/// A name in a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirectoryEntry {
    /// The directory's inode.
    pub directory: u64,
    /// Where the bucket that it is in lies.
    pub bucket: u64,
    /// The slot of the bucket where it begins.
    pub slot: u64,
    /// The inode it names.
    pub inode: u64,
    /// The name.
    pub name: Vec<u8>,
}

impl DirectoryEntry {
    /// Where it lies.
    #[must_use]
    pub fn at(&self) -> u64 {
        self.bucket + 64 * self.slot
    }
}

/// What a pool consists of.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Anatomy {
    /// The keys of the hash of names.
    pub hash_seed: [u64; 2],
    /// All inodes in use, the table's first.
    pub inodes: Vec<Inode>,
    /// All map nodes.
    pub nodes: Vec<Node>,
    /// All directory blocks, by where they lie: the directory's inode.
    pub buckets: BTreeMap<u64, u64>,
    /// All names.
    pub entries: Vec<DirectoryEntry>,
    /// All blocks of level 0 of files.
    pub data: BTreeSet<u64>,
}

impl Anatomy {
    /// Finds everything in `image`.
    #[must_use]
    pub fn of(image: &Image) -> Anatomy {
        let newest = SUPERBLOCKS.into_iter().max_by_key(|at| image.word(at + 56)).unwrap_or(0);
        let hash_seed = [image.word(newest + 96), image.word(newest + 104)];
        let mut anatomy = Anatomy { hash_seed, ..Anatomy::default() };
        let mut seen = BTreeSet::new();
        let table = anatomy.inode(image, 0, TABLE_INODE);
        let blocks = table.map(|table| anatomy.walk(image, &table, &mut seen)).unwrap_or_default();
        for (index, block) in blocks {
            for number in index * 16..index * 16 + 16 {
                let at = block * BLOCK + number % 16 * INODE;
                if number > 0 && image.word(at) != 0 {
                    anatomy.inode(image, number, at);
                }
            }
        }
        for inode in anatomy.inodes.clone().into_iter().skip(1) {
            for (_, block) in anatomy.walk(image, &inode, &mut seen) {
                if inode.kind == 2 {
                    anatomy.bucket(image, inode.number, block * BLOCK);
                } else {
                    anatomy.data.insert(block);
                }
            }
        }
        anatomy
    }

    fn inode(&mut self, image: &Image, number: u64, at: u64) -> Option<Inode> {
        let word = image.word(at);
        let inode = Inode {
            number,
            at,
            kind: word & 0xff,
            snapshot: word >> 8 & 1 == 1,
            generation: word >> 16 & 0xffff_ffff,
        };
        (inode.kind != 0).then(|| self.inodes.push(inode))?;
        Some(inode)
    }

    /// The data blocks of an inode with their index in the file; nodes met for the first time are noted.
    fn walk(&mut self, image: &Image, inode: &Inode, seen: &mut BTreeSet<u64>) -> Vec<(u64, u64)> {
        let word = image.word(inode.at + 16);
        let mut blocks = Vec::new();
        if word == 0 || !fits(word, Salt::Root, 0) {
            return blocks;
        }
        let mut waiting = vec![(word & BLOCK_MASK, word >> 40 & 7, 0)];
        while let Some((block, level, base)) = waiting.pop() {
            if level == 0 {
                blocks.push((base, block));
                continue;
            }
            if seen.insert(block) {
                self.nodes.push(Node { block, level });
            }
            for slot in 0..512 {
                let word = image.word(block * BLOCK + slot * 8);
                if word != 0 && fits(word, Salt::MapEntry, entry_place(slot, level - 1)) {
                    waiting.push((word & BLOCK_MASK, level - 1, base + (slot << (9 * (level - 1)))));
                }
            }
        }
        blocks.sort_unstable();
        blocks
    }

    fn bucket(&mut self, image: &Image, directory: u64, bucket: u64) {
        self.buckets.insert(bucket, directory);
        let occupied = image.word(bucket + 16);
        for slot in (1..64).filter(|slot| image.word(bucket + 24) == 0 && occupied >> slot & 1 == 1) {
            let at = bucket + 64 * slot;
            let name = image.bytes(at + 26, image.byte(at + 24).into());
            self.entries.push(DirectoryEntry { directory, bucket, slot, inode: image.word(at), name });
        }
    }

    /// The name that an absolute path ends in.
    #[must_use]
    pub fn entry(&self, path: &str) -> Option<&DirectoryEntry> {
        let (above, name) = path.rsplit_once('/')?;
        let directory = if above.is_empty() { 1 } else { self.entry(above)?.inode };
        self.entries.iter().find(|entry| entry.directory == directory && entry.name == name.as_bytes())
    }

    /// The inode that an absolute path names.
    #[must_use]
    pub fn named(&self, path: &str) -> Option<&Inode> {
        let number = if path == "/" { 1 } else { self.entry(path)?.inode };
        self.inodes.iter().find(|inode| inode.number == number)
    }

    /// The place of the word that names the block of an inode's map which holds file block `index` at `level`, and the slot of that
    /// word in its node; the place of the root word where the map is that low.
    #[must_use]
    pub fn map_word(image: &Image, inode: &Inode, index: u64, level: u64) -> Option<(u64, u64)> {
        let root = image.word(inode.at + 16);
        let (mut place, mut block, mut at) = ((inode.at + 16, 0), root & BLOCK_MASK, root >> 40 & 7);
        if root == 0 || at < level {
            return None;
        }
        while at > level {
            let slot = index >> (9 * (at - 1)) & 511;
            place = (block * BLOCK + slot * 8, slot);
            let word = image.word(place.0);
            if word == 0 && at - 1 > level {
                return None;
            }
            block = word & BLOCK_MASK;
            at -= 1;
        }
        Some(place)
    }

    /// The block that holds file block `index` of an inode.
    #[must_use]
    pub fn block(image: &Image, inode: &Inode, index: u64) -> Option<u64> {
        let (place, _) = Anatomy::map_word(image, inode, index, 0)?;
        let block = image.word(place) & BLOCK_MASK;
        (block != 0).then_some(block)
    }
}

/// The place of the count of `block`, which lies in the first group.
#[must_use]
pub const fn count(block: u64) -> u64 {
    GROUPS + (block - GROUPS / BLOCK) * 4
}

/// The place of the u16 that says how many blocks of the chunk which holds `block` are free.
#[must_use]
pub const fn hint(block: u64) -> u64 {
    GROUPS + (block - GROUPS / BLOCK) / 512 * 2
}
