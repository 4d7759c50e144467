//! Makes the daxcow VFS the default of an unmodified program: `LD_PRELOAD=libdaxcow_sqlite_preload.so sqlite3 app.pool/db`.
//!
//! It takes the place of `sqlite3_open`, `sqlite3_open_v2` and `sqlite3_open16`, which register the VFS with the SQLite that
//! the program uses before they go on to the real ones. Nothing is registered when the library is loaded: the program may
//! still want to configure its SQLite. A SQLite that is linked into the program statically is out of reach.
//!
//! The real functions are those of the next library in the program's search order or, where SQLite was loaded for a plug-in
//! only (as Python loads it), of the `libsqlite3.so.0` that is in the process already.
#![expect(unsafe_code, reason = "exported C functions, and addresses from dlsym")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::transmute;
use std::panic::catch_unwind;
use std::sync::Once;

/// SQLITE_ERROR.
const ERROR: c_int = 1;
/// The file name that programs are linked to.
const LIBRARY: &CStr = c"libsqlite3.so.0";

type Open = unsafe extern "C" fn(*const c_char, *mut *mut c_void) -> c_int;
type OpenV2 = unsafe extern "C" fn(*const c_char, *mut *mut c_void, c_int, *const c_char) -> c_int;
type Open16 = unsafe extern "C" fn(*const c_void, *mut *mut c_void) -> c_int;

/// The program's SQLite function of that name, or null.
fn symbol(name: &CStr) -> *const c_void {
    // SAFETY: a C string; RTLD_NEXT skips this library.
    let next = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    if !next.is_null() {
        return next;
    }
    // SAFETY: a C string; RTLD_NOLOAD finds what is loaded and loads nothing.
    let library = unsafe { libc::dlopen(LIBRARY.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
    if library.is_null() {
        return std::ptr::null();
    }
    // SAFETY: a library that is loaded; the handle keeps it so.
    unsafe { libc::dlsym(library, name.as_ptr()) }
}

/// Registers the VFS where it is not the default (any more). A failure is told once: the program works without.
fn register() {
    static TOLD: Once = Once::new();
    let result = catch_unwind(|| {
        type Initialize = unsafe extern "C" fn() -> c_int;
        let initialize = symbol(c"sqlite3_initialize");
        if initialize.is_null() {
            return Err("the process has no libsqlite3.so".to_owned());
        }
        // SAFETY: the function of this name has this signature.
        let initialize = unsafe { transmute::<*const c_void, Initialize>(initialize) };
        // SAFETY: may be called at any time, by any thread.
        unsafe { initialize() };
        // SAFETY: `symbol` finds SQLite's functions in a library that its handle, or the program, keeps loaded.
        unsafe { daxcow_sqlite::preload::register_default(symbol) }
    });
    let message = match result {
        Ok(Ok(())) => return,
        Ok(Err(message)) => message,
        Err(_) => "internal error".to_owned(),
    };
    TOLD.call_once(|| eprintln!("daxcow: the VFS is not available: {message}"));
}

/// `sqlite3_open`, with the VFS registered.
///
/// # Safety
/// As the function of SQLite.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3_open(name: *const c_char, connection: *mut *mut c_void) -> c_int {
    register();
    let real = symbol(c"sqlite3_open");
    if real.is_null() {
        return ERROR;
    }
    // SAFETY: the function of this name has this signature.
    let real = unsafe { transmute::<*const c_void, Open>(real) };
    // SAFETY: the caller's arguments.
    unsafe { real(name, connection) }
}

/// `sqlite3_open_v2`, with the VFS registered.
///
/// # Safety
/// As the function of SQLite.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3_open_v2(
    name: *const c_char,
    connection: *mut *mut c_void,
    flags: c_int,
    vfs: *const c_char,
) -> c_int {
    register();
    let real = symbol(c"sqlite3_open_v2");
    if real.is_null() {
        return ERROR;
    }
    // SAFETY: the function of this name has this signature.
    let real = unsafe { transmute::<*const c_void, OpenV2>(real) };
    // SAFETY: the caller's arguments.
    unsafe { real(name, connection, flags, vfs) }
}

/// `sqlite3_open16`, with the VFS registered.
///
/// # Safety
/// As the function of SQLite.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3_open16(name: *const c_void, connection: *mut *mut c_void) -> c_int {
    register();
    let real = symbol(c"sqlite3_open16");
    if real.is_null() {
        return ERROR;
    }
    // SAFETY: the function of this name has this signature.
    let real = unsafe { transmute::<*const c_void, Open16>(real) };
    // SAFETY: the caller's arguments.
    unsafe { real(name, connection) }
}
