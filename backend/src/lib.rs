//! daxcow: a user-space copy-on-write file layer for byte-addressable storage.
//!
//! A [`Pool`] is a file on a DAX file system, a DAX device, a tmpfs file or a plain file. It is mapped into every process
//! that uses it and holds a tree of files. Reads and writes are loads and stores; files share blocks, so that a snapshot
//! or a clone of any size costs microseconds; a [`Batch`] of writes is published all at once or not at all.
//!
//! ```
//! # fn main() -> daxcow::Result<()> {
//! # let dir = tempfile::tempdir().expect("a directory for the example");
//! # let path = dir.path().join("app.pool");
//! use daxcow::{CreateOptions, FileOptions, Pool};
//!
//! let pool = Pool::create(&path, &CreateOptions::new().size(64 << 20))?;
//! let file = pool.open_file("notes.txt", &FileOptions::new().read(true).write(true).create(true))?;
//! file.write_at(b"hello", 0)?;
//! pool.create_snapshot("before", &["/notes.txt"])?;
//! file.write_at(b"HELLO", 0)?;
//!
//! let old = pool.open_file(".snapshots/before/notes.txt", &FileOptions::new().read(true))?;
//! let mut text = [0; 5];
//! old.read_exact_at(&mut text, 0)?;
//! assert_eq!(&text, b"hello");
//! # Ok(())
//! # }
//! ```

mod dax;
pub mod error;
#[cfg(feature = "events")]
pub mod events;
mod extent_map;
mod file;
mod format;
mod inode;
mod iomap;
mod journal;
mod mount;
mod namespace;
mod os;
mod path;
mod place;
mod pmem;
mod pool;
mod relocate;
mod runtime;
mod snapshot;
mod space;
mod stat;
pub mod units;

pub use dax::mapping::{Mapping, MappingMut};
pub use dax::view::{View, Views};
pub use error::{Error, ErrorKind, Result};
pub use file::{Batch, Dedupe, Extent, ExtentKind, File, FileOptions};
pub use format::dirent::NAME_MAX;
pub use format::superblock::{MAGIC, VERSION};
pub use inode::advisory::{LockMode, LockState, LockStep, SharedMemory};
pub use mount::check::{CheckReport, Problem};
pub use mount::info::{MemberInfo, PoolInfo};
pub use mount::open::RecoveryInfo;
pub use mount::repair::{RepairReport, Repaired};
pub use mount::usage::SpaceUsage;
pub use mount::{CreateOptions, OpenOptions};
pub use namespace::resolve::KnownName;
pub use os::per_process::PerProcess;
pub use path::{PoolPath, split_pool_path};
pub use place::Place;
pub use pmem::medium::{Dax, Durability, FlushMode, Granularity, Medium};
pub use pmem::{FailedSync, is_memory_lost};
pub use pool::Pool;
pub use relocate::dedupe::{DedupeOptions, DedupeProgress, DedupeReport};
pub use relocate::defrag::DefragReport;
pub use snapshot::diff::{Change, DiffEntry};
pub use snapshot::keep::SnapshotInfo;
pub use snapshot::receive::{PartialReceive, ReceiveOptions, ReceiveReport};
pub use snapshot::rollback::RollbackOptions;
pub use snapshot::send::{ResumeToken, SendOptions, SendReport};
pub use stat::{DirEntry, FileKind, Metadata};

/// The simulated medium: recordings, crash images, death at a chosen step.
#[cfg(feature = "sim")]
pub use pmem::sim;
/// Reservations of space that are refused on purpose.
#[cfg(feature = "sim")]
pub use space::refuse::{allow_space, refuse_space};
