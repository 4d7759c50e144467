//! Open files.

use daxcow::{File, FileOptions, Place};

use crate::error::Failure;
use crate::place::Stat;
use crate::{bytes, call, free, give};

/// Opens for reading.
pub const READ: u32 = 1;
/// Opens for writing.
pub const WRITE: u32 = 2;
/// Creates the file where it is not there.
pub const CREATE: u32 = 4;
/// Cuts the file to no bytes.
pub const TRUNCATE: u32 = 8;

/// Opens a file; `flags` is a sum of the constants above.
///
/// # Safety
/// `place` came from [`crate::place::daxcow_place_find`] and was not freed; `file` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_file_open(
    place: *const Place,
    flags: u32,
    file: *mut *mut File,
) -> *mut Failure {
    // SAFETY: the caller's promise.
    let place = unsafe { &*place };
    call(|| {
        let has = |flag| flags & flag != 0;
        let options =
            FileOptions::new().read(has(READ)).write(has(WRITE)).create(has(CREATE)).truncate(has(TRUNCATE));
        let opened = Box::into_raw(Box::new(place.pool.open_file(&place.path, &options)?));
        // SAFETY: the caller's promise.
        unsafe { give(file, opened) };
        Ok(())
    })
}

/// Closes a file.
///
/// # Safety
/// `file` is null or came from [`daxcow_file_open`], and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_file_close(file: *mut File) {
    // SAFETY: the caller's promise.
    unsafe { free(file) };
}

/// Reads up to `len` bytes at `offset`; fewer only at the end of the file. `done` says how many.
///
/// # Safety
/// `file` came from [`daxcow_file_open`] and was not closed; `into` has `len` writable bytes; `done` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_file_read(
    file: *const File,
    offset: u64,
    into: *mut u8,
    len: usize,
    done: *mut usize,
) -> *mut Failure {
    // SAFETY: the caller's promise.
    unsafe { read_by(file, offset, into, len, done, File::read_at) }
}

/// As [`daxcow_file_read`], quicker for a file that does not change any more.
///
/// # Safety
/// As [`daxcow_file_read`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_file_read_settled(
    file: *const File,
    offset: u64,
    into: *mut u8,
    len: usize,
    done: *mut usize,
) -> *mut Failure {
    // SAFETY: the caller's promise.
    unsafe { read_by(file, offset, into, len, done, File::read_settled_at) }
}

/// Reads by `method`.
///
/// # Safety
/// As [`daxcow_file_read`].
unsafe fn read_by(
    file: *const File,
    offset: u64,
    into: *mut u8,
    len: usize,
    done: *mut usize,
    method: impl FnOnce(&File, &mut [u8], u64) -> daxcow::Result<usize>,
) -> *mut Failure {
    // SAFETY: the caller's promise.
    let file = unsafe { &*file };
    call(|| {
        let read = if len == 0 {
            0
        } else {
            // SAFETY: the caller's promise. Bytes are only ever written there.
            let into = unsafe { std::slice::from_raw_parts_mut(into, len) };
            method(file, into, offset)?
        };
        // SAFETY: the caller's promise.
        unsafe { give(done, read) };
        Ok(())
    })
}

/// Writes at the end of the file; survives the process, and the machine after a sync.
///
/// # Safety
/// `file` as in [`daxcow_file_read`]; `data` has `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_file_append(file: *const File, data: *const u8, len: usize) -> *mut Failure {
    // SAFETY: the caller's promise.
    let file = unsafe { &*file };
    // SAFETY: as above.
    let data = unsafe { bytes(data, len) };
    call(|| file.append(data).map(drop))
}

/// Writes at the end of the file; after a crash all of it is there or nothing, on page media too.
///
/// # Safety
/// As [`daxcow_file_append`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_file_append_atomically(
    file: *const File,
    data: *const u8,
    len: usize,
) -> *mut Failure {
    // SAFETY: the caller's promise.
    let file = unsafe { &*file };
    // SAFETY: as above.
    let data = unsafe { bytes(data, len) };
    call(|| {
        let mut batch = file.batch()?;
        batch.write_at(data, batch.len())?;
        batch.commit()
    })
}

/// Writes at `offset`.
///
/// # Safety
/// As [`daxcow_file_append`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_file_write(
    file: *const File,
    offset: u64,
    data: *const u8,
    len: usize,
) -> *mut Failure {
    // SAFETY: the caller's promise.
    let file = unsafe { &*file };
    // SAFETY: as above.
    let data = unsafe { bytes(data, len) };
    call(|| file.write_at(data, offset))
}

/// Reserves blocks for a range; the size stays.
///
/// # Safety
/// `file` as in [`daxcow_file_read`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_file_allocate(file: *const File, offset: u64, len: u64) -> *mut Failure {
    // SAFETY: the caller's promise.
    let file = unsafe { &*file };
    call(|| if len == 0 { Ok(()) } else { file.allocate(offset, len, true) })
}

/// Sets the size, and gives back what is reserved beyond it.
///
/// # Safety
/// `file` as in [`daxcow_file_read`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_file_set_size(file: *const File, size: u64) -> *mut Failure {
    // SAFETY: the caller's promise.
    let file = unsafe { &*file };
    call(|| file.set_len(size))
}

/// Makes everything written to the file durable.
///
/// # Safety
/// `file` as in [`daxcow_file_read`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_file_sync(file: *const File) -> *mut Failure {
    // SAFETY: the caller's promise.
    let file = unsafe { &*file };
    call(|| file.sync())
}

/// The size in bytes.
///
/// # Safety
/// `file` as in [`daxcow_file_read`]; `size` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_file_size(file: *const File, size: *mut u64) -> *mut Failure {
    // SAFETY: the caller's promise.
    let file = unsafe { &*file };
    call(|| {
        let len = file.len()?;
        // SAFETY: the caller's promise.
        unsafe { give(size, len) };
        Ok(())
    })
}

/// What is known about the file.
///
/// # Safety
/// `file` as in [`daxcow_file_read`]; `stat` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daxcow_file_stat(file: *const File, stat: *mut Stat) -> *mut Failure {
    // SAFETY: the caller's promise.
    let file = unsafe { &*file };
    call(|| {
        let found = Stat::of(&file.metadata()?);
        // SAFETY: the caller's promise.
        unsafe { give(stat, found) };
        Ok(())
    })
}
