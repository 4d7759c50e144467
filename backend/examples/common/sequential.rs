//! A large file, written in order.

use daxcow::{File, FileOptions, Pool, Result};

const PIECE: usize = 1 << 20;

/// A new file of `size` bytes, whole MiB, written from front to back.
pub(crate) fn sequential(pool: &Pool, path: &str, size: u64) -> Result<File> {
    let file = pool.open_file(path, &FileOptions::new().read(true).write(true).create_new(true))?;
    let piece = vec![0xa5; PIECE];
    for offset in (0..size).step_by(PIECE) {
        file.write_at(&piece, offset)?;
    }
    Ok(file)
}
