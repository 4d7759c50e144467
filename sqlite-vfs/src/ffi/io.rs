//! `sqlite3_io_methods` for any [`VfsFile`]: decodes pointers and flags, and lets no panic through.
//!
//! SQLite allocates `szOsFile` bytes; ours are a pointer to the method table, which SQLite reads, and a pointer to the
//! boxed file. A file of the host's VFS lies in the same memory in the host's own shape, with the host's own methods, so
//! nothing of it passes through here.
#![expect(unsafe_code, reason = "callbacks from C: raw files, buffers and out-parameters")]

use super::abi::{FileHead, IoMethods, code, fcntl, shm};
use super::api::allocate_text;
use super::guard;
use crate::error::{Failure, Outcome};
use crate::file::{Answer, Control, LockLevel, ShmAction, VfsFile};
use crate::main_db::MainDb;
use daxcow::LockMode;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{Ordering, fence};

/// Bytes of a sector: what SQLite may not expect to be written in part. The block of the pool.
const SECTOR_BYTES: c_int = 4096;

/// Our shape of the memory behind a `sqlite3_file`.
#[repr(C)]
struct OpenFile<T> {
    head: FileHead,
    state: *mut T,
}

/// Puts `state` behind `file`, with methods, so that SQLite will close it.
///
/// # Safety
/// `file` points to at least [`super::api::FILE_BYTES`] writable bytes, aligned as `malloc` aligns, that SQLite handed to xOpen.
pub(super) unsafe fn install<T: VfsFile>(file: *mut FileHead, state: T) {
    let state = Box::into_raw(Box::new(state));
    let open = OpenFile { head: FileHead { methods: &Methods::<T>::TABLE }, state };
    // SAFETY: by the caller; the old content is not initialised and needs no drop.
    unsafe { file.cast::<OpenFile<T>>().write(open) };
}

/// Runs `body` on the file, or returns `fallback` if it panics; a failure becomes its code.
///
/// # Safety
/// 1. `file` was filled by [`install`] with a `T` and is not closed.
/// 2. No other call on it is running: SQLite uses a file from one thread at a time and no callback of ours comes back to
///    the same file.
unsafe fn with<T: VfsFile>(
    file: *mut FileHead,
    fallback: c_int,
    body: impl FnOnce(&mut T) -> Outcome<()>,
) -> c_int {
    guard(fallback, || {
        // SAFETY: by 1. the memory has this shape.
        let state = unsafe { (*file.cast::<OpenFile<T>>()).state };
        // SAFETY: by 1. it is the live box, by 2. there is no other reference.
        let state = unsafe { &mut *state };
        match body(state) {
            Ok(()) => code::OK,
            Err(Failure { code, .. }) => code,
        }
    })
}

struct Methods<T>(PhantomData<T>);

impl<T: VfsFile> Methods<T> {
    const TABLE: IoMethods = IoMethods {
        version: 3,
        close: Self::close,
        read: Self::read,
        write: Self::write,
        truncate: Self::truncate,
        sync: Self::sync,
        file_size: Self::file_size,
        lock: Self::lock,
        unlock: Self::unlock,
        check_reserved_lock: Self::check_reserved_lock,
        file_control: Self::file_control,
        sector_size: Self::sector_size,
        device_characteristics: Self::device_characteristics,
        shm_map: Self::shm_map,
        shm_lock: Self::shm_lock,
        shm_barrier: Self::shm_barrier,
        shm_unmap: Self::shm_unmap,
        fetch: Self::fetch,
        unfetch: Self::unfetch,
    };

    unsafe extern "C" fn close(file: *mut FileHead) -> c_int {
        guard(code::IOERR, || {
            // SAFETY: SQLite closes a file that `install` filled, once.
            let state = unsafe { (*file.cast::<OpenFile<T>>()).state };
            // SAFETY: made by Box::into_raw in `install`, and not used after this.
            drop(unsafe { Box::from_raw(state) });
            code::OK
        })
    }

    unsafe extern "C" fn read(file: *mut FileHead, into: *mut c_void, len: c_int, offset: i64) -> c_int {
        let (Ok(len), Ok(offset)) = (usize::try_from(len), u64::try_from(offset)) else {
            return code::IOERR_READ;
        };
        // SAFETY: SQLite's contract of xRead: `into` has `len` bytes that nothing else uses meanwhile; they come from a
        // foreign allocator and are only overwritten.
        let into = unsafe { std::slice::from_raw_parts_mut(into.cast::<u8>(), len) };
        let body = |state: &mut T| {
            let found = state.read(into, offset)?;
            if found < len {
                into[found..].fill(0);
                return Err(code::IOERR_SHORT_READ.into());
            }
            Ok(())
        };
        // SAFETY: called through the table that `install` put there.
        unsafe { with(file, code::IOERR_READ, body) }
    }

    unsafe extern "C" fn write(file: *mut FileHead, from: *const c_void, len: c_int, offset: i64) -> c_int {
        let (Ok(len), Ok(offset)) = (usize::try_from(len), u64::try_from(offset)) else {
            return code::IOERR_WRITE;
        };
        // SAFETY: SQLite's contract of xWrite: `from` has `len` bytes that do not change during the call.
        let from = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), len) };
        // SAFETY: called through the table that `install` put there.
        unsafe { with(file, code::IOERR_WRITE, |state: &mut T| state.write(from, offset)) }
    }

    unsafe extern "C" fn truncate(file: *mut FileHead, size: i64) -> c_int {
        let Ok(size) = u64::try_from(size) else { return code::IOERR_TRUNCATE };
        // SAFETY: called through the table that `install` put there.
        unsafe { with(file, code::IOERR_TRUNCATE, |state: &mut T| state.truncate(size)) }
    }

    unsafe extern "C" fn sync(file: *mut FileHead, _flags: c_int) -> c_int {
        // SAFETY: called through the table that `install` put there.
        unsafe { with(file, code::IOERR_FSYNC, T::sync) }
    }

    unsafe extern "C" fn file_size(file: *mut FileHead, size: *mut i64) -> c_int {
        let body = |state: &mut T| {
            let found = i64::try_from(state.size()?).map_err(|_| Failure::from(code::IOERR_FSTAT))?;
            // SAFETY: SQLite's contract of xFileSize: a writable out-parameter.
            unsafe { size.write(found) };
            Ok(())
        };
        // SAFETY: called through the table that `install` put there.
        unsafe { with(file, code::IOERR_FSTAT, body) }
    }

    unsafe extern "C" fn lock(file: *mut FileHead, level: c_int) -> c_int {
        let Some(level) = LockLevel::from_number(level) else { return code::IOERR_LOCK };
        // SAFETY: called through the table that `install` put there.
        unsafe { with(file, code::IOERR_LOCK, |state: &mut T| state.lock(level)) }
    }

    unsafe extern "C" fn unlock(file: *mut FileHead, level: c_int) -> c_int {
        let Some(level) = LockLevel::from_number(level) else { return code::IOERR_UNLOCK };
        // SAFETY: called through the table that `install` put there.
        unsafe { with(file, code::IOERR_UNLOCK, |state: &mut T| state.unlock(level)) }
    }

    unsafe extern "C" fn check_reserved_lock(file: *mut FileHead, reserved: *mut c_int) -> c_int {
        let body = |state: &mut T| {
            let found = c_int::from(state.is_reserved()?);
            // SAFETY: SQLite's contract of xCheckReservedLock: a writable out-parameter.
            unsafe { reserved.write(found) };
            Ok(())
        };
        // SAFETY: called through the table that `install` put there.
        unsafe { with(file, code::IOERR_CHECKRESERVEDLOCK, body) }
    }

    unsafe extern "C" fn file_control(file: *mut FileHead, operation: c_int, argument: *mut c_void) -> c_int {
        let body = |state: &mut T| {
            // SAFETY: `operation` and `argument` are a pair by SQLite's contract of xFileControl.
            let Some(control) = (unsafe { decode(operation, argument) }) else {
                return Err(code::NOTFOUND.into());
            };
            match state.control(control)? {
                Answer::Done => Ok(()),
                Answer::Unknown => Err(code::NOTFOUND.into()),
                Answer::Text(text) => {
                    let copy = allocate_text(&text);
                    if copy.is_null() {
                        return Err(code::NOMEM.into());
                    }
                    // SAFETY: the operations answered by text take a `char**`, not null (see `decode`).
                    unsafe { argument.cast::<*mut c_char>().write(copy) };
                    Ok(())
                }
            }
        };
        // SAFETY: called through the table that `install` put there.
        unsafe { with(file, code::IOERR, body) }
    }

    unsafe extern "C" fn sector_size(_file: *mut FileHead) -> c_int {
        SECTOR_BYTES
    }

    unsafe extern "C" fn device_characteristics(file: *mut FileHead) -> c_int {
        let mut found = 0;
        let body = |state: &mut T| {
            found = state.device_characteristics();
            Ok(())
        };
        // SAFETY: called through the table that `install` put there.
        let result = unsafe { with(file, code::IOERR, body) };
        if result == code::OK { found } else { 0 }
    }

    unsafe extern "C" fn shm_map(
        file: *mut FileHead,
        region: c_int,
        size: c_int,
        extend: c_int,
        pointer: *mut *mut c_void,
    ) -> c_int {
        let (Ok(region), Ok(size)) = (usize::try_from(region), usize::try_from(size)) else {
            return code::IOERR_SHMMAP;
        };
        let body = |state: &mut T| {
            let found = state.shm_map(region, size, extend != 0)?;
            // SAFETY: SQLite's contract of xShmMap: a writable out-parameter.
            unsafe { pointer.write(found.map_or(std::ptr::null_mut(), |found| found.as_ptr().cast())) };
            Ok(())
        };
        // SAFETY: called through the table that `install` put there.
        unsafe { with(file, code::IOERR_SHMMAP, body) }
    }

    unsafe extern "C" fn shm_lock(file: *mut FileHead, first: c_int, count: c_int, flags: c_int) -> c_int {
        let (Ok(first), Ok(count)) = (u8::try_from(first), u8::try_from(count)) else {
            return code::IOERR_SHMLOCK;
        };
        let mode = if flags & shm::SHARED == 0 { LockMode::Exclusive } else { LockMode::Shared };
        let known = shm::LOCK | shm::UNLOCK | shm::SHARED | shm::EXCLUSIVE;
        let action = match flags & (shm::LOCK | shm::UNLOCK) {
            shm::LOCK => ShmAction::Lock(mode),
            shm::UNLOCK => ShmAction::Unlock(mode),
            _ => return code::IOERR_SHMLOCK,
        };
        if flags & !known != 0 || count == 0 || u16::from(first) + u16::from(count) > u16::from(shm::NLOCK) {
            return code::IOERR_SHMLOCK;
        }
        // SAFETY: called through the table that `install` put there.
        unsafe { with(file, code::IOERR_SHMLOCK, |state: &mut T| state.shm_lock(first, count, action)) }
    }

    unsafe extern "C" fn shm_barrier(_file: *mut FileHead) {
        fence(Ordering::SeqCst);
    }

    unsafe extern "C" fn shm_unmap(file: *mut FileHead, delete: c_int) -> c_int {
        // SAFETY: called through the table that `install` put there.
        unsafe { with(file, code::IOERR_SHMMAP, |state: &mut T| state.shm_unmap(delete != 0)) }
    }

    unsafe extern "C" fn fetch(
        file: *mut FileHead,
        offset: i64,
        len: c_int,
        pointer: *mut *mut c_void,
    ) -> c_int {
        let (Ok(len), Ok(offset)) = (usize::try_from(len), u64::try_from(offset)) else {
            return code::IOERR_MMAP;
        };
        let body = |state: &mut T| {
            let found = state.fetch(offset, len)?;
            // SAFETY: SQLite's contract of xFetch: a writable out-parameter.
            unsafe { pointer.write(found.map_or(std::ptr::null_mut(), |found| found.as_ptr().cast())) };
            Ok(())
        };
        // SAFETY: called through the table that `install` put there.
        unsafe { with(file, code::IOERR_MMAP, body) }
    }

    unsafe extern "C" fn unfetch(file: *mut FileHead, _offset: i64, pointer: *mut c_void) -> c_int {
        // A null pointer means: drop the mapping. There is none beyond the views that are out.
        let Some(pointer) = NonNull::new(pointer.cast::<u8>()) else { return code::OK };
        let body = |state: &mut T| {
            state.unfetch(pointer);
            Ok(())
        };
        // SAFETY: called through the table that `install` put there.
        unsafe { with(file, code::IOERR_MMAP, body) }
    }
}

/// A control whose callback runs on the database file: what `VISIT` points to.
pub(super) struct Visit<'a> {
    pub(super) run: &'a mut dyn FnMut(&mut MainDb),
}

/// The control that `operation` and `argument` stand for; `None` if it is unknown or lacks its argument.
///
/// # Safety
/// `argument` is null or points to what sqlite3.h says for `operation`, and for `VISIT` to a [`Visit`] of this library.
unsafe fn decode<'a>(operation: c_int, argument: *mut c_void) -> Option<Control<'a>> {
    // SAFETY: each arm below uses the one that fits its operation.
    let number = || unsafe { argument.cast::<c_int>().as_mut() };
    // SAFETY: as above.
    let wide = || unsafe { argument.cast::<i64>().as_mut() };
    Some(match operation {
        fcntl::SYNC => Control::Sync {
            // SAFETY: null or the name of the super-journal, a C string that outlives the call.
            super_journal: (!argument.is_null()).then(|| unsafe { CStr::from_ptr(argument.cast()) }),
        },
        fcntl::COMMIT_PHASETWO => Control::CommitPhaseTwo,
        fcntl::CKPT_START => Control::CheckpointStart,
        fcntl::CKPT_DONE => Control::CheckpointDone,
        fcntl::OVERWRITE | fcntl::SIZE_HINT | fcntl::CHUNK_SIZE | fcntl::BLOCK_ON_CONNECT => Control::Hint,
        fcntl::LOCKSTATE => Control::LockState(number()?),
        fcntl::LAST_ERRNO => Control::LastErrno(number()?),
        fcntl::PERSIST_WAL => Control::PersistWal(number()?),
        fcntl::POWERSAFE_OVERWRITE => Control::PowersafeOverwrite(number()?),
        fcntl::HAS_MOVED => Control::HasMoved(number()?),
        fcntl::EXTERNAL_READER => Control::ExternalReader(number()?),
        fcntl::LOCK_TIMEOUT => Control::LockTimeout(number()?),
        fcntl::MMAP_SIZE => Control::MmapSize(wide()?),
        fcntl::NULL_IO => Control::NullIo,
        fcntl::VFSNAME if !argument.is_null() => Control::VfsName,
        fcntl::TEMPFILENAME if !argument.is_null() => Control::TempFileName,
        fcntl::PRAGMA if !argument.is_null() => {
            // SAFETY: an array of a result, the name and the argument of the pragma.
            let name = unsafe { argument.cast::<*const c_char>().add(1) };
            // SAFETY: an initialised element of that array.
            let name = unsafe { *name };
            // SAFETY: the name is never null and outlives the call.
            Control::Pragma { name: unsafe { CStr::from_ptr(name) } }
        }
        fcntl::VISIT => {
            // SAFETY: by the caller, a Visit that outlives the call.
            let visit = unsafe { argument.cast::<Visit<'a>>().as_mut() }?;
            Control::Visit(visit.run)
        }
        _ => return None,
    })
}
