//! The entry point of the loadable extension, `.load libdaxcow_sqlite`.
#![expect(unsafe_code, reason = "an exported C function")]

use super::abi::{Connection, code};
use super::api::{Api, allocate_text};
use super::{guard, vfs};
use std::ffi::{c_char, c_int, c_void};

/// Registers the VFS `daxcow`, not as the default, and adds the SQL functions to this connection and to later ones.
///
/// # Safety
/// Called by SQLite, as a loadable extension is.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sqlite3_daxcowsqlite_init(
    connection: *mut Connection,
    message: *mut *mut c_char,
    routines: *const c_void,
) -> c_int {
    guard(code::ERROR, || {
        // SAFETY: SQLite passes its table; a SQLite that loaded an extension permanently stays loaded itself.
        let api = unsafe { Api::from_routines(routines) }.and_then(Api::install);
        let registered = api.and_then(|api| vfs::register(api, false));
        if let Err(text) = registered {
            // Without a table there is no allocator either.
            if super::api::installed().is_ok() {
                // SAFETY: null or a writable out-parameter, freed by SQLite.
                if let Some(message) = unsafe { message.as_mut() } {
                    *message = allocate_text(&text);
                }
            }
            return code::ERROR;
        }
        // SAFETY: the connection that loads the extension.
        match unsafe { vfs::on_open(connection, message, routines) } {
            code::OK => code::OK_LOAD_PERMANENTLY,
            result => result,
        }
    })
}
