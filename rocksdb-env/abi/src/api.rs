//! What C and C++ programs call: `rocksdb-env/include/daxcow_rocksdb.h`. Errors come as in RocksDB's C API, a text on the
//! heap in `*error`.

use std::ffi::{CStr, OsStr, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use daxcow::{Error, ErrorKind, Place, RollbackOptions};

use crate::error::Failure;
use crate::place::in_one_pool;
use crate::{call, give};

/// Keeps the directory `path` as it is now, read-only, under `/.snapshots/NAME` of its pool.
///
/// # Safety
/// The texts are terminated; `error` is null or points to null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_rocksdb_snapshot(
    path: *const c_char,
    name: *const c_char,
    error: *mut *mut c_char,
) {
    // SAFETY: the caller's promise.
    unsafe {
        with_snapshot(path, name, error, |place, name| {
            place.pool.create_snapshot(name, &[&place.path]).map(drop)
        })
    };
}

/// Forgets the snapshot `name` of the pool that `path` leads through.
///
/// # Safety
/// As [`daxcow_rocksdb_snapshot`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_rocksdb_drop_snapshot(
    path: *const c_char,
    name: *const c_char,
    error: *mut *mut c_char,
) {
    // SAFETY: the caller's promise.
    unsafe { with_snapshot(path, name, error, |place, name| place.pool.delete_snapshot(name)) };
}

/// Puts the snapshot `name` back; no file of it may be open.
///
/// # Safety
/// As [`daxcow_rocksdb_snapshot`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_rocksdb_rollback(
    path: *const c_char,
    name: *const c_char,
    error: *mut *mut c_char,
) {
    // SAFETY: the caller's promise.
    unsafe {
        with_snapshot(path, name, error, |place, name| {
            place.pool.rollback(name, RollbackOptions { force: false })
        })
    };
}

/// Makes `to` a writable copy of the directory `from` that shares all blocks.
///
/// # Safety
/// As [`daxcow_rocksdb_snapshot`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_rocksdb_clone(
    from: *const c_char,
    to: *const c_char,
    error: *mut *mut c_char,
) {
    let failure = call(|| {
        // SAFETY: the caller's promise.
        let from = unsafe { place(from) }?;
        // SAFETY: as above.
        let to = unsafe { place(to) }?;
        in_one_pool(&from, &to)?;
        from.pool.clone_tree(&from.path, &to.path)
    });
    // SAFETY: the caller's promise.
    unsafe { report(failure, error) };
}

/// Does something with the place that `path` leads to and the snapshot `name`.
///
/// # Safety
/// As [`daxcow_rocksdb_snapshot`].
unsafe fn with_snapshot(
    path: *const c_char,
    name: *const c_char,
    error: *mut *mut c_char,
    act: impl FnOnce(&Place, &str) -> daxcow::Result<()>,
) {
    let failure = call(|| {
        // SAFETY: the caller's promise.
        let place = unsafe { place(path) }?;
        // SAFETY: as above.
        let name = unsafe { text(name) }?;
        act(&place, name)
    });
    // SAFETY: the caller's promise.
    unsafe { report(failure, error) };
}

/// Where a path leads; an error where that is in no pool.
///
/// # Safety
/// `path` is terminated.
unsafe fn place(path: *const c_char) -> daxcow::Result<Place> {
    // SAFETY: the caller's promise.
    let path = unsafe { CStr::from_ptr(path) };
    let path = Path::new(OsStr::from_bytes(path.to_bytes()));
    Place::find(path)?
        .ok_or_else(|| Error::new(ErrorKind::NotAPool, "the path goes through no pool").at(path))
}

/// A name.
///
/// # Safety
/// `text` is terminated.
unsafe fn text<'a>(text: *const c_char) -> daxcow::Result<&'a str> {
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|_| Error::new(ErrorKind::InvalidInput, "the name is not UTF-8"))
}

/// Hands an error out as RocksDB's C API does: allocated by malloc, for the caller to free.
///
/// # Safety
/// `failure` is null or owned by the caller; `to` is null or may be written.
unsafe fn report(failure: *mut Failure, to: *mut *mut c_char) {
    if failure.is_null() {
        return;
    }
    // SAFETY: owned, and not freed yet.
    let failure = unsafe { Box::from_raw(failure) };
    if !to.is_null() {
        // SAFETY: a terminated text.
        let copy = unsafe { libc::strdup(failure.message().as_ptr()) };
        // SAFETY: the caller's promise.
        unsafe { give(to, copy) };
    }
}
