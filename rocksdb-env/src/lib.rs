//! RocksDB databases in daxcow pools, for the `rocksdb` crate.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use rocksdb::{DB, Options};
//!
//! let mut options = Options::default();
//! options.create_if_missing(true);
//! options.set_env(&daxcow_rocksdb::env()?);
//! let db = DB::open(&options, daxcow_rocksdb::path("app.pool/db")?)?;
//! db.put(b"key", b"value")?;
//!
//! daxcow_rocksdb::snapshot(&db, "monday")?;
//! let monday = daxcow_rocksdb::path("app.pool/.snapshots/monday/db")?;
//! let monday = DB::open_for_read_only(&options, monday, false)?;
//! daxcow_rocksdb::clone("app.pool/.snapshots/monday/db", "app.pool/what-if")?;
//! # Ok(())
//! # }
//! ```
//!
//! A path that goes through a pool, `/dir/app.pool/db`, leads into it; every other path is served by RocksDB's default
//! FileSystem. So one [`env`] has databases in any number of pools and on the host, and checkpoints, backups and `wal_dir` may
//! lie in the same pool, in another one, or on the host.
//!
//! | where the crate takes a path | give it |
//! |---|---|
//! | what opens a database: `DB`, `TransactionDB`, `OptimisticTransactionDB`, read-only, secondary, with column families or TTL | [`path`]`("app.pool/db")?` |
//! | all others: `list_cf`, `destroy`, `repair`, checkpoints, backups, `set_wal_dir`, `set_db_paths` | `"app.pool/db"` |

mod env;
mod open;
mod tree;

pub use env::env;
pub use open::{DatabasePath, path};
pub use tree::{Database, clone, snapshot};

// The C++ FileSystem calls it.
use daxcow_rocksdb_abi as _;
