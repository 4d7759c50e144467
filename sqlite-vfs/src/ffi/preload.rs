//! What the preload library needs: registration as the default VFS of a SQLite that is found at run time.
#![expect(unsafe_code, reason = "fills the function table from addresses that the caller found")]

use super::api::Api;
use super::vfs;
use std::ffi::{CStr, c_void};

/// Registers the VFS as the default with the SQLite whose functions `symbol` finds. To be called before every open: after
/// `sqlite3_shutdown` the VFS is not the default any more.
///
/// # Safety
/// `symbol` returns null or the address of the SQLite function of that name, in a library that stays loaded.
///
/// # Errors
/// A sentence for people.
pub unsafe fn register_default(symbol: impl Fn(&CStr) -> *const c_void) -> Result<(), String> {
    let api = match super::api::installed() {
        Ok(api) => api,
        // SAFETY: by the caller.
        Err(_) => unsafe { Api::from_symbols(symbol) }?.install()?,
    };
    vfs::register(api, true)
}
