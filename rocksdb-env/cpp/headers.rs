//! Finds the headers of the system's RocksDB. Part of two build scripts.

use std::env;
use std::path::{Path, PathBuf};

const MISSING: &str = "the headers of RocksDB 7.8 or later are not there: install librocksdb-dev (Debian, Ubuntu) or \
rocksdb-devel (Fedora), or set ROCKSDB_INCLUDE_DIR and ROCKSDB_LIB_DIR to where RocksDB's headers and its library are";

/// Where the headers are, as ROCKSDB_INCLUDE_DIR says or else pkg-config; tells the linker where the library is.
pub(crate) fn of_the_system() -> PathBuf {
    for name in ["ROCKSDB_INCLUDE_DIR", "ROCKSDB_LIB_DIR"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    if let Some(libraries) = env::var_os("ROCKSDB_LIB_DIR").map(PathBuf::from) {
        println!("cargo::rustc-link-search=native={}", libraries.display());
    }
    if let Some(include) = env::var_os("ROCKSDB_INCLUDE_DIR").map(PathBuf::from) {
        return include;
    }
    let found = pkg_config::Config::new().atleast_version("7.8").cargo_metadata(false).probe("rocksdb");
    if let Ok(library) = found {
        for path in &library.link_paths {
            println!("cargo::rustc-link-search=native={}", path.display());
        }
        if let Some(include) = library.include_paths.into_iter().find(|include| has_headers(include)) {
            return include;
        }
    }
    PathBuf::from("/usr/include")
}

/// Ends the build with what to do where there are no headers.
pub(crate) fn check(include: &Path) {
    assert!(has_headers(include), "{MISSING} (looked in {})", include.display());
}

fn has_headers(include: &Path) -> bool {
    include.join("rocksdb/file_system.h").exists()
}
