//! A file in many pieces, for the examples that measure what those cost.

use daxcow::{File, Pool, Result};

use crate::common::Random;

/// Scatters a file of `size` bytes: `writes` random blocks are written while a snapshot holds the old ones, so that each
/// lands elsewhere; then the snapshot goes.
pub(crate) fn scatter(pool: &Pool, file: &File, size: u64, writes: u64, random: &mut Random) -> Result<()> {
    pool.create_snapshot("scatter", &["/"])?;
    for _ in 0..writes {
        file.write_at(&[0x5a; daxcow::units::BLOCK_BYTES], random.block(size))?;
    }
    pool.delete_snapshot("scatter")
}
