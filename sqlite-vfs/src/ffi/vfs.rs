//! `sqlite3_vfs`: registration, and the callbacks about names.
//!
//! What lies in a pool is answered by [`crate::open`] and [`crate::names`]; all else, and everything that is not about
//! files, goes to the VFS that was the default before (the *host*). A host file is opened in place, with the host's own
//! methods: reading and writing it costs nothing more than without us.
#![expect(unsafe_code, reason = "callbacks from C: raw names, files and the host's function pointers")]

use super::abi::{Connection, FileHead, Symbol, Vfs, access, code, open as flag};
use super::api::{self, Api};
use super::{function, guard, io, table};
use crate::error::Failure;
use crate::names;
use crate::open::{OpenRequest, Opened, open as open_in_pool};
use std::ffi::{CStr, c_char, c_double, c_int, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

/// The name of the VFS, as in `file:db?vfs=daxcow`.
pub(crate) const NAME: &CStr = c"daxcow";

/// The VFS that this library registered; never freed, because SQLite may use it until the process ends.
static OURS: AtomicPtr<Vfs> = AtomicPtr::new(null_mut());

/// Registers the VFS, once, and the SQL functions on every connection opened from now on. With `make_default` it also
/// becomes the default, again if SQLite was shut down and initialised meanwhile; a default that the program chose itself
/// later is left alone.
pub(crate) fn register(api: &'static Api, make_default: bool) -> Result<(), String> {
    daxcow::events::listen_from_env();
    let registered = api.find_vfs(Some(NAME));
    let ours = OURS.load(Ordering::Acquire);
    if !registered.is_null() && registered != ours {
        return Ok(()); // another copy of this library serves the process already
    }
    let default = api.find_vfs(None);
    if default.is_null() {
        return Err("SQLite has no default VFS to build on".to_owned());
    }
    let vfs = if ours.is_null() { create(default) } else { ours };
    // SAFETY: made by `create`, never freed, and its app_data is set once.
    let host = unsafe { (*vfs).app_data }.cast::<Vfs>();
    let reset = default == host && make_default;
    if registered.is_null() || reset {
        // SAFETY: a complete sqlite3_vfs that lives for ever.
        let result = unsafe { (api.vfs_register)(vfs, c_int::from(make_default)) };
        if result != code::OK {
            return Err(format!("sqlite3_vfs_register failed with code {result}"));
        }
    }
    match api.run_on_open(on_open) {
        code::OK => Ok(()),
        result => Err(format!("sqlite3_auto_extension failed with code {result}")),
    }
}

/// Adds the SQL functions and the table to a connection: an extension's entry point, for `sqlite3_auto_extension`.
///
/// # Safety
/// Called by SQLite with a connection that is being opened.
pub(crate) unsafe extern "C" fn on_open(
    connection: *mut Connection,
    _message: *mut *mut c_char,
    _routines: *const c_void,
) -> c_int {
    guard(code::ERROR, || {
        // SAFETY: by the caller.
        match unsafe { function::register(connection) } {
            // SAFETY: by the caller.
            code::OK => unsafe { table::register(connection) },
            result => result,
        }
    })
}

/// Makes the VFS over `host`, or returns the one that another thread made first.
fn create(host: *mut Vfs) -> *mut Vfs {
    // SAFETY: `host` is a registered VFS: a complete structure, which stays.
    let base = unsafe { *host };
    let ours_bytes = c_int::try_from(api::FILE_BYTES).unwrap_or(c_int::MAX);
    let vfs = Box::into_raw(Box::new(Vfs {
        version: base.version.clamp(1, 3),
        file_size: base.file_size.max(ours_bytes),
        // Not more than the host's: SQLite reads super-journal names of this length into the memory of one page.
        max_pathname: base.max_pathname,
        next: null_mut(),
        name: NAME.as_ptr(),
        app_data: host.cast(),
        open: Some(open),
        delete: Some(delete),
        access: Some(access),
        full_pathname: Some(full_pathname),
        dl_open: base.dl_open.and(Some(dl_open)),
        dl_error: base.dl_error.and(Some(dl_error)),
        dl_sym: base.dl_sym.and(Some(dl_sym)),
        dl_close: base.dl_close.and(Some(dl_close)),
        randomness: Some(randomness),
        sleep: Some(sleep),
        current_time: Some(current_time),
        get_last_error: Some(get_last_error),
        current_time_int64: (base.version >= 2 && base.current_time_int64.is_some())
            .then_some(current_time_int64),
        set_system_call: (base.version >= 3 && base.set_system_call.is_some()).then_some(set_system_call),
        get_system_call: (base.version >= 3 && base.get_system_call.is_some()).then_some(get_system_call),
        next_system_call: (base.version >= 3 && base.next_system_call.is_some()).then_some(next_system_call),
    }));
    match OURS.compare_exchange(null_mut(), vfs, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => vfs,
        Err(first) => {
            // SAFETY: made above, given to nobody.
            drop(unsafe { Box::from_raw(vfs) });
            first
        }
    }
}

/// The host of our VFS.
///
/// # Safety
/// `vfs` is the structure that [`create`] made.
unsafe fn host(vfs: *mut Vfs) -> *mut Vfs {
    // SAFETY: by the caller.
    unsafe { (*vfs).app_data.cast() }
}

/// Calls the host's method `$field`, or returns `$missing` if it has none.
macro_rules! forward {
    ($vfs:expr, $field:ident, ($($argument:expr),*), $missing:expr) => {{
        // SAFETY: SQLite passes the VFS that it looked the method up in: ours.
        let host = unsafe { host($vfs) };
        // SAFETY: the host is a registered VFS.
        match unsafe { (*host).$field } {
            // SAFETY: the same arguments under the same contract, with the VFS the method belongs to.
            Some(method) => unsafe { method(host, $($argument),*) },
            None => $missing,
        }
    }};
}

unsafe extern "C" fn open(
    vfs: *mut Vfs,
    name: *const c_char,
    file: *mut FileHead,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite's contract of xOpen: memory of szOsFile bytes. Null methods: nothing to close yet.
    unsafe { file.write(FileHead { methods: std::ptr::null() }) };
    let mut in_pool = false;
    let result = guard(code::CANTOPEN, || {
        if name.is_null() {
            return code::OK;
        }
        // SAFETY: SQLite's contract of xOpen: a C string that outlives the file.
        let bytes = unsafe { CStr::from_ptr(name) }.to_bytes();
        let powersafe = flags & flag::MAIN_DB == 0 || {
            // SAFETY: a main database's name, followed by its URI parameters.
            unsafe { api::uri_boolean(name, c"psow", true) }
        };
        let opened = match open_in_pool(&OpenRequest { name: bytes, flags, powersafe }) {
            Ok(Some(opened)) => opened,
            Ok(None) => return code::OK,
            Err(Failure { code, .. }) => return code,
        };
        in_pool = true;
        // SAFETY: null or a writable out-parameter.
        if let Some(out_flags) = unsafe { out_flags.as_mut() } {
            *out_flags = opened.flags;
        }
        match opened.file {
            // SAFETY: memory of szOsFile bytes, which `create` made at least FILE_BYTES.
            Opened::Main(state) => unsafe { io::install(file, *state) },
            // SAFETY: as above.
            Opened::Journal(state) => unsafe { io::install(file, state) },
            // SAFETY: as above.
            Opened::SuperJournal(state) => unsafe { io::install(file, state) },
            // SAFETY: as above.
            Opened::Plain(state) => unsafe { io::install(file, state) },
        }
        code::OK
    });
    if result != code::OK || in_pool {
        return result;
    }
    forward!(vfs, open, (name, file, flags, out_flags), code::CANTOPEN)
}

/// Answers a question about a name: `body` returns `None` for a name outside of every pool, which is for the host.
///
/// # Safety
/// `name` is a C string.
unsafe fn ask(
    name: *const c_char,
    fallback: c_int,
    body: impl FnOnce(&[u8]) -> Result<Option<c_int>, Failure>,
) -> Option<c_int> {
    let mut answer = None;
    let result = guard(fallback, || {
        // SAFETY: by the caller.
        match body(unsafe { CStr::from_ptr(name) }.to_bytes()) {
            Ok(found) => {
                answer = found;
                code::OK
            }
            Err(Failure { code, .. }) => code,
        }
    });
    if result == code::OK { answer } else { Some(result) }
}

unsafe extern "C" fn delete(vfs: *mut Vfs, name: *const c_char, sync_directory: c_int) -> c_int {
    let body = |name: &[u8]| Ok(names::delete(name)?.then_some(code::OK));
    // SAFETY: SQLite's contract of xDelete.
    match unsafe { ask(name, code::IOERR_DELETE, body) } {
        Some(result) => result,
        None => forward!(vfs, delete, (name, sync_directory), code::IOERR_DELETE),
    }
}

unsafe extern "C" fn access(
    vfs: *mut Vfs,
    name: *const c_char,
    question: c_int,
    result: *mut c_int,
) -> c_int {
    let body = |name: &[u8]| {
        let Some(found) = names::access(name, question == access::EXISTS, question == access::READWRITE)?
        else {
            return Ok(None);
        };
        // SAFETY: SQLite's contract of xAccess: a writable out-parameter.
        unsafe { result.write(c_int::from(found)) };
        Ok(Some(code::OK))
    };
    // SAFETY: SQLite's contract of xAccess.
    match unsafe { ask(name, code::IOERR_ACCESS, body) } {
        Some(result) => result,
        None => forward!(vfs, access, (name, question, result), code::IOERR_ACCESS),
    }
}

unsafe extern "C" fn full_pathname(
    vfs: *mut Vfs,
    name: *const c_char,
    size: c_int,
    out: *mut c_char,
) -> c_int {
    let body = |name: &[u8]| {
        let Some(full) = names::full_path(name)? else { return Ok(None) };
        if usize::try_from(size).is_ok_and(|size| full.len() >= size) || size <= 0 {
            return Err(code::CANTOPEN_FULLPATH.into());
        }
        // SAFETY: `out` has `size` bytes, more than the name, and is not ours.
        unsafe { std::ptr::copy_nonoverlapping(full.as_ptr(), out.cast::<u8>(), full.len()) };
        // SAFETY: inside the `size` bytes.
        let end = unsafe { out.add(full.len()) };
        // SAFETY: inside the `size` bytes.
        unsafe { end.write(0) };
        Ok(Some(code::OK))
    };
    // SAFETY: SQLite's contract of xFullPathname.
    match unsafe { ask(name, code::CANTOPEN, body) } {
        Some(result) => result,
        None => forward!(vfs, full_pathname, (name, size, out), code::CANTOPEN),
    }
}

unsafe extern "C" fn dl_open(vfs: *mut Vfs, name: *const c_char) -> *mut c_void {
    forward!(vfs, dl_open, (name), null_mut())
}

unsafe extern "C" fn dl_error(vfs: *mut Vfs, size: c_int, message: *mut c_char) {
    forward!(vfs, dl_error, (size, message), ());
}

unsafe extern "C" fn dl_sym(vfs: *mut Vfs, library: *mut c_void, symbol: *const c_char) -> Symbol {
    forward!(vfs, dl_sym, (library, symbol), None)
}

unsafe extern "C" fn dl_close(vfs: *mut Vfs, library: *mut c_void) {
    forward!(vfs, dl_close, (library), ());
}

unsafe extern "C" fn randomness(vfs: *mut Vfs, size: c_int, out: *mut c_char) -> c_int {
    forward!(vfs, randomness, (size, out), 0)
}

unsafe extern "C" fn sleep(vfs: *mut Vfs, microseconds: c_int) -> c_int {
    forward!(vfs, sleep, (microseconds), 0)
}

unsafe extern "C" fn current_time(vfs: *mut Vfs, day: *mut c_double) -> c_int {
    forward!(vfs, current_time, (day), code::ERROR)
}

unsafe extern "C" fn get_last_error(vfs: *mut Vfs, size: c_int, message: *mut c_char) -> c_int {
    forward!(vfs, get_last_error, (size, message), 0)
}

unsafe extern "C" fn current_time_int64(vfs: *mut Vfs, milliseconds: *mut i64) -> c_int {
    forward!(vfs, current_time_int64, (milliseconds), code::ERROR)
}

unsafe extern "C" fn set_system_call(vfs: *mut Vfs, name: *const c_char, call: Symbol) -> c_int {
    forward!(vfs, set_system_call, (name, call), code::NOTFOUND)
}

unsafe extern "C" fn get_system_call(vfs: *mut Vfs, name: *const c_char) -> Symbol {
    forward!(vfs, get_system_call, (name), None)
}

unsafe extern "C" fn next_system_call(vfs: *mut Vfs, name: *const c_char) -> *const c_char {
    forward!(vfs, next_system_call, (name), std::ptr::null())
}
