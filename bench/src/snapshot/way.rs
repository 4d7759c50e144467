//! The ways of copying a file, and the stores that hold it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use daxcow::Pool;
use daxcow::units::BLOCK_BYTES;

use crate::host;
use crate::ours::{self, BLOCK};
use crate::run::{Run, Spots};
use crate::snapshot::loop_mount::LoopMount;

/// A way of copying a file.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// `Pool::create_snapshot` of the file.
    Snapshot,
    /// `Pool::clone_tree` of the file.
    Clone,
    /// FICLONE on the mount of this number, and perhaps an fsync of the copy.
    Reflink { mount: usize, synced: bool },
    /// The command, on tmpfs.
    Cp,
}

pub(super) const SNAPSHOT: &str = "daxcow snapshot";

/// The same file in a pool, on each mounted file system, and on tmpfs.
pub(super) struct Stores<'a> {
    pub(super) pool: Pool,
    pool_path: PathBuf,
    mounts: &'a [LoopMount],
    /// The file on the mounts, where they have it.
    mounted: Vec<File>,
    plain: Option<PathBuf>,
    pub(super) len: u64,
    buffer: Vec<u8>,
}

impl<'a> Stores<'a> {
    /// A file of `len` bytes, in the pool with room for `scattered` bytes of new blocks, on the mounts if asked for, and on tmpfs if
    /// asked for.
    pub(super) fn new(
        run: &Run,
        mounts: &'a [LoopMount],
        len: u64,
        scattered: u64,
        plain: bool,
    ) -> Result<Stores<'a>> {
        let pool_path = run.path("snapshot.pool");
        let pool = ours::pool(&pool_path, len + len / 64 + scattered + (64 << 20), run.flush())?;
        drop(ours::written(&pool, "/data", len)?);
        let mut mounted = Vec::new();
        for mount in mounts {
            let file = host::written(&mount.path().join("data"), len)?;
            file.sync_all().context("fsync")?;
            mounted.push(file);
        }
        let plain = plain.then(|| run.path("plain"));
        if let Some(plain) = &plain {
            drop(host::written(plain, len)?);
        }
        Ok(Stores { pool, pool_path, mounts, mounted, plain, len, buffer: vec![0x5a; BLOCK_BYTES] })
    }

    /// The ways that can be measured here, with their names.
    pub(super) fn ways(&self) -> Vec<(String, Way)> {
        let mut ways = vec![(SNAPSHOT.to_owned(), Way::Snapshot), ("daxcow clone".to_owned(), Way::Clone)];
        for (number, _) in self.mounted.iter().enumerate() {
            let name = self.mounts[number].name;
            ways.push((format!("{name} FICLONE"), Way::Reflink { mount: number, synced: false }));
            ways.push((format!("{name} FICLONE + fsync"), Way::Reflink { mount: number, synced: true }));
        }
        if self.plain.is_some() {
            ways.push(("cp".to_owned(), Way::Cp));
        }
        ways
    }

    /// Scatters the file on all sides by the same writes of random blocks while a copy holds the old ones.
    pub(super) fn scatter(&self, writes: u64) -> Result<()> {
        ours::scatter(&self.pool, "/data", writes)?;
        for (number, file) in self.mounted.iter().enumerate() {
            let way = Way::Reflink { mount: number, synced: true };
            way.copy(self)?;
            let mut spots = Spots::new();
            for _ in 0..writes {
                file.write_all_at(&self.buffer, spots.below(self.len / BLOCK) * BLOCK).context("pwrite")?;
            }
            way.remove(self)?;
            file.sync_all().context("fsync")?;
        }
        Ok(())
    }

    /// Lets the mounts finish what they put off, so that it does not run beside what is measured next.
    pub(super) fn settle(&self) -> Result<()> {
        self.mounted.iter().try_for_each(|file| rustix::fs::syncfs(file).context("syncfs"))
    }

    /// Removes the files, on the mounts too.
    pub(super) fn remove(self) -> Result<()> {
        drop(self.pool);
        let mounted = self.mounts.iter().take(self.mounted.len()).map(|mount| mount.path().join("data"));
        for path in mounted.chain(self.plain).chain([self.pool_path]) {
            std::fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
        }
        Ok(())
    }

    fn copy_on(&self, mount: usize) -> PathBuf {
        self.mounts[mount].path().join("copy")
    }

    fn plain(&self) -> Result<&PathBuf> {
        self.plain.as_ref().context("there is a plain file")
    }
}

impl Way {
    /// Copies the file.
    pub(super) fn copy(&self, stores: &Stores<'_>) -> Result<()> {
        match self {
            Way::Snapshot => drop(stores.pool.create_snapshot("copy", &["/data"])?),
            Way::Clone => stores.pool.clone_tree("/data", "/copy")?,
            Way::Reflink { mount, synced } => {
                let copy = host::open(&stores.copy_on(*mount))?;
                rustix::fs::ioctl_ficlone(&copy, &stores.mounted[*mount]).context("FICLONE")?;
                if *synced {
                    copy.sync_all().context("fsync")?;
                }
            }
            Way::Cp => {
                let plain = stores.plain()?;
                host::run("cp", &[plain.as_os_str(), plain.with_extension("copy").as_os_str()])?;
            }
        }
        Ok(())
    }

    /// Removes the copy.
    pub(super) fn remove(&self, stores: &Stores<'_>) -> Result<()> {
        match self {
            Way::Snapshot => Ok(stores.pool.delete_snapshot("copy")?),
            Way::Clone => Ok(stores.pool.remove_file("/copy")?),
            Way::Reflink { mount, .. } => std::fs::remove_file(stores.copy_on(*mount)).context("unlink"),
            Way::Cp => std::fs::remove_file(stores.plain()?.with_extension("copy")).context("unlink"),
        }
    }

    /// Writes a block of the file.
    pub(super) fn write(&self, stores: &Stores<'_>, file: &daxcow::File, place: u64) -> Result<()> {
        match self {
            Way::Snapshot | Way::Clone => Ok(file.write_at(&stores.buffer, place)?),
            Way::Reflink { mount, synced } => {
                stores.mounted[*mount].write_all_at(&stores.buffer, place).context("pwrite")?;
                if *synced { stores.mounted[*mount].sync_data().context("fdatasync") } else { Ok(()) }
            }
            Way::Cp => host::open(stores.plain()?)?.write_all_at(&stores.buffer, place).context("pwrite"),
        }
    }
}
