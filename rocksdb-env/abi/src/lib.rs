//! The C side of daxcow that the C++ FileSystem stands on: what `rocksdb-env/cpp/abi.h` declares.
//!
//! | module | calls |
//! |---|---|
//! | [`error`] | what failed: an errno and a sentence |
//! | [`place`] | which pool a path goes through, and what names there can do |
//! | [`file`] | open files: read, append, write, allocate, truncate, sync |
//! | [`map`] | whole files readable in place |
//! | [`lock`] | locks between processes that end with their holder |
//! | [`api`] | snapshots and clones, for programs: `rocksdb-env/include/daxcow_rocksdb.h` |
//!
//! Every function answers null, or an error that the caller frees. Nothing unwinds into C ([`call`]).
//!
//! **Architecture Invariant**: calls are translated, and nothing is decided here. How files behave is the backend's matter,
//! and what RocksDB wants of them is the C++ FileSystem's.
#![expect(unsafe_code, reason = "the border with C++")]

pub mod api;
pub mod error;
pub mod file;
pub mod kept;
pub mod lock;
pub mod map;
pub mod place;

use std::ffi::c_char;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use error::Failure;

/// Bytes of the caller's, such as a path; not terminated.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Text {
    data: *const c_char,
    len: usize,
}

impl Text {
    /// The bytes.
    ///
    /// # Safety
    /// `data` points to `len` bytes that stay for as long as they are used.
    pub(crate) unsafe fn bytes<'a>(self) -> &'a [u8] {
        // SAFETY: the caller's promise.
        unsafe { bytes(self.data.cast(), self.len) }
    }
}

/// `len` bytes at `data`, which may be null where there are none.
///
/// # Safety
/// `data` points to `len` readable bytes that stay for as long as they are used.
pub(crate) unsafe fn bytes<'a>(data: *const u8, len: usize) -> &'a [u8] {
    if len == 0 {
        return &[];
    }
    // SAFETY: the caller's promise; not null where there are bytes.
    unsafe { std::slice::from_raw_parts(data, len) }
}

/// Runs `body` for C: a failure or a panic becomes an error on the heap, success is null.
pub(crate) fn call(body: impl FnOnce() -> daxcow::Result<()>) -> *mut Failure {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        body().map_or_else(|error| Failure::of(&error), |()| ptr::null_mut())
    }));
    outcome.unwrap_or_else(|_| Failure::new(libc::EIO, "internal error: a panic in daxcow"))
}

/// Frees a value of the other functions on behalf of C; its destructor may not unwind.
///
/// # Safety
/// `value` is null or comes from `Box::into_raw` and is not used again.
pub(crate) unsafe fn free<T>(value: *mut T) {
    if value.is_null() {
        return;
    }
    // SAFETY: the caller's promise.
    let value = unsafe { Box::from_raw(value) };
    if catch_unwind(AssertUnwindSafe(|| drop(value))).is_err() {
        std::process::abort();
    }
}

/// Stores a result where C wants it.
///
/// # Safety
/// `to` may be written.
pub(crate) unsafe fn give<T>(to: *mut T, value: T) {
    // SAFETY: the caller's promise.
    unsafe { to.write(value) };
}
