//! Whole files readable in place.

use daxcow::{File, Views};

use crate::error::Failure;
use crate::{call, free, give};

/// Pins the file as it is now, for reading in place.
///
/// # Safety
/// `file` came from [`crate::file::daxcow_file_open`] and was not closed; `map` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_map_open(file: *const File, map: *mut *mut Views) -> *mut Failure {
    // SAFETY: the caller's promise.
    let file = unsafe { &*file };
    call(|| {
        let views = Box::into_raw(Box::new(file.views()?));
        // SAFETY: the caller's promise.
        unsafe { give(map, views) };
        Ok(())
    })
}

/// Lets go of the pin; no pointer into the map may be used any more.
///
/// # Safety
/// `map` is null or came from [`daxcow_map_open`], and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_map_close(map: *mut Views) {
    // SAFETY: the caller's promise.
    unsafe { free(map) };
}

/// The size of the file when it was pinned.
///
/// # Safety
/// `map` came from [`daxcow_map_open`] and was not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_map_size(map: *const Views) -> u64 {
    // SAFETY: the caller's promise.
    let map = unsafe { &*map };
    map.len()
}

/// A pointer to `len` bytes at `offset`, valid until the map is closed; null where they do not lie in one
/// piece, or some near them were lost: to be read.
///
/// # Safety
/// `map` as in [`daxcow_map_size`]; `data` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_map_find(
    map: *const Views,
    offset: u64,
    len: usize,
    data: *mut *const u8,
) -> *mut Failure {
    // SAFETY: the caller's promise.
    let map = unsafe { &*map };
    call(|| {
        // Where bytes of a view were lost, a read tells which they are.
        let found = map.find(offset, len).filter(|(_, view)| !view.is_failed());
        let found = found.map_or(std::ptr::null(), |(pointer, _)| pointer);
        // SAFETY: the caller's promise.
        unsafe { give(data, found) };
        Ok(())
    })
}
