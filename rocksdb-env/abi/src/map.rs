//! Whole files readable in place, and as memory that is stored to.

use daxcow::{File, MappingMut, Views};

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

/// Maps the whole file, to be loaded from and stored to; it is shared with all who use the file. `base` and `len` say where.
///
/// # Safety
/// `file` as in [`daxcow_map_open`]; the others are writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_buffer_open(
    file: *const File,
    buffer: *mut *mut MappingMut,
    base: *mut *mut u8,
    len: *mut usize,
) -> *mut Failure {
    // SAFETY: the caller's promise.
    let file = unsafe { &*file };
    call(|| {
        let mapped = file.map_mut(0, file.len()?)?;
        // SAFETY: the caller's promise.
        unsafe { give(base, mapped.as_mut_ptr()) };
        // SAFETY: as above.
        unsafe { give(len, mapped.len()) };
        // SAFETY: as above.
        unsafe { give(buffer, Box::into_raw(Box::new(mapped))) };
        Ok(())
    })
}

/// Ends such a mapping. What was stored stays, and is durable with the next sync of the file.
///
/// # Safety
/// `buffer` is null or came from [`daxcow_buffer_open`], and neither it nor its memory is used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_buffer_close(buffer: *mut MappingMut) {
    // SAFETY: the caller's promise.
    unsafe { free(buffer) };
}
