//! One bucket: a block of a directory that holds names, or says that they moved to its 16 children.

use crate::error::{Error, ErrorKind, Result};
use crate::extent_map::Tree;
use crate::format::dirent::{
    self, DEPTH_MAX, Dirent, FANOUT, NAME_MAX, OCCUPIED_AT, SLOT_BYTES, SLOTS, SPLIT, SPLIT_AT,
};
use crate::journal::Store;
use crate::units::{BLOCK_BYTES, BlockNumber, FileBlock, PoolOffset};

/// The header's own slot.
const HEADER_MASK: u64 = 1;
/// Where the hash lies in an entry.
const HASH_AT: u64 = 8;
const ENTRY_BYTES_MAX: usize = dirent::slots_for(NAME_MAX) * SLOT_BYTES;

/// A bucket that holds names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Bucket {
    /// Its index in the directory file.
    pub(super) node: u64,
    pub(super) depth: u32,
    block: BlockNumber,
}

/// What stands at an index of the directory file.
pub(super) enum Node {
    /// Nothing: no name of this prefix was ever put here.
    Absent,
    /// A bucket that holds names.
    Leaf(Bucket),
    /// A bucket whose names have moved to its children.
    Split,
}

/// Reads what stands at index `node`, which is at `depth`.
pub(super) fn open(store: &Store, tree: &Tree, node: u64, depth: u32) -> Result<Node> {
    let found = tree.find(&store.space, FileBlock(node), 1, false)?;
    let Some(mapped) = found.mapped else { return Ok(Node::Absent) };
    if mapped.unwritten {
        return Err(damaged(mapped.block, "a written block", "an unwritten one"));
    }
    let bucket = Bucket { node, depth, block: mapped.block };
    match bucket.check_header(store)? {
        true if depth < DEPTH_MAX => Ok(Node::Split),
        true => Err(damaged(mapped.block, "names at the greatest depth", "a split block")),
        false => Ok(Node::Leaf(bucket)),
    }
}

fn damaged(block: BlockNumber, expected: &str, found: &str) -> Error {
    Error::corrupt("directory block", block, expected, found)
}

const fn mask(slot: usize, slots: usize) -> u64 {
    ((1 << slots) - 1) << slot
}

impl Bucket {
    /// The bucket at index `node`, which is at `depth`, in `block`.
    pub(super) const fn at(node: u64, depth: u32, block: BlockNumber) -> Bucket {
        Bucket { node, depth, block }
    }

    /// Whether names of `hash` belong here.
    pub(super) fn holds(&self, hash: u64) -> bool {
        let mut node = self.node;
        for depth in (0..self.depth).rev() {
            if node == 0 || (node - 1) % FANOUT != dirent::nibble(hash, depth) {
                return false;
            }
            node = (node - 1) / FANOUT;
        }
        node == 0
    }

    const fn place(&self, at: u64) -> PoolOffset {
        self.block.offset().add(at)
    }

    const fn slot_place(&self, slot: usize) -> PoolOffset {
        self.place((slot * SLOT_BYTES) as u64)
    }

    /// The place of the word whose bits say where entries begin.
    pub(super) const fn occupied_place(&self) -> PoolOffset {
        self.place(OCCUPIED_AT)
    }

    /// The place of the word that says that the names have moved.
    pub(super) const fn split_place(&self) -> PoolOffset {
        self.place(SPLIT_AT)
    }

    /// Checks the header; whether the bucket is split.
    fn check_header(&self, store: &Store) -> Result<bool> {
        let region = &store.runtime.region;
        let found = [region.load(self.place(0))?, region.load(self.place(8))?];
        let expected = dirent::header_words(self.node, self.depth);
        if found != expected {
            let text = |words: [u64; 2]| format!("header {:#x} {:#x}", words[0], words[1]);
            return Err(damaged(self.block, &text(expected), &text(found)));
        }
        match region.load(self.split_place())? {
            0 => Ok(false),
            SPLIT => Ok(true),
            word => Err(damaged(self.block, "a split word", &format!("{word:#x}"))),
        }
    }

    /// The bits where entries begin.
    pub(super) fn occupied(&self, store: &Store) -> Result<u64> {
        let occupied = store.runtime.region.load(self.occupied_place())?;
        if occupied & HEADER_MASK == 0 {
            return Ok(occupied);
        }
        Err(damaged(self.block, "no entry in the header's slot", &format!("occupied slots {occupied:#x}")))
    }

    /// The entry of `name`, and the slot where it begins.
    pub(super) fn find(&self, store: &Store, hash: u64, name: &[u8]) -> Result<Option<(usize, Dirent)>> {
        for slot in bits(self.occupied(store)?) {
            if store.runtime.region.load(self.slot_place(slot).add(HASH_AT))? == hash {
                let entry = self.entry(store, slot)?;
                if entry.name == name {
                    return Ok(Some((slot, entry)));
                }
            }
        }
        Ok(None)
    }

    /// The entry that begins at `slot`.
    pub(super) fn entry(&self, store: &Store, slot: usize) -> Result<Dirent> {
        let mut bytes = [0; ENTRY_BYTES_MAX];
        let within = ((SLOTS - slot) * SLOT_BYTES).min(ENTRY_BYTES_MAX);
        store.runtime.region.read(self.slot_place(slot), &mut bytes[..within])?;
        Dirent::decode(&bytes[..within]).ok_or_else(|| {
            Error::corrupt("directory entry", self.slot_place(slot), "a checked entry", "damage")
        })
    }

    /// All entries.
    pub(super) fn entries(&self, store: &Store) -> Result<Vec<Dirent>> {
        bits(self.occupied(store)?).map(|slot| self.entry(store, slot)).collect()
    }

    /// Where `slots` free slots lie together, if they do, given which slots entries begin at.
    pub(super) fn free_run(&self, store: &Store, occupied: u64, slots: usize) -> Result<Option<usize>> {
        let mut used = HEADER_MASK;
        for slot in bits(occupied) {
            let entry = mask(slot, dirent::slots_for(self.entry(store, slot)?.name.len()));
            if used & entry != 0 {
                return Err(damaged(
                    self.block,
                    "entries side by side",
                    &format!("one over another at slot {slot}"),
                ));
            }
            used |= entry;
        }
        Ok((1..=SLOTS - slots).find(|&slot| used & mask(slot, slots) == 0))
    }

    /// The place of a free slot, for an entry that nothing refers to yet.
    pub(super) const fn entry_place(&self, slot: usize) -> PoolOffset {
        self.slot_place(slot)
    }
}

/// The set bits of a word, from the lowest.
fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros();
        word &= word.wrapping_sub(1);
        (bit < u64::BITS).then_some(bit as usize)
    })
}

/// A bucket to be written.
pub(super) struct Fresh {
    pub(super) node: u64,
    depth: u32,
    /// What it holds, unless that has moved to its children.
    entries: Option<Vec<Dirent>>,
}

impl Fresh {
    /// Its bytes.
    pub(super) fn render(&self, bytes: &mut [u8; BLOCK_BYTES]) {
        bytes.fill(0);
        let (mut slot, mut occupied) = (1, 0);
        for entry in self.entries.iter().flatten() {
            let slots = dirent::slots_for(entry.name.len());
            entry.encode(&mut bytes[slot * SLOT_BYTES..(slot + slots) * SLOT_BYTES]);
            occupied |= 1 << slot;
            slot += slots;
        }
        bytes[..SLOT_BYTES].copy_from_slice(&dirent::encode_header(self.node, self.depth, occupied));
        if self.entries.is_none() {
            let at = usize::try_from(SPLIT_AT).unwrap_or(0);
            bytes[at..at + 8].copy_from_slice(&SPLIT.to_le_bytes());
        }
    }
}

/// Packs `entries`, whose hashes share the prefix of `node` at `depth`, into as few buckets as the format allows: one, or
/// a split one and what its children need.
pub(super) fn pack(node: u64, depth: u32, entries: Vec<Dirent>, fresh: &mut Vec<Fresh>) -> Result<()> {
    let slots: usize = entries.iter().map(|entry| dirent::slots_for(entry.name.len())).sum();
    if slots < SLOTS {
        fresh.push(Fresh { node, depth, entries: Some(entries) });
        return Ok(());
    }
    fresh.push(Fresh { node, depth, entries: None });
    pack_children(node, depth, entries, fresh)
}

/// Packs `entries` of the bucket at `node` into its 16 children and what lies below them.
pub(super) fn pack_children(
    node: u64,
    depth: u32,
    entries: Vec<Dirent>,
    fresh: &mut Vec<Fresh>,
) -> Result<()> {
    if depth >= DEPTH_MAX {
        let names = entries.len();
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!(
                "the directory has no room: {names} names or more share one bucket at the greatest depth"
            ),
        ));
    }
    let mut children: Vec<(u64, Vec<Dirent>)> = (0..FANOUT).map(|nibble| (nibble, vec![])).collect();
    for entry in entries {
        children[usize::try_from(dirent::nibble(entry.hash, depth)).unwrap_or(0)].1.push(entry);
    }
    for (nibble, entries) in children {
        pack(dirent::child(node, nibble), depth + 1, entries, fresh)?;
    }
    Ok(())
}
