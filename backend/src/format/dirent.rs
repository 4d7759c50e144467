//! Directory blocks: 64 slots of 64 bytes, the first the header, names in the rest.
//!
//! ```text
//! header  0  magic u32, depth u32
//!         8  node              the block's index in the directory file
//!        16  occupied          bit i: an entry begins at slot i          published
//!        24  split             0, or SPLIT once the entries moved to the 16 children   published
//! entry   0  inode
//!         8  hash of the name
//!        16  generation u32    of the inode
//!        20  crc32c            of the entry but these 4 bytes
//!        24  length u8, kind u8, name ... over as many slots as it needs
//! ```
//!
//! An entry is written into free slots first, unreachable, and begins to exist when its bit is published; one word says
//! both that a name came and that another went. The block of hash prefix p lies at a fixed index of the sparse directory
//! file: the root block at 0, the children of node n at 16 n + 1 to 16 n + 16.

use super::inode::Kind;
use crate::units::{BLOCK_BYTES, InodeNumber};

/// Bytes of a slot.
pub(crate) const SLOT_BYTES: usize = 64;
/// Slots of a block, the header's included.
pub(crate) const SLOTS: usize = BLOCK_BYTES / SLOT_BYTES;
/// The longest name.
pub const NAME_MAX: usize = 255;
/// Children of a split block.
pub(crate) const FANOUT: u64 = 16;
/// The deepest block: 32 bits of hash.
pub(crate) const DEPTH_MAX: u32 = 8;
/// Where the word of occupied slots lies in a block.
pub(crate) const OCCUPIED_AT: u64 = 16;
/// Where the split word lies in a block.
pub(crate) const SPLIT_AT: u64 = 24;
/// The split word of a block whose entries have moved to its children.
pub(crate) const SPLIT: u64 = u64::from_le_bytes(*b"dirsplit");

const MAGIC: u32 = u32::from_le_bytes(*b"DIRB");
const NAME_AT: usize = 26;

/// A name in a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Dirent {
    pub(crate) inode: InodeNumber,
    pub(crate) generation: u32,
    pub(crate) kind: Kind,
    pub(crate) hash: u64,
    pub(crate) name: Vec<u8>,
}

/// Slots that an entry with a name of `name_bytes` bytes takes.
pub(crate) const fn slots_for(name_bytes: usize) -> usize {
    (NAME_AT + name_bytes).div_ceil(SLOT_BYTES)
}

/// The index of child `nibble` of the block at index `node`.
pub(crate) const fn child(node: u64, nibble: u64) -> u64 {
    node * FANOUT + 1 + nibble
}

/// The 4 bits of `hash` that choose the child below a block at `depth`.
pub(crate) const fn nibble(hash: u64, depth: u32) -> u64 {
    hash >> (60 - 4 * depth) & 0xf
}

/// The header of an empty block.
pub(crate) fn encode_header(node: u64, depth: u32, occupied: u64) -> [u8; SLOT_BYTES] {
    let mut bytes = [0; SLOT_BYTES];
    bytes[0..4].copy_from_slice(&MAGIC.to_le_bytes());
    bytes[4..8].copy_from_slice(&depth.to_le_bytes());
    bytes[8..16].copy_from_slice(&node.to_le_bytes());
    bytes[16..24].copy_from_slice(&occupied.to_le_bytes());
    bytes
}

/// The two first words of the header of the block at index `node` and depth `depth`.
pub(crate) const fn header_words(node: u64, depth: u32) -> [u64; 2] {
    [MAGIC as u64 | (depth as u64) << 32, node]
}

impl Dirent {
    /// Writes the entry to `bytes`, zeros and as many whole slots as it takes.
    pub(crate) fn encode(&self, bytes: &mut [u8]) {
        debug_assert!((1..=NAME_MAX).contains(&self.name.len()));
        bytes[0..8].copy_from_slice(&self.inode.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.hash.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.generation.to_le_bytes());
        bytes[24] = u8::try_from(self.name.len()).unwrap_or(u8::MAX);
        bytes[25] = if self.kind == Kind::Directory { 2 } else { 1 };
        bytes[NAME_AT..NAME_AT + self.name.len()].copy_from_slice(&self.name);
        let crc = crc(bytes);
        bytes[20..24].copy_from_slice(&crc.to_le_bytes());
    }

    /// Reads the entry that begins at `bytes`; nothing where it is damaged.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Dirent> {
        let length = usize::from(*bytes.get(24)?);
        let whole = bytes.get(..slots_for(length) * SLOT_BYTES)?;
        let stored = u32::from_le_bytes(whole[20..24].try_into().ok()?);
        if length == 0 || stored != crc(whole) {
            return None;
        }
        let kind = match whole[25] {
            1 => Kind::File,
            2 => Kind::Directory,
            _ => return None,
        };
        Some(Dirent {
            inode: InodeNumber(u64::from_le_bytes(whole[0..8].try_into().ok()?)),
            hash: u64::from_le_bytes(whole[8..16].try_into().ok()?),
            generation: u32::from_le_bytes(whole[16..20].try_into().ok()?),
            kind,
            name: whole[NAME_AT..NAME_AT + length].to_vec(),
        })
    }
}

fn crc(entry: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&entry[..20]), &entry[24..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_length_read_back_and_damage_is_seen() {
        for length in 1..=NAME_MAX {
            let name = vec![b'n'; length];
            let entry = Dirent { inode: InodeNumber(9), generation: 4, kind: Kind::File, hash: 0xABCD, name };
            let mut bytes = vec![0; slots_for(length) * SLOT_BYTES];
            entry.encode(&mut bytes);
            assert_eq!(Dirent::decode(&bytes), Some(entry));
            let place = length * 7919 % bytes.len();
            bytes[place] ^= 0x40;
            assert_eq!(Dirent::decode(&bytes), None, "length {length}, byte {place}");
        }
    }

    #[test]
    fn the_nodes_of_all_depths_are_distinct() {
        let mut seen = std::collections::HashSet::from([0]);
        let mut level = vec![0];
        for _ in 0..3 {
            level = level.iter().flat_map(|&node| (0..FANOUT).map(move |n| child(node, n))).collect();
            assert!(level.iter().all(|&node| seen.insert(node)));
        }
    }
}
