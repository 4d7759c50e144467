//! SQLite databases in daxcow pools: a VFS named `daxcow`, and SQL functions for snapshots.
//!
//! A database is named by a path that leads through the pool, `/dir/app.pool/sub/main.db`; every other path goes to the VFS
//! that was the default before. One code base comes in three ways: as a loadable extension (`libdaxcow_sqlite.so`), as a
//! preload library that makes the VFS the default of an unmodified program (crate `daxcow-sqlite-preload`), and through
//! [`register`] in a program that links SQLite itself.
//!
//! | module | holds |
//! |---|---|
//! | `ffi` | the border with C; all `unsafe` |
//! | `file` | what an open file does, as a trait |
//! | `open`, `names`, `known_names`, `pools` | which file a name means |
//! | `main_db`, `staging`, `header`, `super_journal`, `super_journal_file`, `journal` | databases, and their transactions as batches |
//! | `plain_file` | WALs and other files that are written directly |
//! | `locks`, `wal_index`, `fetch`, `control` | locking levels, shared memory, pages in place, file-controls |
//! | `commands`, `rollback`, `private_clone` | the SQL functions |
//! | `error` | result codes |
//! | `probe` | answers about names, for the fuzzer |
//!
//! **Architecture invariant:** nothing here knows how a pool stores files; what is written is a [`daxcow::Batch`] or a file.

mod commands;
mod control;
mod error;
mod fetch;
mod ffi;
mod file;
mod header;
mod journal;
mod known_names;
mod locks;
mod main_db;
mod names;
mod open;
mod plain_file;
mod pools;
mod private_clone;
#[doc(hidden)]
pub mod probe;
mod rollback;
mod staging;
mod super_journal;
mod super_journal_file;
mod wal_index;

#[cfg(feature = "static")]
mod linked;

#[doc(hidden)]
pub use ffi::preload;
#[cfg(feature = "static")]
pub use linked::register;

/// The name of the VFS as an owned string.
fn vfs_name() -> String {
    ffi::vfs::NAME.to_string_lossy().into_owned()
}
