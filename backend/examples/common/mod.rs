//! What the measuring examples share: their arguments, random blocks, and times in order.

use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Bytes of a block, the unit of sharing.
pub(crate) const BLOCK: u64 = 4096;

/// `[DIRECTORY [SIZE-IN-MIB]]`: where the pool is made, `/dev/shm` unless said otherwise, and the size of the data in bytes.
pub(crate) fn arguments(default_mib: u64) -> std::result::Result<(PathBuf, u64), String> {
    let mut words = std::env::args_os().skip(1);
    let directory = words.next().map_or_else(|| PathBuf::from("/dev/shm"), PathBuf::from);
    let mib = match words.next() {
        None => default_mib,
        Some(word) => word
            .to_str()
            .and_then(|word| word.parse().ok())
            .filter(|mib| (1..=1 << 24).contains(mib))
            .ok_or_else(|| format!("{} is not a size in MiB, 1 to 16777216", word.display()))?,
    };
    Ok((directory, mib << 20))
}

/// SplitMix64 from a fixed seed: every run does the same.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// The offset of some block of a file of `size` bytes.
    pub(crate) fn block(&mut self, size: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % (size / BLOCK) * BLOCK
    }
}

/// What `act` answers and how long it took.
pub(crate) fn timed<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let answer = act();
    (answer, started.elapsed())
}
