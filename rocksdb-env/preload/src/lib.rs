//! Lets unmodified programs open RocksDB databases in pools: `LD_PRELOAD=libdaxcow_rocksdb.so db_bench --db=app.pool/db`.
//!
//! The library takes the place of `rocksdb::FileSystem::Default()`. What it answers leads paths that go through a pool into
//! it and gives all others to the default FileSystem of the RocksDB that the program uses, which must be a shared library.
//! `--fs_uri=daxcow://` and `--env_uri=daxcow://` name the same one.
#![expect(unsafe_code, reason = "exports a C++ function under its mangled name")]

use std::ffi::c_void;

// Its exported functions are what the C++ part calls, and what programs that link this library may call.
pub use daxcow_rocksdb_abi as abi;

unsafe extern "C" {
    /// `std::shared_ptr<rocksdb::FileSystem> daxcow_preload_default()`.
    fn daxcow_preload_default() -> *mut c_void;
}

/// `std::shared_ptr<rocksdb::FileSystem> rocksdb::FileSystem::Default()`: goes on to the function of this signature with
/// all registers as they are, since where a class is returned differs between architectures.
///
/// # Safety
/// As the function of RocksDB.
#[unsafe(naked)]
#[unsafe(export_name = "_ZN7rocksdb10FileSystem7DefaultEv")]
pub unsafe extern "C" fn file_system_default() {
    #[cfg(target_arch = "x86_64")]
    core::arch::naked_asm!("jmp {}", sym daxcow_preload_default);
    #[cfg(target_arch = "aarch64")]
    core::arch::naked_asm!("b {}", sym daxcow_preload_default);
    #[cfg(target_arch = "riscv64")]
    core::arch::naked_asm!("tail {}", sym daxcow_preload_default);
}
