//! The border with SQLite's C code: every `unsafe` of the crate is in here.
//!
//! | module | what passes |
//! |---|---|
//! | [`abi`] | structures and constants of sqlite3.h |
//! | [`api`] | the functions that we call |
//! | [`vfs`] | `sqlite3_vfs`: registration, open, access, delete, names |
//! | [`io`] | `sqlite3_io_methods` |
//! | [`extension`], [`preload`] | the ways in |
//! | [`connection`] | SQL on a connection, reaching its main file |
//! | [`function`] | the SQL functions |
//! | [`table`] | the table `daxcow_snapshots` |
//! | [`wal_header`] | the header in a WAL index |
//!
//! **Architecture invariant:** nothing unwinds into C ([`guard`]), and no module outside has a raw pointer to follow.

mod abi;
pub(crate) mod api;
pub(crate) mod connection;
mod extension;
mod function;
mod io;
pub mod preload;
mod table;
pub(crate) mod vfs;
pub(crate) mod wal_header;

pub(crate) use abi::{code, iocap, open, shm};
pub(crate) use api::log;

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `body`; a panic in it becomes `fallback`, the panic hook having reported it.
fn guard(fallback: c_int, body: impl FnOnce() -> c_int) -> c_int {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(fallback)
}
