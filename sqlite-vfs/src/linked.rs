//! Registration with the SQLite that the program links: for rusqlite and other users of libsqlite3-sys.

use crate::ffi::{api::Api, vfs};
use std::fmt;

/// Why the VFS could not be registered.
#[derive(Debug)]
pub struct RegisterError(String);

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RegisterError {}

/// Registers the VFS `daxcow` and the SQL functions with the SQLite that the program links.
///
/// With `make_default` every connection opened from now on uses it, and paths outside any pool go to the former default;
/// otherwise name it when opening (`file:db?vfs=daxcow`, `Connection::open_with_flags_and_vfs`). May be called again.
///
/// # Errors
/// If the SQLite is older than 3.40 or refuses the registration.
pub fn register(make_default: bool) -> Result<(), RegisterError> {
    let api = Api::linked().and_then(Api::install).map_err(RegisterError)?;
    vfs::register(api, make_default).map_err(RegisterError)
}
