//! The Env.
#![expect(unsafe_code, reason = "takes over an Env that C++ made")]

use daxcow::{Error, ErrorKind, Result};
use librocksdb_sys::rocksdb_env_t;
use rocksdb::Env;

unsafe extern "C" {
    /// See `cpp/env.h`.
    fn daxcow_rocksdb_env() -> *mut rocksdb_env_t;
}

/// An Env for paths that go through pools, and all others: what [`rocksdb::Options::set_env`] and
/// [`rocksdb::backup::BackupEngine::open`] want. Pools are opened when a path leads into them, and closed when the last of
/// their files is.
///
/// # Errors
/// `UnsupportedVersion` where this is a RocksDB whose C API keeps an Env in another way than the known ones.
pub fn env() -> Result<Env> {
    // SAFETY: may be called at any time, by any thread.
    let env = unsafe { daxcow_rocksdb_env() };
    if env.is_null() {
        let message = "this RocksDB keeps rocksdb_env_t in another way than those up to 11.8";
        return Err(Error::new(ErrorKind::UnsupportedVersion, message));
    }
    // SAFETY: an Env on the heap that nobody else has, made as rocksdb_env_destroy wants it.
    Ok(unsafe { Env::from_raw(env) })
}
