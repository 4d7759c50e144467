//! Snapshots and clones of databases.

use daxcow::{Error, ErrorKind, Place, Result};
use rocksdb::{
    DB, DBWithThreadMode, MultiThreaded, OptimisticTransactionDB, Options, SingleThreaded, TransactionDB,
};
use std::path::{Path, PathBuf};

type Outcome = std::result::Result<(), rocksdb::Error>;

/// A database that [`snapshot`] can keep.
pub trait Database {
    /// Where it lies.
    fn directory(&self) -> &Path;

    /// Flushes the memtables of the column families of these names, all there are.
    ///
    /// # Errors
    /// As RocksDB's.
    fn flush_families(&self, names: &[String]) -> Outcome;
}

macro_rules! databases {
    ($($database:ty),*) => {$(
        impl Database for $database {
            fn directory(&self) -> &Path {
                self.path()
            }

            fn flush_families(&self, names: &[String]) -> Outcome {
                let families: Vec<_> = names.iter().filter_map(|name| self.cf_handle(name)).collect();
                // Opened without naming any: there is only the default one.
                if families.is_empty() {
                    return self.flush();
                }
                families.iter().try_for_each(|family| self.flush_cf(family))
            }
        }
    )*};
}

databases!(
    DBWithThreadMode<SingleThreaded>,
    DBWithThreadMode<MultiThreaded>,
    OptimisticTransactionDB<SingleThreaded>,
    OptimisticTransactionDB<MultiThreaded>,
    TransactionDB<SingleThreaded>,
    TransactionDB<MultiThreaded>
);

/// Flushes the memtables of all column families, keeps the database's directory under `/.snapshots/NAME` of its pool, and
/// answers the path under which it opens read-only. What others write meanwhile is kept up to one instant, in the WAL. Without
/// the flush, and from any process, [`daxcow::Pool::create_snapshot`] or `daxcow snapshot create` does the same in less time:
/// whoever opens that snapshot replays the WAL.
///
/// A `wal_dir` or `db_paths` elsewhere must be named to `create_snapshot` together with the directory.
///
/// # Errors
/// `InvalidInput` where the database lies in no pool; `Io` where RocksDB could not flush; as [`daxcow::Pool::create_snapshot`].
pub fn snapshot(database: &impl Database, name: &str) -> Result<PathBuf> {
    let directory = database.directory();
    let place = in_pool(directory)?;
    let failed = |error: rocksdb::Error| Error::new(ErrorKind::Io, error.into_string()).at(directory);
    let mut options = Options::default();
    options.set_env(&crate::env()?);
    let names = DB::list_cf(&options, directory).map_err(failed)?;
    database.flush_families(&names).map_err(failed)?;
    place.pool.create_snapshot(name, &[&place.path])?;
    let kept = Path::new("/.snapshots").join(name).join(place.path.strip_prefix("/").unwrap_or(&place.path));
    Ok(place.beside(kept).host_path())
}

/// Makes `to` a writable copy of the database directory `from`, of a snapshot's or a live database's. All blocks are shared
/// until one of the two writes to them.
///
/// # Errors
/// `InvalidInput` where the paths do not lead through one pool; as [`daxcow::Pool::clone_tree`].
pub fn clone(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
    let (from, to) = (in_pool(from.as_ref())?, in_pool(to.as_ref())?);
    if !from.is_in_pool_of(&to) {
        let message = format!("{} lies in another pool", to.host_path().display());
        return Err(Error::new(ErrorKind::InvalidInput, message).at(from.host_path()));
    }
    from.pool.clone_tree(&from.path, &to.path)
}

fn in_pool(path: &Path) -> Result<Place> {
    Place::find(path)?
        .ok_or_else(|| Error::new(ErrorKind::InvalidInput, "the path goes through no pool").at(path))
}
