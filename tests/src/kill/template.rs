//! A pool that is laid down anew for each death: an empty one, closed, of which only what is not zero is kept.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use daxcow::{CreateOptions, Pool};

const PIECE: usize = 4096;

/// The bytes of a pool.
#[derive(Debug)]
pub struct Template {
    len: u64,
    pieces: Vec<(u64, Vec<u8>)>,
}

impl Template {
    /// An empty pool of `bytes` bytes, made at `path` and closed.
    ///
    /// # Errors
    /// What the pool or the host said.
    pub fn make(path: &Path, bytes: u64) -> Result<Template, String> {
        let pool = Pool::create(path, &CreateOptions::new().size(bytes).sparse(true).overwrite(true));
        pool.and_then(Pool::close).map_err(|error| format!("{error:?}"))?;
        let image = std::fs::read(path).map_err(|error| error.to_string())?;
        let pieces = image.chunks(PIECE).enumerate().filter(|(_, piece)| piece.iter().any(|&byte| byte != 0));
        let pieces = pieces.map(|(index, piece)| ((index * PIECE) as u64, piece.to_vec())).collect();
        Ok(Template { len: image.len() as u64, pieces })
    }

    /// Makes `path` that pool again.
    ///
    /// # Errors
    /// What the host said.
    pub fn lay(&self, path: &Path) -> io::Result<()> {
        let file = File::options().write(true).create(true).truncate(true).open(path)?;
        file.set_len(self.len)?;
        self.pieces.iter().try_for_each(|(at, piece)| file.write_all_at(piece, *at))
    }
}
