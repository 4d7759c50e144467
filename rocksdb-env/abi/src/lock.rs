//! Locks between processes. A lock ends with the process that holds it.

use daxcow::{File, FileOptions, LockMode, Place};

use crate::error::Failure;
use crate::{call, free, give};

/// The advisory lock of a lock file that says who has the database open.
const INDEX: u8 = 0;

/// A lock that is held.
pub struct Lock {
    _file: File,
}

/// Takes the lock of a file, which is created where it is not there. Null in `lock` where a living process holds it, this
/// one included.
///
/// # Safety
/// `place` came from [`crate::place::daxcow_place_find`] and was not freed; `lock` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_lock_take(place: *const Place, lock: *mut *mut Lock) -> *mut Failure {
    // SAFETY: the caller's promise.
    let place = unsafe { &*place };
    call(|| {
        let options = FileOptions::new().read(true).write(true).create(true);
        let file = place.pool.open_file(&place.path, &options)?;
        let taken = file.try_lock(INDEX, LockMode::Exclusive)?;
        let taken = if taken { Box::into_raw(Box::new(Lock { _file: file })) } else { std::ptr::null_mut() };
        // SAFETY: the caller's promise.
        unsafe { give(lock, taken) };
        Ok(())
    })
}

/// Lets go of a lock.
///
/// # Safety
/// `lock` is null or came from [`daxcow_lock_take`], and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_lock_release(lock: *mut Lock) {
    // SAFETY: the caller's promise.
    unsafe { free(lock) };
}
