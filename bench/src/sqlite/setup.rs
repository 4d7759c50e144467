//! The ways of keeping a database.

use std::path::PathBuf;

use anyhow::{Context, Result};
use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};

use crate::run::Run;

/// Where a database lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Medium {
    /// On the medium that is measured.
    Measured,
    Disk,
    /// On the heap of the process.
    Heap,
}

/// A way of keeping a database.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) name: &'static str,
    pub(super) medium: Medium,
    vfs: &'static str,
    journal_mode: &'static str,
    locking_mode: &'static str,
    mmap_bytes: u32,
}

impl Setup {
    const fn new(name: &'static str, medium: Medium, vfs: &'static str, journal_mode: &'static str) -> Setup {
        Setup { name, medium, vfs, journal_mode, locking_mode: "NORMAL", mmap_bytes: 0 }
    }

    const fn exclusive(self) -> Setup {
        Setup { locking_mode: "EXCLUSIVE", ..self }
    }

    const fn mapped(self) -> Setup {
        Setup { mmap_bytes: 1 << 28, ..self }
    }

    /// Whether several connections can use it at a time.
    pub(super) fn is_shared(&self) -> bool {
        self.medium != Medium::Heap && self.locking_mode == "NORMAL"
    }
}

pub(super) const SETUPS: [Setup; 12] = [
    Setup::new("daxcow delete", Medium::Measured, "daxcow", "DELETE"),
    Setup::new("daxcow WAL", Medium::Measured, "daxcow", "WAL"),
    Setup::new("daxcow delete, exclusive", Medium::Measured, "daxcow", "DELETE").exclusive(),
    Setup::new("unix delete", Medium::Measured, "unix", "DELETE"),
    Setup::new("unix memory", Medium::Measured, "unix", "MEMORY"),
    Setup::new("unix WAL", Medium::Measured, "unix", "WAL"),
    Setup::new("unix WAL, mmap", Medium::Measured, "unix", "WAL").mapped(),
    Setup::new("unix WAL, exclusive", Medium::Measured, "unix", "WAL").exclusive(),
    Setup::new("memdb", Medium::Heap, "memdb", "DELETE"),
    Setup::new("daxcow delete, disk", Medium::Disk, "daxcow", "DELETE"),
    Setup::new("unix delete, disk", Medium::Disk, "unix", "DELETE"),
    Setup::new("unix WAL, disk", Medium::Disk, "unix", "WAL"),
];

/// A database that is kept in some way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Database {
    path: PathBuf,
    vfs: String,
    /// Whether the path leads through this pool.
    pool: Option<PathBuf>,
    page_size: u32,
    journal_mode: String,
    locking_mode: String,
    mmap_bytes: u32,
}

impl Database {
    /// The database of a round; nothing is made yet.
    pub(super) fn new(run: &Run, setup: &Setup, page_size: u32, round: u32) -> Database {
        let file = format!("{}-{page_size}-{round}.db", setup.name.replace([' ', ','], "-"));
        let place = |name: &str| match setup.medium {
            Medium::Disk => run.path_on_disk(name),
            Medium::Measured | Medium::Heap => run.path(name),
        };
        let pool = (setup.vfs == "daxcow").then(|| place("bench.pool"));
        let path = match (&pool, setup.medium) {
            (Some(pool), _) => pool.join(file),
            (None, Medium::Heap) => PathBuf::from(format!("/{file}")),
            (None, _) => place(&file),
        };
        Database {
            path,
            pool,
            vfs: setup.vfs.to_owned(),
            page_size,
            journal_mode: setup.journal_mode.to_owned(),
            locking_mode: setup.locking_mode.to_owned(),
            mmap_bytes: setup.mmap_bytes,
        }
    }

    /// Opens it.
    pub(super) fn open(&self) -> Result<Connection> {
        let uri = format!("file:{}?vfs={}", self.path.display(), self.vfs);
        let connection =
            Connection::open_with_flags(&uri, OpenFlags::default()).with_context(|| format!("open {uri}"))?;
        connection.busy_timeout(std::time::Duration::from_secs(60))?;
        connection
            .execute_batch(&format!(
                "PRAGMA page_size={}; PRAGMA locking_mode={}; PRAGMA journal_mode={}; PRAGMA synchronous=FULL;
                 PRAGMA mmap_size={};",
                self.page_size, self.locking_mode, self.journal_mode, self.mmap_bytes
            ))
            .with_context(|| format!("prepare {uri}"))?;
        Ok(connection)
    }

    /// Makes it, with a table of so many rows.
    pub(super) fn create(&self, rows: u32) -> Result<Connection> {
        let connection = self.open()?;
        connection
            .execute_batch(&format!(
                "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);
                 WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < {rows})
                 INSERT INTO t SELECT id, 'a row of some fifty bytes, as many tables have them' FROM n;"
            ))
            .with_context(|| format!("fill {}", self.path.display()))?;
        Ok(connection)
    }

    /// The rows it was made with, or more.
    pub(super) fn rows(&self, connection: &Connection) -> Result<u32> {
        let rows = connection.query_row("SELECT max(id) FROM t", [], |row| row.get(0));
        rows.with_context(|| format!("count the rows of {}", self.path.display()))
    }

    /// Removes it, when nobody has it open any more.
    pub(super) fn remove(&self) -> Result<()> {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let mut path = self.path.clone().into_os_string();
            path.push(suffix);
            let path = PathBuf::from(path);
            let Some(pool) = &self.pool else {
                if path.exists() {
                    std::fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
                }
                continue;
            };
            let pool_path = path.strip_prefix(pool).context("a path in the pool")?;
            let pool = daxcow::Pool::open_shared(pool, &daxcow::OpenOptions::new())?;
            if pool.exists(pool_path)? {
                pool.remove_file(pool_path)?;
            }
        }
        Ok(())
    }
}
