//! Pools and files of daxcow, as the benchmarks want them.

use std::path::Path;

use anyhow::{Context, Result};
use daxcow::units::BLOCK_BYTES;
use daxcow::{CreateOptions, File, FileOptions, FlushMode, Pool};
use rand::Rng;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// Bytes of a block.
pub(crate) const BLOCK: u64 = BLOCK_BYTES as u64;

const PIECE: usize = 1 << 20;

/// For reading and writing, made where it is not there.
pub(crate) const CREATE: FileOptions = FileOptions::new().read(true).write(true).create(true);

/// A new pool with real space for all of it.
pub(crate) fn pool(path: &Path, bytes: u64, flush: impl Into<FlushMode>) -> Result<Pool> {
    let options = CreateOptions::new().size(bytes.next_multiple_of(2 << 20)).flush(flush.into());
    Pool::create(path, &options)
        .with_context(|| format!("make a pool of {bytes} bytes at {}", path.display()))
}

/// A new file of `len` bytes, written from front to back.
pub(crate) fn written(pool: &Pool, path: &str, len: u64) -> Result<File> {
    let file = pool.open_file(path, &CREATE)?;
    let piece = vec![0xa5; PIECE];
    let mut offset = 0;
    while offset < len {
        let part = usize::try_from(len - offset).map_or(PIECE, |rest| rest.min(PIECE));
        file.write_at(&piece[..part], offset)?;
        offset += part as u64;
    }
    Ok(file)
}

/// Writes once to nearly all of a pool that is free, so that nobody is the first to touch its pages in what is measured.
pub(crate) fn touch(pool: &Pool) -> Result<()> {
    let usage = pool.info()?.usage;
    // Some is left for the maps of the file that does it.
    let len = (usage.free_bytes - usage.free_bytes / 32).saturating_sub(usage.reserve_bytes);
    drop(written(pool, "/touched", len)?);
    Ok(pool.remove_file("/touched")?)
}

/// Scatters a file by `writes` writes of random blocks while a snapshot holds the old ones, so that each lands elsewhere.
pub(crate) fn scatter(pool: &Pool, path: &str, writes: u64) -> Result<()> {
    let file = pool.open_file(path, &CREATE)?;
    let blocks = file.len()? / BLOCK;
    let mut random = StdRng::seed_from_u64(1);
    pool.create_snapshot("scatter", &["/"])?;
    for _ in 0..writes {
        file.write_at(&[0x5a; BLOCK_BYTES], random.random_range(0..blocks) * BLOCK)?;
    }
    pool.delete_snapshot("scatter")?;
    Ok(())
}
