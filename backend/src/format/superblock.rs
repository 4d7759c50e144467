//! The superblock: two copies, each with a sequence number and a checksum; the valid one with the higher number counts.
//!
//! It is written at creation, at the first open, at growth and at the last close, always over the older copy.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::layout;
use crate::error::{Error, ErrorKind, Result};
use crate::units::{BLOCK_SIZE, PoolOffset};

/// The first bytes of every pool.
pub const MAGIC: [u8; 8] = *b"DAXCOWPL";
/// The format version this crate reads and writes.
pub const VERSION: u32 = 1;
/// Features that forbid writing to who does not know them.
pub(crate) const RO_COMPAT_KNOWN: u64 = 0;
/// Features that forbid opening to who does not know them.
pub(crate) const INCOMPAT_KNOWN: u64 = 0;

/// The superblock as it lies on the medium.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Debug)]
#[repr(C)]
pub(crate) struct RawSuperblock {
    magic: [u8; 8],
    version: U32,
    block_size: U32,
    compat: U64,
    ro_compat: U64,
    incompat: U64,
    uuid: [u8; 16],
    sequence: U64,
    pool_blocks: U64,
    epoch: U64,
    state: U64,
    inodes_max: U64,
    hash_seed: [U64; 2],
    created: U64,
    boot_id: [u8; 16],
    node: [U64; 2],
    free_blocks: U64,
    inodes_used: U64,
    reserved: [u8; 336],
    reserved_word: U32,
    crc: U32,
}

/// The greatest sequence and epoch: no opening that raises them can come to an end of them.
const COUNTER_MAX: u64 = (1 << 63) - 1;
/// Bytes of a superblock.
pub(crate) const SUPERBLOCK_BYTES: usize = 512;
const _: () = assert!(size_of::<RawSuperblock>() == SUPERBLOCK_BYTES);
const CRC_AT: usize = SUPERBLOCK_BYTES - 4;

/// Whether the counts can be trusted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// Closed by its last member: counts are as the maps say.
    Clean,
    /// Open, or left behind by a crash: counts must be rebuilt.
    Open,
}

/// The superblock, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Superblock {
    pub(crate) compat: u64,
    pub(crate) ro_compat: u64,
    pub(crate) incompat: u64,
    pub(crate) uuid: [u8; 16],
    pub(crate) sequence: u64,
    /// Blocks of the pool, the header's included.
    pub(crate) pool_blocks: u64,
    /// Raised durably by each first opener; what volatile state is measured against.
    pub(crate) epoch: u64,
    pub(crate) state: State,
    pub(crate) inodes_max: u64,
    /// Keys of the hash of names.
    pub(crate) hash_seed: [u64; 2],
    /// Nanoseconds since 1970.
    pub(crate) created: u64,
    /// The boot in which it was opened last.
    pub(crate) boot_id: [u8; 16],
    /// Device and inode of the host file through which it was opened last.
    pub(crate) node: [u64; 2],
    /// Free blocks at the last clean close.
    pub(crate) free_blocks: u64,
    /// Inodes in use at the last clean close.
    pub(crate) inodes_used: u64,
}

impl Superblock {
    /// What never changes in the life of a pool.
    fn identity(&self) -> ([u8; 16], [u64; 2], u64, u64) {
        (self.uuid, self.hash_seed, self.inodes_max, self.created)
    }

    /// The bytes to write.
    pub(crate) fn encode(&self) -> [u8; SUPERBLOCK_BYTES] {
        let raw = RawSuperblock {
            magic: MAGIC,
            version: VERSION.into(),
            block_size: (4096u32).into(),
            compat: self.compat.into(),
            ro_compat: self.ro_compat.into(),
            incompat: self.incompat.into(),
            uuid: self.uuid,
            sequence: self.sequence.into(),
            pool_blocks: self.pool_blocks.into(),
            epoch: self.epoch.into(),
            state: u64::from(self.state == State::Open).into(),
            inodes_max: self.inodes_max.into(),
            hash_seed: self.hash_seed.map(U64::from),
            created: self.created.into(),
            boot_id: self.boot_id,
            node: self.node.map(U64::from),
            free_blocks: self.free_blocks.into(),
            inodes_used: self.inodes_used.into(),
            reserved: [0; 336],
            reserved_word: 0.into(),
            crc: 0.into(),
        };
        let mut bytes = [0; SUPERBLOCK_BYTES];
        bytes.copy_from_slice(raw.as_bytes());
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Checks one copy, which was read at `place`. The version is judged before the checksum, whose place a later version may change.
    pub(crate) fn decode(bytes: &[u8; SUPERBLOCK_BYTES], place: PoolOffset) -> Result<Superblock> {
        let raw = RawSuperblock::read_from_bytes(bytes)
            .map_err(|_| Error::corrupt("superblock", place, "512 bytes", "fewer"))?;
        if raw.magic != MAGIC {
            return Err(Error::new(
                ErrorKind::NotAPool,
                format!(
                    "no pool: expected the magic {:?} at {place}, found {:?}",
                    MAGIC.escape_ascii().to_string(),
                    raw.magic.escape_ascii().to_string()
                ),
            ));
        }
        if raw.version.get() > VERSION {
            return Err(Error::new(
                ErrorKind::UnsupportedVersion,
                format!("the pool has format version {}, this program reads up to {VERSION}", raw.version),
            ));
        }
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        if raw.crc.get() != crc {
            return Err(Error::corrupt(
                "superblock",
                place,
                format_args!("crc {crc:#x}"),
                format_args!("{:#x}", raw.crc),
            ));
        }
        raw.check(place)
    }
}

impl RawSuperblock {
    fn check(&self, place: PoolOffset) -> Result<Superblock> {
        let bad = |field: &str, expected: &str, found: u64| {
            Error::corrupt("superblock", format_args!("{place}, {field}"), expected, found)
        };
        if self.version.get() == 0 {
            return Err(bad("version", "1", 0));
        }
        if u64::from(self.block_size.get()) != BLOCK_SIZE {
            return Err(bad("block size", "4096", self.block_size.get().into()));
        }
        let unknown = self.incompat.get() & !INCOMPAT_KNOWN;
        if unknown != 0 {
            return Err(Error::new(
                ErrorKind::UnsupportedVersion,
                format!("the pool uses features that this program does not know: incompat bits {unknown:#x}"),
            ));
        }
        let pool_blocks = self.pool_blocks.get();
        if layout::pool_blocks_for(pool_blocks.saturating_mul(BLOCK_SIZE)) != pool_blocks
            || !(layout::POOL_SIZE_MIN / BLOCK_SIZE..=layout::POOL_SIZE_MAX / BLOCK_SIZE)
                .contains(&pool_blocks)
        {
            return Err(bad("pool blocks", "whole chunks from 16 MiB to 4 PiB", pool_blocks));
        }
        let state = match self.state.get() {
            0 => State::Clean,
            1 => State::Open,
            other => return Err(bad("state", "0 or 1", other)),
        };
        for (field, number) in [("sequence", self.sequence.get()), ("epoch", self.epoch.get())] {
            if number > COUNTER_MAX {
                return Err(bad(field, "less than 2^63", number));
            }
        }
        Ok(Superblock {
            compat: self.compat.get(),
            ro_compat: self.ro_compat.get(),
            incompat: self.incompat.get(),
            uuid: self.uuid,
            sequence: self.sequence.get(),
            pool_blocks,
            epoch: self.epoch.get(),
            state,
            inodes_max: self.inodes_max.get(),
            hash_seed: self.hash_seed.map(U64::get),
            created: self.created.get(),
            boot_id: self.boot_id,
            node: self.node.map(U64::get),
            free_blocks: self.free_blocks.get(),
            inodes_used: self.inodes_used.get(),
        })
    }
}

/// Chooses between the two copies: the valid one with the higher sequence number, or the more telling error.
pub(crate) fn choose(copies: [Result<Superblock>; 2]) -> Result<Superblock> {
    match copies {
        [Ok(a), Ok(b)] if a.identity() != b.identity() => Err(Error::corrupt(
            "superblock",
            "its two copies",
            "one uuid, hash seed, number of inodes and time of creation",
            "two that are both valid and differ",
        )),
        [Ok(a), Ok(b)] => Ok(if b.sequence > a.sequence { b } else { a }),
        [Ok(a), Err(error)] | [Err(error), Ok(a)] if error.kind() != ErrorKind::UnsupportedVersion => Ok(a),
        [Err(a), Err(b)] => Err(if a.kind() == ErrorKind::NotAPool {
            if b.kind() == ErrorKind::NotAPool { a } else { b }
        } else {
            a
        }),
        [Ok(_), Err(error)] | [Err(error), Ok(_)] => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(sequence: u64) -> Superblock {
        Superblock {
            compat: 0,
            ro_compat: 0,
            incompat: 0,
            uuid: [7; 16],
            sequence,
            pool_blocks: 16 << 8,
            epoch: 3,
            state: State::Open,
            inodes_max: 1 << 40,
            hash_seed: [1, 2],
            created: 11,
            boot_id: [9; 16],
            node: [5, 6],
            free_blocks: 77,
            inodes_used: 3,
        }
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let superblock = sample(4);
        let bytes = superblock.encode();
        assert_eq!(Superblock::decode(&bytes, PoolOffset(0)).unwrap(), superblock);
        for bit in 0..SUPERBLOCK_BYTES * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Superblock::decode(&damaged, PoolOffset(0)).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn the_newer_valid_copy_counts_and_a_later_version_is_not_passed_over() {
        let decode = |s: &Superblock| Superblock::decode(&s.encode(), PoolOffset(0));
        let damaged = || Err(Error::corrupt("superblock", "test", "a", "b"));
        assert_eq!(choose([decode(&sample(4)), decode(&sample(5))]).unwrap().sequence, 5);
        assert_eq!(choose([decode(&sample(4)), damaged()]).unwrap().sequence, 4);
        assert_eq!(choose([damaged(), decode(&sample(4))]).unwrap().sequence, 4);
        let other = Superblock { hash_seed: [1, 3], ..sample(5) };
        assert_eq!(choose([decode(&sample(4)), decode(&other)]).unwrap_err().kind(), ErrorKind::Corrupt);
        let worn = Superblock { epoch: u64::MAX, ..sample(5) };
        assert_eq!(decode(&worn).unwrap_err().kind(), ErrorKind::Corrupt);
        let later = || Err(Error::new(ErrorKind::UnsupportedVersion, "later"));
        assert_eq!(choose([decode(&sample(4)), later()]).unwrap_err().kind(), ErrorKind::UnsupportedVersion);
    }
}
