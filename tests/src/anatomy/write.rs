//! Changing a structure so that its checksum fits again.

use siphasher::sip::SipHasher24;

use super::image::Image;
use super::parts::{Anatomy, DirectoryEntry, Inode, LANES};
use super::words::{BLOCK, Salt, entry, entry_place, kind, root, seal};

/// Seals the superblock at `at` after its fields were changed.
pub fn seal_superblock(image: &mut Image, at: u64) {
    let crc = crc32c::crc32c(&image.bytes(at, 508));
    image.set_half(at + 508, crc);
}

/// Seals what is written once of the inode at `at` after its fields were changed.
pub fn seal_birth(image: &mut Image, at: u64) {
    let crc = crc32c::crc32c(&image.bytes(at + 32, 32));
    image.set_half(at + 64, crc);
}

/// Gives an inode this kind word.
pub fn set_kind(image: &mut Image, inode: &Inode, value: u64, snapshot: bool, generation: u64) {
    image.set_word(inode.at, seal(kind(value, snapshot, generation), Salt::Kind, inode.number));
}

/// Gives an inode so many links.
pub fn set_links(image: &mut Image, inode: &Inode, links: u64) {
    image.set_word(inode.at + 8, seal(links, Salt::Links, inode.number));
}

/// Gives an inode this root.
pub fn set_root(image: &mut Image, inode: &Inode, block: u64, height: u64, flags: u64) {
    image.set_word(inode.at + 16, seal(root(block, height, flags), Salt::Root, 0));
}

/// Gives an inode this size.
pub fn set_size(image: &mut Image, inode: &Inode, bytes: u64) {
    image.set_word(inode.at + 24, seal(bytes, Salt::Size, inode.number));
}

/// Lets slot `slot` of the node at block `node`, which is at `level`, name `block`.
pub fn set_entry(image: &mut Image, node: u64, level: u64, slot: u64, block: u64, flags: u64) {
    let word = seal(entry(block, flags), Salt::MapEntry, entry_place(slot, level - 1));
    image.set_word(node * BLOCK + slot * 8, word);
}

/// Seals the directory entry at `at` after its fields were changed.
pub fn seal_name(image: &mut Image, at: u64) {
    let slots = (26 + u64::from(image.byte(at + 24))).div_ceil(64);
    let bytes = image.bytes(at, slots * 64);
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..20]), &bytes[24..]);
    image.set_half(at + 20, crc);
}

/// The hash of a name in a pool.
#[must_use]
pub fn hash(anatomy: &Anatomy, name: &[u8]) -> u64 {
    let [key0, key1] = anatomy.hash_seed;
    SipHasher24::new_with_keys(key0, key1).hash(name)
}

/// Adds a name beside `beside`, in the same bucket, whatever its hash: a copy of it that is called `name`. False where the bucket
/// has no room.
pub fn add_name(image: &mut Image, anatomy: &Anatomy, beside: &DirectoryEntry, name: &[u8]) -> bool {
    let slots = (26 + name.len() as u64).div_ceil(64);
    let occupied = image.word(beside.bucket + 16);
    let mut used = 1_u64;
    for slot in (1..64).filter(|slot| occupied >> slot & 1 == 1) {
        let taken = (26 + u64::from(image.byte(beside.bucket + 64 * slot + 24))).div_ceil(64);
        used |= ((1 << taken) - 1) << slot;
    }
    let Some(slot) = (1..64 - slots).find(|slot| used >> slot & ((1 << slots) - 1) == 0) else {
        return false;
    };
    let at = beside.bucket + 64 * slot;
    image.set_bytes(at, &vec![0; usize::try_from(slots * 64).expect("a few slots")]);
    image.set_bytes(at, &image.bytes(beside.at(), 26));
    image.set_word(at + 8, hash(anatomy, name));
    image.set_byte(at + 24, u8::try_from(name.len()).expect("at most 255 bytes"));
    image.set_bytes(at + 26, name);
    seal_name(image, at);
    image.set_word(beside.bucket + 16, occupied | 1 << slot);
    true
}

/// Writes a valid lane of these records.
pub fn set_lane(image: &mut Image, slot: u64, lane: u64, records: &[(u64, u64)]) {
    const SEQUENCE: u64 = 77;
    let at = LANES + (slot * 4 + lane) * BLOCK;
    image.set_word(at + 8, records.len() as u64);
    image.set_word(at + 16, SEQUENCE);
    for (record, place) in records.iter().zip((at + 64..).step_by(16)) {
        image.set_word(place, record.0);
        image.set_word(place + 8, record.1);
    }
    let crc = crc32c::crc32c(&image.bytes(at + 8, 56 + 16 * records.len() as u64));
    image.set_word(at, SEQUENCE << 32 | u64::from(crc));
}
