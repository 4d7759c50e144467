//! The inode: 256 bytes, durable words first, volatile words in cache lines of their own.
//!
//! ```text
//!   0  kind word    generation 32, flags 8, kind 8      checked; 0 kind: the inode is free
//!   8  links word   links 32                            checked
//!  16  root word    of the extent map                   checked
//!  24  size word    bytes 48                            checked
//!  32  number       \
//!  40  created      |  nanoseconds since 1970
//!  48  origin       |  number of the inode this one was cloned from, 0 for none
//!  56  attribute    |  of a snapshot's top directory: its scope
//!  64  crc32c       /  of the four before
//!  72  modified        nanoseconds since 1970, any value is valid
//!  80  identity        of a received snapshot's top: what names the snapshot in every pool
//!  96  crc32c          of the identity
//! 100  0 up to 128
//! 128  epoch        \
//! 136  lock u32     |
//! 140  batch u32    |
//! 144  sequence     |
//! 152  remaps       |  a sequence counter of changes of the map
//! 160  stale u32    |  volatile: valid only where the epoch is the pool's current one,
//! 164  lazy u32     |  otherwise all zeros; lazy: the size word may not be durable
//! 168  extension    |
//! 192  open mask    |
//! 224  mapped mask  /  members that map it live
//! ```
//!
//! Whoever takes the lock stores to the words of its line or looks at them, and to no other line of the volatile half, so that one line
//! goes from one writer of a file to the next.

use super::lane::Record;
use super::word::{self, Salt};
use crate::error::{Error, Result};
use crate::units::{InodeNumber, PoolOffset};

/// Bytes in an inode.
pub(crate) const INODE_SIZE: u64 = 256;
/// Bytes of its durable half.
pub(crate) const DURABLE_BYTES: usize = 128;
/// The inode of the root directory.
pub(crate) const ROOT_DIRECTORY: InodeNumber = InodeNumber(1);
/// The inode of `/.snapshots`.
pub(crate) const SNAPSHOT_DIRECTORY: InodeNumber = InodeNumber(2);
/// The greatest size of a file, in bytes.
pub(crate) const FILE_SIZE_MAX: u64 = (1 << 48) - 1;

/// Offsets of the fields.
pub(crate) mod at {
    pub(crate) const KIND: u64 = 0;
    pub(crate) const LINKS: u64 = 8;
    pub(crate) const ROOT: u64 = 16;
    pub(crate) const SIZE: u64 = 24;
    pub(crate) const MODIFIED: u64 = 72;
    pub(crate) const EPOCH: u64 = 128;
    pub(crate) const LOCK: u64 = 136;
    pub(crate) const BATCH: u64 = 140;
    pub(crate) const SEQUENCE: u64 = 144;
    pub(crate) const REMAPS: u64 = 152;
    pub(crate) const STALE: u64 = 160;
    pub(crate) const LAZY_SIZE: u64 = 164;
    pub(crate) const EXTENSION: u64 = 168;
    pub(crate) const OPEN_MASK: u64 = 192;
    pub(crate) const MAPPED_MASK: u64 = 224;
}

/// What an inode is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Free,
    File,
    Directory,
}

/// The kind word, read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct KindWord {
    pub(crate) kind: Kind,
    /// Part of a snapshot: never written.
    pub(crate) snapshot: bool,
    /// Raised at each reuse of the inode.
    pub(crate) generation: u32,
}

const FLAG_SNAPSHOT: u64 = 1;

impl KindWord {
    /// The word for inode `number`.
    pub(crate) const fn encode(self, number: InodeNumber) -> u64 {
        let kind = match self.kind {
            Kind::Free => 0,
            Kind::File => 1,
            Kind::Directory => 2,
        };
        let flags = if self.snapshot { FLAG_SNAPSHOT } else { 0 };
        word::seal((self.generation as u64) << 16 | flags << 8 | kind, Salt::Kind, number.0)
    }

    /// Reads the kind word of inode `number`; a word of zeros is an inode never used.
    pub(crate) fn decode(word: u64, number: InodeNumber) -> Result<KindWord> {
        if word == 0 {
            return Ok(KindWord { kind: Kind::Free, snapshot: false, generation: 0 });
        }
        let damaged = || Error::corrupt("kind word", number, "a checked kind", format_args!("{word:#018x}"));
        let content = word::open(word, Salt::Kind, number.0).ok_or_else(damaged)?;
        let kind = match content & 0xff {
            0 => Kind::Free,
            1 => Kind::File,
            2 => Kind::Directory,
            _ => return Err(damaged()),
        };
        let flags = content >> 8 & 0xff;
        if flags > FLAG_SNAPSHOT {
            return Err(damaged());
        }
        let generation = u32::try_from(content >> 16).map_err(|_| damaged())?;
        Ok(KindWord { kind, snapshot: flags & FLAG_SNAPSHOT != 0, generation })
    }
}

/// The links word of inode `number`.
pub(crate) const fn encode_links(links: u32, number: InodeNumber) -> u64 {
    word::seal(links as u64, Salt::Links, number.0)
}

/// Reads the links word of inode `number`.
pub(crate) fn decode_links(word: u64, number: InodeNumber) -> Result<u32> {
    word::open(word, Salt::Links, number.0)
        .and_then(|content| u32::try_from(content).ok())
        .ok_or_else(|| Error::corrupt("links word", number, "a checked count", format_args!("{word:#018x}")))
}

/// The size word of inode `number`; `size` is at most [`FILE_SIZE_MAX`].
pub(crate) const fn encode_size(size: u64, number: InodeNumber) -> u64 {
    word::seal(size, Salt::Size, number.0)
}

/// Reads the size word of inode `number`.
#[inline]
pub(crate) fn decode_size(word: u64, number: InodeNumber) -> Result<u64> {
    word::open(word, Salt::Size, number.0).ok_or_else(|| bad_size(word, number))
}

#[cold]
fn bad_size(word: u64, number: InodeNumber) -> Error {
    Error::corrupt("size word", number, "a checked size", format_args!("{word:#018x}"))
}

/// What is written once when an inode is made, under its checksum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Birth {
    pub(crate) number: InodeNumber,
    /// Nanoseconds since 1970.
    pub(crate) created: u64,
    /// The inode this one was cloned from, 0 for none.
    pub(crate) origin: InodeNumber,
    /// Of a snapshot's top directory: its scope. Otherwise 0.
    pub(crate) attribute: u64,
}

const BIRTH_BYTES: std::ops::Range<usize> = 32..64;
const CRC_AT: usize = 64;
const MODIFIED_AT: usize = 72;

const IDENTITY_BYTES: std::ops::Range<usize> = 80..96;
const IDENTITY_CRC_AT: usize = 96;

/// The durable half of a new inode, which was modified when it was created.
pub(crate) fn encode(kind: KindWord, links: u32, root: u64, size: u64, birth: Birth) -> [u8; DURABLE_BYTES] {
    let mut bytes = [0; DURABLE_BYTES];
    let number = birth.number;
    let words = [
        kind.encode(number),
        encode_links(links, number),
        root,
        encode_size(size, number),
        number.0,
        birth.created,
        birth.origin.0,
        birth.attribute,
    ];
    for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
        to.copy_from_slice(&word.to_le_bytes());
    }
    let crc = crc32c::crc32c(&bytes[BIRTH_BYTES]);
    bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
    bytes[MODIFIED_AT..MODIFIED_AT + 8].copy_from_slice(&birth.created.to_le_bytes());
    bytes
}

/// Gives the durable half of a new inode another time of its last change, and an identity.
pub(crate) fn dress(bytes: &mut [u8; DURABLE_BYTES], modified: u64, identity: [u8; 16]) {
    bytes[MODIFIED_AT..MODIFIED_AT + 8].copy_from_slice(&modified.to_le_bytes());
    bytes[IDENTITY_BYTES].copy_from_slice(&identity);
    let crc = crc32c::crc32c(&identity);
    bytes[IDENTITY_CRC_AT..IDENTITY_CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
}

/// The identity in the durable half of inode `number`, if it has been given one.
pub(crate) fn decode_identity(bytes: &[u8; DURABLE_BYTES], number: InodeNumber) -> Result<Option<[u8; 16]>> {
    let identity: [u8; 16] = bytes[IDENTITY_BYTES].try_into().unwrap_or_default();
    if identity == [0; 16] {
        return Ok(None);
    }
    let at = IDENTITY_CRC_AT;
    let stored = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap_or_default());
    let crc = crc32c::crc32c(&identity);
    if stored == crc {
        return Ok(Some(identity));
    }
    Err(Error::corrupt("identity", number, format_args!("crc {crc:#x}"), format_args!("{stored:#x}")))
}

/// The words that make `birth` the birth record of the inode at `place`, its checksum included.
pub(crate) fn birth_words(birth: Birth, place: PoolOffset) -> Vec<Record> {
    let words = [birth.number.0, birth.created, birth.origin.0, birth.attribute];
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let offsets = (BIRTH_BYTES.start as u64..).step_by(8);
    let crc = u64::from(crc32c::crc32c(&bytes));
    offsets
        .zip(words.into_iter().chain([crc]))
        .map(|(at, value)| Record { place: place.add(at), value })
        .collect()
}

/// Reads and checks the birth record in the durable half of inode `number`.
pub(crate) fn decode_birth(bytes: &[u8; DURABLE_BYTES], number: InodeNumber) -> Result<Birth> {
    let mut words = [0; 4];
    for (word, from) in words.iter_mut().zip(bytes[BIRTH_BYTES].chunks_exact(8)) {
        *word = u64::from_le_bytes(from.try_into().unwrap_or_default());
    }
    let stored = u32::from_le_bytes(bytes[CRC_AT..CRC_AT + 4].try_into().unwrap_or_default());
    let crc = crc32c::crc32c(&bytes[BIRTH_BYTES]);
    if stored != crc {
        return Err(Error::corrupt(
            "inode",
            number,
            format_args!("crc {crc:#x}"),
            format_args!("{stored:#x}"),
        ));
    }
    if words[0] != number.0 {
        return Err(Error::corrupt("inode", number, number, InodeNumber(words[0])));
    }
    Ok(Birth { number, created: words[1], origin: InodeNumber(words[2]), attribute: words[3] })
}

/// The place of a field of the inode at `inode`.
pub(crate) const fn field(inode: PoolOffset, at: u64) -> PoolOffset {
    inode.add(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inode_reads_back_and_a_strange_number_is_seen() {
        let number = InodeNumber(7);
        let birth = Birth { number, created: 5, origin: InodeNumber(3), attribute: 9 };
        let kind = KindWord { kind: Kind::File, snapshot: true, generation: u32::MAX };
        let bytes = encode(kind, 2, 0, 4097, birth);
        assert_eq!(decode_birth(&bytes, number).unwrap(), birth);
        assert!(decode_birth(&bytes, InodeNumber(8)).is_err());
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        assert_eq!(KindWord::decode(word(0), number).unwrap(), kind);
        assert_eq!(decode_links(word(8), number).unwrap(), 2);
        assert_eq!(decode_size(word(24), number).unwrap(), 4097);
        let words = birth_words(birth, PoolOffset(512));
        assert_eq!(words.len(), 5);
        for Record { place, value } in words {
            let at = usize::try_from(place.0 - 512).unwrap();
            assert_eq!(value, word(at), "offset {at}");
        }
        for bit in 0..32 * 8 {
            let mut damaged = bytes;
            damaged[32 + bit / 8] ^= 1 << (bit % 8);
            assert!(decode_birth(&damaged, number).is_err(), "bit {bit}");
        }
    }
}
