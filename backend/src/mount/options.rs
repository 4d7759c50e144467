//! How a pool is to be created or opened.

use crate::format::inode::FILE_SIZE_MAX;
use crate::format::inode::INODE_SIZE;
use crate::pmem::medium::{Dax, FlushMode};

/// How to create a pool. The size must be given, except on a device, which is used whole.
#[derive(Clone, Debug)]
pub struct CreateOptions {
    pub(super) size: Option<u64>,
    pub(super) sparse: bool,
    pub(super) inodes_max: u64,
    pub(super) overwrite: bool,
    pub(super) dax: Dax,
    pub(super) flush: FlushMode,
    pub(super) mode: u32,
}

impl Default for CreateOptions {
    fn default() -> CreateOptions {
        CreateOptions {
            size: None,
            sparse: false,
            inodes_max: FILE_SIZE_MAX / INODE_SIZE,
            overwrite: false,
            dax: Dax::Auto,
            flush: FlushMode::On,
            mode: 0o644,
        }
    }
}

impl CreateOptions {
    /// The defaults: real space for the whole pool, any number of inodes, no overwriting.
    #[must_use]
    pub fn new() -> CreateOptions {
        CreateOptions::default()
    }

    /// The size of the pool in bytes, at least 16 MiB; rounded down to whole chunks of 2 MiB.
    #[must_use]
    pub fn size(mut self, bytes: u64) -> CreateOptions {
        self.size = Some(bytes);
        self
    }

    /// Whether the host gives the pool space only when it is written to. A full host then fails stores with
    /// [`MediaError`](crate::ErrorKind::MediaError).
    #[must_use]
    pub fn sparse(mut self, sparse: bool) -> CreateOptions {
        self.sparse = sparse;
        self
    }

    /// How many inodes (files and directories, snapshots' included) the pool may have, at least 16.
    #[must_use]
    pub fn max_inodes(mut self, inodes: u64) -> CreateOptions {
        self.inodes_max = inodes;
        self
    }

    /// Whether to replace what is there. A pool that is in use is never replaced.
    #[must_use]
    pub fn overwrite(mut self, overwrite: bool) -> CreateOptions {
        self.overwrite = overwrite;
        self
    }

    /// Whether to use, or insist on, `MAP_SYNC`.
    #[must_use]
    pub fn dax(mut self, dax: Dax) -> CreateOptions {
        self.dax = dax;
        self
    }

    /// Whether this member makes its stores durable.
    #[must_use]
    pub fn flush(mut self, flush: FlushMode) -> CreateOptions {
        self.flush = flush;
        self
    }

    /// The permission bits of the new file, 0o644 unless said otherwise; the umask applies.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> CreateOptions {
        self.mode = mode;
        self
    }
}

/// How to open a pool.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    pub(super) dax: Dax,
    pub(super) flush: FlushMode,
    pub(super) read_only: bool,
    pub(super) force: bool,
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions { dax: Dax::Auto, flush: FlushMode::On, read_only: false, force: false }
    }
}

impl OpenOptions {
    /// The defaults: for reading and writing, with whatever the medium can do.
    #[must_use]
    pub fn new() -> OpenOptions {
        OpenOptions::default()
    }

    /// Whether to use, or insist on, `MAP_SYNC`.
    #[must_use]
    pub fn dax(mut self, dax: Dax) -> OpenOptions {
        self.dax = dax;
        self
    }

    /// Whether this member makes its stores durable.
    #[must_use]
    pub fn flush(mut self, flush: FlushMode) -> OpenOptions {
        self.flush = flush;
        self
    }

    /// Reads snapshots only and writes nothing, for who may not or will not write.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> OpenOptions {
        self.read_only = read_only;
        self
    }

    /// Opens a device although it seems to be in use through another device node. Only safe when that is known to be
    /// over.
    #[must_use]
    pub fn force(mut self, force: bool) -> OpenOptions {
        self.force = force;
        self
    }
}
