//! How far a receiver has come.

use super::Position;
use super::numbers::{Reader, Writer};

/// How far a receiver has come: two slots in its state file, of which the valid one with the higher sequence counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Progress {
    pub(crate) sequence: u64,
    pub(crate) position: Position,
    /// Bytes of the state file that hold the header and the tree.
    pub(crate) tree_bytes: u64,
}

/// Bytes of a slot.
pub(crate) const PROGRESS_BYTES: usize = 36;

impl Progress {
    pub(crate) fn encode(&self) -> [u8; PROGRESS_BYTES] {
        let mut bytes = Vec::with_capacity(PROGRESS_BYTES);
        Writer(&mut bytes).u64(self.sequence).position(self.position).u64(self.tree_bytes).u32(0);
        let crc = crc32c::crc32c(&bytes);
        bytes.extend(crc.to_le_bytes());
        bytes.try_into().unwrap_or([0; PROGRESS_BYTES])
    }

    pub(crate) fn decode(bytes: &[u8; PROGRESS_BYTES]) -> Option<Progress> {
        let (body, crc) = bytes.split_at(PROGRESS_BYTES - 4);
        if Reader(crc).u32().ok()? != crc32c::crc32c(body) {
            return None;
        }
        let mut from = Reader(body);
        let (sequence, position) = (from.u64().ok()?, from.position().ok()?);
        Some(Progress { sequence, position, tree_bytes: from.u64().ok()? }).filter(|found| found.sequence > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_reads_back_and_zeros_are_none() {
        let progress = Progress { sequence: 3, position: Position { file: 2, offset: 1 }, tree_bytes: 9 };
        assert_eq!(Progress::decode(&progress.encode()), Some(progress));
        assert_eq!(Progress::decode(&[0; PROGRESS_BYTES]), None);
    }
}
