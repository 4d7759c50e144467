//! A lane: the redo log of one transaction at a time, one block.
//!
//! ```text
//!    0  validity word   sequence 32, crc32c 32     0: retired
//!    8  records         how many
//!   16  sequence        the same again, under the crc
//!   64  record 0        place 8, value 8
//!   80  record 1 ...
//! ```
//!
//! The crc covers everything from byte 8 to the end of the last record, so that a lane is either valid as a whole or
//! not at all.

use smallvec::SmallVec;

use super::layout::LANE_SIZE;
use crate::units::PoolOffset;

/// Where the records begin.
pub(crate) const RECORDS_AT: usize = 64;
/// Bytes of a record.
pub(crate) const RECORD_BYTES: usize = 16;
/// Records that fit a lane.
#[expect(clippy::cast_possible_truncation, reason = "a lane is one block")]
pub(crate) const RECORDS_MAX: usize = (LANE_SIZE as usize - RECORDS_AT) / RECORD_BYTES;

/// A lane from byte 8 on; of the heap only where it is long.
pub(crate) type Body = SmallVec<[u8; 256]>;

/// One word to store: where and what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Record {
    pub(crate) place: PoolOffset,
    pub(crate) value: u64,
}

/// The bytes of a lane from byte 8 on, and the validity word that makes them count.
pub(crate) fn encode(records: &[Record], sequence: u32) -> (Body, u64) {
    debug_assert!(!records.is_empty() && records.len() <= RECORDS_MAX && sequence != 0);
    let mut bytes = Body::from_elem(0, RECORDS_AT - 8 + records.len() * RECORD_BYTES);
    bytes[0..8].copy_from_slice(&(records.len() as u64).to_le_bytes());
    bytes[8..16].copy_from_slice(&u64::from(sequence).to_le_bytes());
    for (to, record) in bytes[RECORDS_AT - 8..].chunks_exact_mut(RECORD_BYTES).zip(records) {
        to[..8].copy_from_slice(&record.place.0.to_le_bytes());
        to[8..].copy_from_slice(&record.value.to_le_bytes());
    }
    let crc = crc32c::crc32c(&bytes);
    (bytes, u64::from(sequence) << 32 | u64::from(crc))
}

/// The records of a lane, if it is valid; nothing where it is retired or was never completed.
pub(crate) fn decode(lane: &[u8]) -> Option<Vec<Record>> {
    let word =
        |at: usize| lane.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
    let validity = word(0)?;
    let count = usize::try_from(word(8)?).ok().filter(|count| (1..=RECORDS_MAX).contains(count))?;
    if validity == 0 || word(16)? != validity >> 32 {
        return None;
    }
    let body = lane.get(8..RECORDS_AT + count * RECORD_BYTES)?;
    if u64::from(crc32c::crc32c(body)) != validity & 0xffff_ffff {
        return None;
    }
    let records = (0..count).map(|index| {
        let at = RECORDS_AT + index * RECORD_BYTES;
        Some(Record { place: PoolOffset(word(at)?), value: word(at + 8)? })
    });
    records.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_valid_as_a_whole_or_not_at_all() {
        let records: Vec<_> = (1..=5).map(|n| Record { place: PoolOffset(n * 8), value: n }).collect();
        let (body, validity) = encode(&records, 3);
        let mut lane = validity.to_le_bytes().to_vec();
        lane.extend(&body);
        assert_eq!(decode(&lane), Some(records));
        for bit in 0..lane.len() * 8 {
            lane[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&lane).is_none(), "bit {bit}");
            lane[bit / 8] ^= 1 << (bit % 8);
        }
        lane[..8].fill(0);
        assert_eq!(decode(&lane), None);
    }
}
